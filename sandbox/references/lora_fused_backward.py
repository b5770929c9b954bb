"""LoRA layer, backward: gradients of the input and of both adapters, W frozen (LoRAFusion, row 43).

Unusual: the dropout mask is an input, as in the forward task; nothing of the forward pass is kept but x, so that the
low-rank projection is computed again. The gradients of the adapters sum over all rows.
"""

import torch
import torch.nn.functional as F

FAMILY = "lora"
TOLERANCE = "TB"
DESCRIPTION = (
    "Gradients of the LoRA linear layer y = x @ Wᵀ + alpha · (xh @ Aᵀ) @ Bᵀ with frozen W, for dy [M, N], x [M, K], W "
    "[N, K], A [r, K], B [N, r] and a number alpha; xh = x · m, where m = keep / (1 - p) for a bool mask keep [M, K] "
    "and m = 1 where keep is None. With S = xh @ Aᵀ and dS = alpha · dy @ B, returns (dx = dy @ W + (dS @ A) · m "
    "[M, K], dA = dSᵀ @ xh [r, K], dB = alpha · dyᵀ @ S [N, r]) in the dtypes of x, A and B, with fp32 accumulation."
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
    {  # not `structured`: outlier columns of dy and x with random signs would cancel in dA and dB, down to rounding
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"m": 150, "k": 136, "n": 99, "r": 64, "alpha": 4.0, "p": 0.5, "dtype": "bfloat16"},
        "distribution": "heavy_tailed",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_one",
        "tier": "cpu",
        "args": {"m": 3, "k": 67, "n": 35, "r": 1, "alpha": -1.5, "p": 0.1, "dtype": "float32"},
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
"""Elements of dy or x in double precision at a time: 2 GiB. Small cases are one slice."""


def make_inputs(case, draw):
    """dy [m, n], x [m, k], W [n, k], A [r, k], B [n, r], alpha, keep [m, k] bool or None, p."""
    m, k, n, r, dtype = case["m"], case["k"], case["n"], case["r"], case["dtype"]
    dy, x, W = draw.normal(m, n, dtype=dtype), draw.normal(m, k, dtype=dtype), draw.weight(n, k, dtype=dtype)
    A, B = draw.weight(r, k, dtype=dtype), draw.weight(n, r, dtype=dtype)
    keep = draw.booleans(m, k, probability=1 - case["p"]) if case["p"] > 0 else None
    return dy, x, W, A, B, case["alpha"], keep, case["p"]


def lora_fused_backward(dy, x, W, A, B, alpha, keep=None, p=0.0):
    """dy [M, N], x [M, K], W [N, K], A [r, K], B [N, r], keep [M, K] or None → dx [M, K], dA [r, K], dB [N, r]."""
    w32, a32, b32 = W.float(), A.float(), B.float()
    dx, dA, dB = [], torch.zeros_like(a32), torch.zeros_like(b32)
    rows = max(1, SLICE_ELEMENTS // max(W.shape))
    for first in range(0, x.shape[0], rows):
        part = slice(first, first + rows)
        dy32, dropped = dy[part].float(), x[part].float()
        if keep is not None:
            dropped = dropped * keep[part] / (1 - p)
        ds = alpha * (dy32 @ b32)
        low = ds @ a32
        if keep is not None:
            low = low * keep[part] / (1 - p)
        dx.append((dy32 @ w32 + low).to(x.dtype))
        dA, dB = dA + ds.T @ dropped, dB + alpha * (dy32.T @ (dropped @ a32.T))
    return torch.cat(dx), dA.to(A.dtype), dB.to(B.dtype)


def _dropout(x, keep, p):
    """What torch's own dropout runs when it has a mask: one pass over x."""
    return x if keep is None else torch.ops.aten.native_dropout_backward(x, keep, 1 / (1 - p))


def eager(dy, x, W, A, B, alpha, keep=None, p=0.0):
    """Six products, two passes of dropout, one addition, and what alpha scales."""
    dropped = _dropout(x, keep, p)
    s, ds = F.linear(dropped, A), (dy @ B) * alpha
    return dy @ W + _dropout(ds @ A, keep, p), ds.T @ dropped, (dy.T @ s) * alpha


def cost(case):
    """The base product, and five with an adapter; every input read once, every output written once."""
    m, k, n, r = case["m"], case["k"], case["n"], case["r"]
    size = 4 if case["dtype"] == "float32" else 2
    mask = m * k if case["p"] > 0 else 0
    return {
        "bytes": size * (2 * m * k + m * n + k * n + 2 * r * (k + n)) + mask,
        "flops": 2 * m * (k * n + r * (3 * k + 2 * n)),
    }
