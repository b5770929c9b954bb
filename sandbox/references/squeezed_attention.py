"""Squeezed attention: of a fixed context of clustered keys, a block of queries reads the important clusters (row 12).

Every block of queries compares itself with the centroids first; a cluster's importance is the estimated softmax weight
of one of its keys, averaged over the block. Keys of clusters above one threshold for all heads are kept, so heads keep
different numbers of keys. Differences from the paper:
1. The context and the new keys are one buffer [H, T + U, d], as in a cache, so that dense attention needs no copy.
2. Clusters are drawn, not found by k-means: a centroid is hot or cold for each block of queries, by levels far enough
   apart that no importance comes near the threshold. Which keys are kept is therefore no question of rounding.
"""

import torch

FAMILY = "sparse_attention"
TOLERANCE = "TB"
DESCRIPTION = (
    "Attention of M queries q [H, M, d] over a fixed context of T clustered keys and U >= M new ones, k and v "
    "[H, T + U, d] with the new ones last; centroids cent [H, C, d], the cluster of each context key label [H, T] "
    "int32, cluster sizes cnt [H, C] int32, threshold thr [1] fp32. For each head and each block of `block` queries "
    "(the last may be shorter): a[m, c] = d**-0.5 · q[m]·cent[c]; w = exp(a - max over c); importance[c] = mean over "
    "m of w[m, c] / sum over c of (w[m, c] · cnt[c]); context key t is kept if importance[label[t]] > thr. Query m "
    "attends, with scale d**-0.5 and one softmax, to the kept keys of its block and to new keys j <= m + U - M. No "
    "importance is within 10 % of thr. Returns [H, M, d] in the dtype of q."
)
CASES = (
    {
        "name": "tiny",
        "tier": "cpu",
        "args": {
            "h": 2, "m": 1, "t": 192, "u": 8, "d": 32, "c": 12, "keep": 0.3, "block": 128, "dtype": "bfloat16",
        },
    },
    {
        "name": "tiny_blocks",
        "tier": "cpu",
        "args": {
            "h": 2, "m": 37, "t": 130, "u": 41, "d": 16, "c": 9, "keep": 0.3, "block": 16, "dtype": "float32",
        },
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {
            "h": 3, "m": 1, "t": 501, "u": 7, "d": 80, "c": 25, "keep": 0.2, "block": 128, "dtype": "bfloat16",
        },
    },
    {
        "name": "tiny_draft",
        "tier": "cpu",
        "args": {
            "h": 2, "m": 6, "t": 300, "u": 19, "d": 64, "c": 20, "keep": 0.2, "block": 128, "dtype": "bfloat16",
        },
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {
            "h": 2, "m": 33, "t": 257, "u": 33, "d": 32, "c": 17, "keep": 0.25, "block": 16, "dtype": "bfloat16",
        },
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_short",
        "tier": "cpu",
        "args": {
            "h": 3, "m": 1, "t": 65, "u": 1, "d": 64, "c": 5, "keep": 0.3, "block": 128, "dtype": "float16",
        },
        "hidden": True,
    },
    {
        "name": "tiny_hidden_long",
        "tier": "cpu",
        "args": {
            "h": 1, "m": 1, "t": 3001, "u": 2, "d": 16, "c": 150, "keep": 0.1, "block": 1, "dtype": "float32",
        },
        "hidden": True,
    },
    {
        "name": "s",
        "tier": "gpu",
        "args": {
            "h": 8, "m": 1, "t": 4096, "u": 16, "d": 128, "c": 205, "keep": 0.3, "block": 128, "dtype": "bfloat16",
        },
        "timed": True,
    },
    {
        "name": "t",
        "tier": "gpu",
        "args": {
            "h": 32, "m": 1, "t": 131072, "u": 64, "d": 128, "c": 6554, "keep": 0.1, "block": 128, "dtype": "bfloat16",
        },
        "timed": True,
    },
    {
        "name": "l",
        "tier": "gpu",
        "args": {
            "h": 32, "m": 1024, "t": 131072, "u": 1024, "d": 128, "c": 6554, "keep": 0.1, "block": 128,
            "dtype": "bfloat16",
        },
        "timed": True,
    },
    {
        "name": "r",
        "tier": "gpu",
        "args": {
            "h": 32, "m": 1, "t": 50001, "u": 77, "d": 128, "c": 2500, "keep": 0.3, "block": 128, "dtype": "bfloat16",
        },
        "timed": True,
    },
    {
        "name": "r2",
        "tier": "gpu",
        "args": {
            "h": 12, "m": 300, "t": 20011, "u": 333, "d": 80, "c": 1000, "keep": 0.2, "block": 128, "dtype": "bfloat16",
        },
        "timed": True,
    },
)  # fmt: skip
HEADLINES = (
    {
        "claim": "more than 4x in generation over dense attention, selection included",
        "case": "t",
        "against": "library",
        "measure": "time",
        "ratio": 4.0,
    },
    {
        "claim": "more than 4x in prefill over dense attention, selection included",
        "case": "l",
        "against": "library",
        "measure": "time",
        "ratio": 4.0,
    },
)
SLICE_ELEMENTS = 2**28
"""Scores and upcast keys and values held at a time: 2 GiB in float64. Small cases are one slice."""
HOT, COLD = (4.5, 5.0), (-0.5, 0.5)
"""Ranges of the scores between a block's queries and the centroids of the clusters that it needs, or does not."""


def make_inputs(case, draw):
    """q, k, v, cent, label, cnt, thr, block, in the order of `squeezed_attention`.

    A block's queries are near one direction; a centroid's share of that direction makes it hot or cold for the block.
    Head by head 0.3 to 1.7 times `keep` of the clusters are hot. Clusters differ in size; keys are spread by one unit
    around their centroid, in the case's distribution, as values are around zero.
    """
    h, m, t, u, d, c, dtype = (case[key] for key in ("h", "m", "t", "u", "d", "c", "dtype"))
    block = case["block"]
    blocks = -(-m // block)
    way = torch.linalg.qr(draw.weight(h, d, blocks))[0]  # orthonormal: [h, d, blocks]
    share = (case["keep"] * (0.3 + 1.4 * (draw.permutation(h) + 0.5) / h)).clamp_min(2 / c)
    hot = draw.uniform(h, c, blocks) < share[:, None, None]
    hot[:, c // 4] = True  # one of average size, so that no block is without
    level = torch.where(hot, *(draw.uniform(h, c, blocks, low=low, high=high) for low, high in (HOT, COLD)))
    noise = draw.weight(h, c, d) * d**0.5 / 2
    cent = noise - (noise @ way) @ way.mT + level @ way.mT
    rows = way.mT.repeat_interleave(block, 1)[:, :m]
    q = ((rows + 0.1 * draw.weight(h, m, d)) * d**0.5).to(getattr(torch, dtype))
    label = (draw.uniform(h, t).square() * c).long().clamp_max(c - 1)
    cnt = torch.zeros_like(label[:, :1]).expand(h, c).scatter_add(1, label, torch.ones_like(label))
    k = draw.normal(h, t + u, d)
    k[:, :t] += cent.gather(1, label[..., None].expand(h, t, d))
    cent = cent.to(q.dtype)
    weight = importance(q, cent, cnt, block)
    hot = hot.mT
    thr = (weight.masked_fill(~hot, torch.inf).amin() * weight.masked_fill(hot, 0).amax()).sqrt().reshape(1)
    v = draw.normal(h, t + u, d, dtype=dtype)
    return q, k.to(q.dtype), v, cent, label.int(), cnt.int(), thr, block


def importance(q, cent, cnt, block):
    """Estimated softmax weight of one key of each cluster, averaged over blocks of queries: [H, blocks, C]."""
    scores = q.float() @ cent.float().mT * q.shape[-1] ** -0.5
    weight = (scores - scores.amax(-1, keepdim=True)).exp()
    weight = weight / (weight * cnt[:, None].float()).sum(-1, keepdim=True)
    return torch.stack([part.mean(1) for part in weight.split(block, 1)], 1)


def kept_keys(q, cent, label, cnt, thr, block):
    """Which keys of the context each block of queries reads: a list of bool [H, T]."""
    weight = importance(q, cent, cnt, block)
    return [(weight[:, i] > thr).gather(1, label.long()) for i in range(weight.shape[1])]


def visible_new(first, rows, m, u, device):
    """Whether queries first … first + rows - 1 of m see each of u new keys: bool [rows, u]."""
    return torch.arange(u, device=device) <= torch.arange(first, first + rows, device=device)[:, None] + u - m


def squeezed_attention(q, k, v, cent, label, cnt, thr, block=128):
    """q [H, M, d], k and v [H, T + U, d], cent [H, C, d], label [H, T], cnt [H, C], thr [1] → [H, M, d], dtype of q."""
    h, m, d = q.shape
    u = k.shape[1] - label.shape[1]
    each = max(1, SLICE_ELEMENTS // (k.shape[1] * (min(m, block) + 2 * d)))
    outputs = []
    for i, keep in enumerate(kept_keys(q, cent, label, cnt, thr, block)):
        part, heads = q[:, i * block : (i + 1) * block], []
        new = visible_new(i * block, part.shape[1], m, u, q.device)
        for first in range(0, h, each):
            some = slice(first, first + each)
            scores = part[some].float() @ k[some].float().mT * d**-0.5
            scores[..., :-u].masked_fill_(~keep[some, None], -torch.inf)
            scores[..., -u:].masked_fill_(~new, -torch.inf)
            heads.append(scores.softmax(-1) @ v[some].float())
        outputs.append(torch.cat(heads))
    return torch.cat(outputs, 1).to(q.dtype)


def eager(q, k, v, cent, label, cnt, thr, block=128):
    """Gather the kept keys of each head and block by a boolean index, then scaled dot product attention."""
    h, m = q.shape[:2]
    t, u = label.shape[1], k.shape[1] - label.shape[1]
    outputs = []
    for i, keep in enumerate(kept_keys(q, cent, label, cnt, thr, block)):
        part, heads = q[:, i * block : (i + 1) * block], []
        new = visible_new(i * block, part.shape[1], m, u, q.device)
        for head in range(h):
            keys, values = (torch.cat([x[head, :t][keep[head]], x[head, t:]])[None] for x in (k, v))
            mask = torch.nn.functional.pad(new, (keys.shape[1] - u, 0), value=True) if m > 1 else None
            heads.append(
                torch.nn.functional.scaled_dot_product_attention(part[head : head + 1], keys, values, attn_mask=mask)
            )
        outputs.append(torch.cat(heads))
    return torch.cat(outputs, 1)


def library(q, k, v, cent, label, cnt, thr, block=128):
    """Dense attention over all keys, which the selection approximates; not the same output."""
    from torch.nn.attention.bias import causal_lower_right

    mask = causal_lower_right(q.shape[1], k.shape[1]) if q.shape[1] > 1 else None
    return torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=mask)[0]


def cost(case):
    """Centroids, labels, sizes, new keys, and the kept keys once a head, even where several blocks keep them."""
    h, m, t, u, d, c = (case[key] for key in ("h", "m", "t", "u", "d", "c"))
    blocks, each = -(-m // case["block"]), 4 if case["dtype"] == "float32" else 2
    union = (1 - (1 - case["keep"]) ** blocks) * t
    moved = h * (each * d * (c + 2 * union + 2 * u + 2 * m) + 4 * (t + c))
    return {"bytes": moved, "flops": 2 * h * m * d * (c + 2 * case["keep"] * t + 2 * (u - (m - 1) / 2))}
