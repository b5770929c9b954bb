"""LoRA layer with many adapters in one batch: `y[m] = W x[m] + alpha_g · B_g A_g x[m]` for row m of adapter g (row 43).

Unusual: rows are sorted by adapter and `offs` says where each begins; it is data, so the host must not need it. An
adapter may have no rows. Adapters of lower rank are padded with zeros to the highest.
"""

import torch
import torch.nn.functional as F

FAMILY = "lora"
TOLERANCE = "TB"
DESCRIPTION = (
    "LoRA linear layer for a batch of G adapters. x [M, K] has its rows sorted by adapter: those of adapter g are "
    "offs[g] to offs[g + 1] (offs [G + 1] int64, offs[0] = 0, offs[G] = M, never decreasing; an adapter may have no "
    "rows). W [N, K] is shared; A [G, R, K] and B [G, N, R] hold the adapters, padded with zeros to the highest rank "
    "R; alphas [G] is fp32. A row m of adapter g gives y[m] = x[m] @ Wᵀ + alphas[g] · (x[m] @ A[g]ᵀ) @ B[g]ᵀ; y "
    "[M, N] has the dtype of x, with fp32 accumulation. A row must not depend on the values of other adapters. offs is "
    "known on the device only: the host may not read it."
)
HEADLINES = ()
CASES = (
    {
        "name": "tiny",
        "tier": "cpu",
        "args": {"m": 96, "k": 128, "n": 128, "rows": "40,0,17,39", "ranks": "8,16,16,4", "dtype": "bfloat16"},
    },
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"m": 48, "k": 64, "n": 96, "rows": "16,32", "ranks": "8", "dtype": "float32"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"m": 151, "k": 203, "n": 77, "rows": "random:7", "ranks": "24,3,10", "dtype": "bfloat16"},
    },
    {
        "name": "tiny_single",
        "tier": "cpu",
        "args": {"m": 33, "k": 300, "n": 64, "rows": "33", "ranks": "12", "dtype": "float16"},
        "distribution": "large",
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"m": 140, "k": 96, "n": 131, "rows": "1,0,0,70,64,5", "ranks": "16,40", "dtype": "bfloat16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_many",
        "tier": "cpu",
        "args": {"m": 45, "k": 72, "n": 40, "rows": "random:20", "ranks": "4,8", "dtype": "float32"},
        "hidden": True,
    },
    {
        "name": "s",
        "tier": "gpu",
        "args": {"m": 1024, "k": 2048, "n": 2048, "rows": "random:8", "ranks": "8", "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "t",
        "tier": "gpu",
        "args": {
            "m": 8192,
            "k": 4096,
            "n": 4096,
            "rows": "1024,3000,37,4131",
            "ranks": "8,16,16,64",
            "dtype": "bfloat16",
        },
        "timed": True,
    },
    {  # 64 adapters of 1 to 300 rows in the catalogue; here the sum is fixed and the lengths are drawn
        "name": "many",
        "tier": "gpu",
        "args": {"m": 9632, "k": 4096, "n": 4096, "rows": "random:64", "ranks": "8,16", "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "r",
        "tier": "gpu",
        "args": {"m": 3001, "k": 4096, "n": 11008, "rows": "random:12", "ranks": "24,8", "dtype": "bfloat16"},
        "timed": True,
    },
)
SLICE_ELEMENTS = 2**28
"""Outputs made at a time: 2 GiB in float64. Small cases are one slice an adapter."""


def _lengths(rows):
    """`"40,0,17"` → the rows of each adapter; `"random:7"` → None each for seven."""
    kind, _, number = rows.partition(":")
    return [None] * int(number) if kind == "random" else [int(length) for length in rows.split(",")]


def make_inputs(case, draw):
    """x [m, k], W [n, k], A [G, R, k], B [G, n, R], alphas [G] in [0.5, 2), offs [G + 1]. Ranks are dealt in turn."""
    m, k, n, dtype = case["m"], case["k"], case["n"], case["dtype"]
    ranks, lengths = [int(rank) for rank in case["ranks"].split(",")], _lengths(case["rows"])
    groups, most = len(lengths), max(ranks)
    used = torch.arange(most) < torch.tensor([ranks[g % len(ranks)] for g in range(groups)])[:, None]
    x, W = draw.normal(m, k, dtype=dtype), draw.weight(n, k, dtype=dtype)
    A = draw.weight(groups, most, k, dtype=dtype) * used[:, :, None]
    B = draw.weight(groups, n, most, dtype=dtype) * used[:, None, :]
    if lengths[0] is None:
        inner = draw.integers(groups - 1, low=0, high=m + 1).sort().values
    else:
        inner = torch.tensor(lengths[:-1], dtype=torch.int64).cumsum(0)
    ends = torch.tensor([0, m])
    return x, W, A, B, draw.uniform(groups, low=0.5, high=2.0), torch.cat([ends[:1], inner, ends[1:]])


def lora_grouped(x, W, A, B, alphas, offs):
    """x [M, K], W [N, K], A [G, R, K], B [G, N, R], alphas [G] fp32, offs [G + 1] int64 → y [M, N], dtype of x."""
    w32, bounds, outputs = W.float().T, offs.tolist(), []
    rows = max(1, SLICE_ELEMENTS // W.shape[0])
    for g in range(A.shape[0]):
        a32, b32 = A[g].float().T, B[g].float().T
        for first in range(bounds[g], bounds[g + 1], rows):
            x32 = x[first : min(first + rows, bounds[g + 1])].float()
            outputs.append((x32 @ w32 + alphas[g].float() * (x32 @ a32 @ b32)).to(x.dtype))
    return torch.cat(outputs)


def _owner(x, offs):
    """The adapter of every row, [M] int64."""
    return torch.bucketize(torch.arange(x.shape[0], device=x.device), offs[1:], right=True)


def eager(x, W, A, B, alphas, offs):
    """All adapters side by side, and zeros where a row is not theirs: dense products and no wait for the device. A loop
    over the adapters would be launches of small kernels, and would have to read `offs` on the host."""
    mine = torch.arange(A.shape[0], device=x.device) == _owner(x, offs)[:, None]
    scale = torch.where(mine, alphas, 0.0).to(x.dtype)
    s = F.linear(x, A.flatten(0, 1)).reshape(-1, *A.shape[:2]) * scale[:, :, None]
    return torch.addmm(F.linear(x, W), s.flatten(1), B.transpose(0, 1).flatten(1).T)


def library(x, W, A, B, alphas, offs):
    """torch's grouped product for both halves of the adapters."""
    ends = offs[1:].int()
    s = F.grouped_mm(x, A.transpose(1, 2), offs=ends) * alphas.to(x.dtype)[_owner(x, offs), None]
    return F.linear(x, W) + F.grouped_mm(s, B.transpose(1, 2), offs=ends)


def cost(case):
    """Each adapter's own rank counts, not the padding; where lengths are drawn, the mean rank. y is written once."""
    m, k, n, lengths = case["m"], case["k"], case["n"], _lengths(case["rows"])
    ranks = [int(rank) for rank in case["ranks"].split(",")]
    ranks = [ranks[g % len(ranks)] for g in range(len(lengths))]
    shares = [1 / len(lengths) if length is None else length / m for length in lengths]
    rank = sum(share * r for share, r in zip(shares, ranks, strict=True))
    size = 4 if case["dtype"] == "float32" else 2
    return {
        "bytes": size * (m * k + k * n + m * n + sum(ranks) * (k + n)) + 12 * len(lengths),
        "flops": 2 * m * (k * n + rank * (k + n)),
    }
