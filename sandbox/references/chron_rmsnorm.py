"""RMSNorm: `y = x / sqrt(mean(x²) + eps) · w`, per row (Chronicals, `chron_rmsnorm`; AutoKernel, `ak9_rmsnorm`).

Unusual: the unfused form that it is compared with upcasts to fp32 and makes six to eight passes over x.
"""

import torch
import torch.nn.functional as F

FAMILY = "norm_act"
TOLERANCE = "TB"
DESCRIPTION = (
    "RMSNorm over the last dimension: x / sqrt(mean(x²) + eps) · w, computed in fp32, for x [rows, dim] and w [dim]; "
    "the result has the dtype of x."
)
CASES = (
    {"name": "tiny", "tier": "cpu", "args": {"rows": 8, "dim": 128, "dtype": "bfloat16"}},
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"rows": 3, "dim": 1024, "dtype": "float32"},
        "distribution": "large",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"rows": 11, "dim": 333, "dtype": "bfloat16"},
        "distribution": "heavy_tailed",
    },
    {"name": "tiny_long", "tier": "cpu", "args": {"rows": 2, "dim": 18001, "dtype": "bfloat16"}},
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"rows": 6, "dim": 720, "dtype": "bfloat16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_narrow",
        "tier": "cpu",
        "args": {"rows": 37, "dim": 5, "dtype": "float32"},
        "distribution": "structured",
        "hidden": True,
    },
    {"name": "s", "tier": "gpu", "timed": True, "args": {"rows": 2048, "dim": 896, "dtype": "bfloat16"}},
    {"name": "t", "tier": "gpu", "timed": True, "args": {"rows": 8192, "dim": 3584, "dtype": "bfloat16"}},
    {"name": "l", "tier": "gpu", "timed": True, "args": {"rows": 65536, "dim": 8192, "dtype": "bfloat16"}},
    {"name": "r", "tier": "gpu", "timed": True, "args": {"rows": 4099, "dim": 2880, "dtype": "bfloat16"}},
    {"name": "ak9_t", "tier": "gpu", "timed": True, "args": {"rows": 8192, "dim": 4096, "dtype": "bfloat16"}},
    {"name": "ak9_r", "tier": "gpu", "timed": True, "args": {"rows": 3001, "dim": 2880, "dtype": "bfloat16"}},
)
HEADLINES = (
    {"claim": "RMSNorm 7x over the unfused form", "case": "t", "against": "eager", "measure": "time", "ratio": 7.0},
    {"claim": "AutoKernel: 5.29x over eager", "case": "ak9_t", "against": "eager", "measure": "time", "ratio": 5.29},
    {
        "claim": "AutoKernel: 2.83x over compiled",
        "case": "ak9_t",
        "against": "max-autotune",
        "measure": "time",
        "ratio": 2.83,
    },
)


def make_inputs(case, draw):
    """x [rows, dim], w [dim] around 1, eps."""
    x = draw.normal(case["rows"], case["dim"], dtype=case["dtype"])
    w = draw.uniform(case["dim"], low=0.5, high=1.5, dtype=case["dtype"])
    return x, w, 1e-6


def chron_rmsnorm(x, w, eps):
    """x [rows, dim], w [dim], eps → [rows, dim] in the dtype of x."""
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + eps) * w.float()).to(x.dtype)


def eager(x, w, eps):
    """The chain of a model's own RMSNorm layer: upcast, square, mean, scale, round, weight."""
    x32 = x.float()
    variance = x32.pow(2).mean(-1, keepdim=True)
    return w * (x32 * torch.rsqrt(variance + eps)).to(x.dtype)


def library(x, w, eps):
    """torch's own RMSNorm: one kernel on a GPU."""
    return F.rms_norm(x, (x.shape[-1],), w, eps)


def cost(case):
    """x is read and y written once; no matrix product."""
    item = 4 if case["dtype"] == "float32" else 2
    return {"bytes": item * (2 * case["rows"] + 1) * case["dim"], "flops": 0}
