"""Row softmax over the last dimension: `y = exp(x - max(x)) / sum(exp(x - max(x)))` (AutoKernel, row `ak9_softmax`).

Unusual: one case has 50,257 columns, a vocabulary row that does not fit into one block's registers.
"""

import torch
import torch.nn.functional as F

FAMILY = "norm_act"
TOLERANCE = "TB"
DESCRIPTION = "Softmax over the last dimension of a matrix x [rows, cols]; the result has the dtype of x."
CASES = (
    {"name": "tiny", "tier": "cpu", "args": {"rows": 4, "cols": 64, "dtype": "float32"}},
    {
        "name": "tiny_bf16",
        "tier": "cpu",
        "args": {"rows": 9, "cols": 256, "dtype": "bfloat16"},
        "distribution": "large",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"rows": 5, "cols": 1003, "dtype": "float32"},
        "distribution": "heavy_tailed",
    },
    {"name": "tiny_long", "tier": "cpu", "args": {"rows": 3, "cols": 20011, "dtype": "float16"}},
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"rows": 7, "cols": 193, "dtype": "bfloat16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_long",
        "tier": "cpu",
        "args": {"rows": 2, "cols": 33001, "dtype": "float32"},
        "distribution": "heavy_tailed",
        "hidden": True,
    },
    {"name": "tiny_hidden_column", "tier": "cpu", "args": {"rows": 17, "cols": 3, "dtype": "float32"}, "hidden": True},
    {"name": "s", "tier": "gpu", "timed": True, "args": {"rows": 2048, "cols": 1024, "dtype": "bfloat16"}},
    {"name": "t", "tier": "gpu", "timed": True, "args": {"rows": 8192, "cols": 8192, "dtype": "bfloat16"}},
    {"name": "r", "tier": "gpu", "timed": True, "args": {"rows": 4097, "cols": 50257, "dtype": "bfloat16"}},
)
HEADLINES = (
    {"claim": "softmax 2.82x over eager", "case": "t", "against": "eager", "measure": "time", "ratio": 2.82},
    {"claim": "softmax 3.44x over compiled", "case": "t", "against": "max-autotune", "measure": "time", "ratio": 3.44},
)


def make_inputs(case, draw):
    """x [rows, cols]."""
    return (draw.normal(case["rows"], case["cols"], dtype=case["dtype"]),)


def ak9_softmax(x):
    """x [rows, cols] → [rows, cols], same dtype; every row sums to 1."""
    return torch.softmax(x.float(), dim=-1).to(x.dtype)


def eager(x):
    """As attention code writes it: softmax in fp32, then back. torch fuses the upcast, not the way back."""
    return F.softmax(x, dim=-1, dtype=torch.float32).to(x.dtype)


def library(x):
    """torch's own kernel in the dtype of x, which accumulates in fp32 too."""
    return F.softmax(x, dim=-1)


def cost(case):
    """x is read and y written once; no matrix product."""
    item = 4 if case["dtype"] == "float32" else 2
    return {"bytes": 2 * item * case["rows"] * case["cols"], "flops": 0}
