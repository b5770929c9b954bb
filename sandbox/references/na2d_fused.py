"""Fused neighbourhood attention on images (Faster Neighborhood Attention, row 09): every pixel sees w x w others.

Unusual: at the borders the window is shifted, not cut, so that every pixel has exactly w² neighbours; dilation d makes
d x d interleaved images that never see each other; windows may be even (one more neighbour before than after).
The definition goes through rows of queries: a row sees w whole rows of keys, of which a column mask leaves w columns.
That is the same set as `neighbours` gathers (the form of `eager`), without a copy of w² keys for every query.
"""

import torch

FAMILY = "attention"
TOLERANCE = "TB"
DESCRIPTION = (
    "2-D neighbourhood attention for q, k, v [B, Y, X, H, D], window w and dilation d. Along an axis of length n, "
    "position i with r = i % d and p = i // d sees the w positions r + d·(start + 0 … w-1), "
    "start = min(max(p - w // 2, 0), ceil((n - r) / d) - w): a window of its own residue class, shifted (not cut) at "
    "the borders. A pixel sees the w·w pixels whose rows and columns are both in its windows; attention is "
    "softmax(D**-0.5 · q·k) over them. d·w is at most min(Y, X). Returns [B, Y, X, H, D] in the dtype of q."
)
CASES = (
    {
        "name": "tiny",
        "tier": "cpu",
        "args": {"b": 1, "y": 10, "x": 12, "h": 2, "d": 32, "window": 5, "dilation": 1, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_dilated",
        "tier": "cpu",
        "args": {"b": 1, "y": 13, "x": 9, "h": 2, "d": 16, "window": 3, "dilation": 3, "dtype": "float32"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"b": 2, "y": 7, "x": 37, "h": 1, "d": 24, "window": 7, "dilation": 1, "dtype": "bfloat16"},
        "distribution": "large",
    },
    {
        "name": "tiny_even",
        "tier": "cpu",
        "args": {"b": 1, "y": 17, "x": 11, "h": 1, "d": 64, "window": 4, "dilation": 2, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"b": 1, "y": 19, "x": 14, "h": 3, "d": 16, "window": 6, "dilation": 2, "dtype": "bfloat16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_global",
        "tier": "cpu",
        "args": {"b": 2, "y": 9, "x": 9, "h": 1, "d": 48, "window": 9, "dilation": 1, "dtype": "float16"},
        "hidden": True,
    },
    {
        "name": "tiny_hidden_self",
        "tier": "cpu",
        "args": {"b": 1, "y": 5, "x": 21, "h": 2, "d": 16, "window": 1, "dilation": 4, "dtype": "float32"},
        "hidden": True,
    },
    {
        "name": "s",
        "tier": "gpu",
        "args": {"b": 4, "y": 28, "x": 28, "h": 4, "d": 32, "window": 7, "dilation": 1, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "t",
        "tier": "gpu",
        "args": {"b": 16, "y": 56, "x": 56, "h": 8, "d": 64, "window": 13, "dilation": 1, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "l",
        "tier": "gpu",
        "args": {"b": 2, "y": 256, "x": 256, "h": 8, "d": 64, "window": 33, "dilation": 2, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "r",
        "tier": "gpu",
        "args": {"b": 3, "y": 47, "x": 61, "h": 5, "d": 32, "window": 7, "dilation": 3, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "even",
        "tier": "gpu",
        "args": {"b": 8, "y": 96, "x": 128, "h": 4, "d": 128, "window": 12, "dilation": 1, "dtype": "float16"},
        "timed": True,
    },
)
HEADLINES = (
    {
        "claim": "fused 2-D neighbourhood attention in half precision: 581 % faster than naive kernels",
        "case": "t",
        "against": "eager",
        "measure": "time",
        "ratio": 6.8,
    },
)
SLICE_ELEMENTS = 2**28
"""Scores of the definition held at a time: 2 GiB in float64. Small cases are one slice."""
GATHER_ELEMENTS = 2**31
"""Gathered keys of `eager` held at a time: 4 GiB in bfloat16, and as much for values."""


def make_inputs(case, draw):
    """q, k, v [b, y, x, h, d], window, dilation."""
    shape = (case["b"], case["y"], case["x"], case["h"], case["d"])
    q, k, v = (draw.normal(*shape, dtype=case["dtype"]) for _ in range(3))
    return q, k, v, case["window"], case["dilation"]


def neighbours(length, window, dilation, device):
    """The `window` positions that each position of an axis sees: int64 [length, window]."""
    position = torch.arange(length, device=device)
    residue, place = position % dilation, position // dilation
    group = (length - residue + dilation - 1) // dilation
    start = torch.minimum((place - window // 2).clamp_min(0), group - window)
    return residue[:, None] + dilation * (start[:, None] + torch.arange(window, device=device))


def is_neighbour(length, window, dilation, device):
    """The same as a mask [position, position it sees]."""
    seen = torch.zeros(length, length, dtype=torch.bool, device=device)
    return seen.scatter(1, neighbours(length, window, dilation, device), True)


def na2d_fused(q, k, v, window, dilation=1):
    """q, k, v [B, Y, X, H, D] → [B, Y, X, H, D] in the dtype of q."""
    batch, height, width, heads, d = q.shape
    rows = neighbours(height, window, dilation, q.device)
    unseen = ~is_neighbour(width, window, dilation, q.device)[:, None]  # [x of the query, 1, x of the key]
    each = max(1, SLICE_ELEMENTS // (batch * heads * width * window * max(width, d)))
    q32, outputs = q.float().transpose(2, 3), []  # [B, Y, H, X, D]
    for first in range(0, height, each):
        seen = rows[first : first + each]
        k32, v32 = (t[:, seen].float().permute(0, 1, 4, 2, 3, 5).flatten(3, 4) for t in (k, v))  # [B, y, H, w·X, D]
        scores = q32[:, first : first + each] @ k32.mT * d**-0.5
        scores = scores.reshape(*scores.shape[:-1], window, width).masked_fill(unseen, -torch.inf).flatten(-2)
        outputs.append(scores.softmax(-1) @ v32)
    return torch.cat(outputs, 1).transpose(2, 3).to(q.dtype)


def eager(q, k, v, window, dilation=1):
    """Gather the w² keys and values of every query; in slices of queries where the copies are too large."""
    batch, height, width, heads, d = q.shape
    y, x = neighbours(height, window, dilation, q.device), neighbours(width, window, dilation, q.device)
    seen = (y[:, None, :, None] * width + x[None, :, None, :]).reshape(height * width, window**2)
    q, k, v = (t.flatten(1, 2) for t in (q, k, v))
    each, outputs = max(1, GATHER_ELEMENTS // (batch * window**2 * heads * d)), []
    for first in range(0, height * width, each):
        part = seen[first : first + each]
        scores = torch.einsum("bnhd,bnwhd->bhnw", q[:, first : first + each], k[:, part]) * d**-0.5
        outputs.append(torch.einsum("bhnw,bnwhd->bnhd", scores.softmax(-1), v[:, part]))
    return torch.cat(outputs, 1).reshape(batch, height, width, heads, d)


def library(q, k, v, window, dilation=1):
    """Scaled dot product attention over all pixels with a dense mask; its cost grows with (Y·X)²."""
    height, width = q.shape[1:3]
    y, x = is_neighbour(height, window, dilation, q.device), is_neighbour(width, window, dilation, q.device)
    mask = (y[:, None, :, None] & x[None, :, None, :]).reshape(height * width, height * width)
    q, k, v = (t.flatten(1, 2).transpose(1, 2) for t in (q, k, v))
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out.transpose(1, 2).reshape(len(out), height, width, *out.shape[1::2])


def cost(case):
    """Each of q, k, v and the output once; two products of D a pair of pixel and neighbour."""
    values = case["b"] * case["y"] * case["x"] * case["h"] * case["d"]
    each = 4 if case["dtype"] == "float32" else 2
    return {"bytes": 4 * each * values, "flops": 4 * values * case["window"] ** 2}
