"""LoRA layer, forward: `y = x Wᵀ + alpha · (drop(x) Aᵀ) Bᵀ` (LoRAFusion, row 43).

Unusual: the dropout mask is an input, so that the result is a function of the inputs; it acts on the low-rank branch
alone, and what it keeps is scaled by 1 / (1 - p). Ranks that are no power of two. Without dropout `keep` is None.
"""

import torch
import torch.nn.functional as F

FAMILY = "lora"
TOLERANCE = "TB"
DESCRIPTION = (
    "LoRA linear layer forward for x [M, K], frozen weight W [N, K], adapters A [r, K] and B [N, r], and a number "
    "alpha: y = x @ Wᵀ + alpha · (xh @ Aᵀ) @ Bᵀ, [M, N] in the dtype of x, with fp32 accumulation. xh = x · keep / "
    "(1 - p) for a bool mask keep [M, K], and xh = x where keep is None. The mask does not touch the product with W."
)
HEADLINES = (
    {
        "claim": "fused kernels up to 1.39x over the unfused LoRA layer",
        "case": "t",
        "against": "eager",
        "measure": "time",
        "ratio": 1.39,
    },
)
CASES = (
    {
        "name": "tiny",
        "tier": "cpu",
        "args": {"m": 64, "k": 128, "n": 128, "r": 16, "alpha": 2.0, "p": 0.1, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"m": 32, "k": 96, "n": 64, "r": 8, "alpha": 1.0, "p": 0.0, "dtype": "float32"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"m": 77, "k": 203, "n": 131, "r": 24, "alpha": 0.5, "p": 0.25, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_deep",
        "tier": "cpu",
        "args": {"m": 40, "k": 1200, "n": 48, "r": 12, "alpha": 2.0, "p": 0.1, "dtype": "float16"},
        "distribution": "large",
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"m": 150, "k": 136, "n": 99, "r": 64, "alpha": 4.0, "p": 0.5, "dtype": "bfloat16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_one",
        "tier": "cpu",
        "args": {"m": 1, "k": 67, "n": 35, "r": 1, "alpha": -1.5, "p": 0.1, "dtype": "float32"},
        "hidden": True,
    },
    {
        "name": "s",
        "tier": "gpu",
        "args": {"m": 1024, "k": 2048, "n": 2048, "r": 8, "alpha": 2.0, "p": 0.1, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "t",
        "tier": "gpu",
        "args": {"m": 8192, "k": 4096, "n": 4096, "r": 16, "alpha": 2.0, "p": 0.1, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "t2",
        "tier": "gpu",
        "args": {"m": 8192, "k": 5120, "n": 27648, "r": 16, "alpha": 2.0, "p": 0.1, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "l",
        "tier": "gpu",
        "args": {"m": 16384, "k": 8192, "n": 28672, "r": 64, "alpha": 1.0, "p": 0.05, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "r",
        "tier": "gpu",
        "args": {"m": 3001, "k": 4096, "n": 11008, "r": 24, "alpha": 1.0, "p": 0.1, "dtype": "bfloat16"},
        "timed": True,
    },
)
SLICE_ELEMENTS = 2**28
"""Outputs made at a time: 2 GiB in float64. Small cases are one slice."""


def make_inputs(case, draw):
    """x [m, k], W [n, k], A [r, k], B [n, r], alpha, keep [m, k] bool or None, p."""
    m, k, n, r, dtype = case["m"], case["k"], case["n"], case["r"], case["dtype"]
    x, W = draw.normal(m, k, dtype=dtype), draw.weight(n, k, dtype=dtype)
    A, B = draw.weight(r, k, dtype=dtype), draw.weight(n, r, dtype=dtype)
    keep = draw.booleans(m, k, probability=1 - case["p"]) if case["p"] > 0 else None
    return x, W, A, B, case["alpha"], keep, case["p"]


def lora_fused_linear(x, W, A, B, alpha, keep=None, p=0.0):
    """x [M, K], W [N, K], A [r, K], B [N, r], keep [M, K] bool or None → y [M, N] in the dtype of x."""
    w32, a32, b32 = W.float().T, A.float().T, B.float().T
    rows, outputs = max(1, SLICE_ELEMENTS // W.shape[0]), []
    for first in range(0, x.shape[0], rows):
        part = slice(first, first + rows)
        x32 = x[part].float()
        dropped = x32 if keep is None else x32 * keep[part] / (1 - p)
        outputs.append((x32 @ w32 + alpha * (dropped @ a32 @ b32)).to(x.dtype))
    return torch.cat(outputs)


def eager(x, W, A, B, alpha, keep=None, p=0.0):
    """Five kernels: base product, dropout, down, up, scaled addition. The second is what torch's own dropout runs when
    it has a mask, one pass over x."""
    dropped = x if keep is None else torch.ops.aten.native_dropout_backward(x, keep, 1 / (1 - p))
    return torch.add(F.linear(x, W), F.linear(F.linear(dropped, A), B), alpha=alpha)


def library(x, W, A, B, alpha, keep=None, p=0.0):
    """cuBLAS adds the up projection to the base product itself: four kernels."""
    dropped = x if keep is None else torch.ops.aten.native_dropout_backward(x, keep, 1 / (1 - p))
    return F.linear(x, W).addmm_(F.linear(dropped, A), B.T, alpha=alpha)


def cost(case):
    """The three products; every input read once and y written once (the mask has one byte an element)."""
    m, k, n, r = case["m"], case["k"], case["n"], case["r"]
    size = 4 if case["dtype"] == "float32" else 2
    mask = m * k if case["p"] > 0 else 0
    return {
        "bytes": size * (m * k + k * n + m * n + r * (k + n)) + mask,
        "flops": 2 * m * (k * n + r * (k + n)),
    }
