"""SwiGLU gate: `y = silu(gate) · up`, elementwise (Chronicals, row `chron_swiglu`, forward).

Unusual: nothing but bandwidth; the point is one pass, wide loads at any row length, and a sigmoid that does not
overflow for large negative gates.
"""

import torch.nn.functional as F

FAMILY = "norm_act"
TOLERANCE = "TB"
DESCRIPTION = (
    "SwiGLU gate: silu(gate) · up elementwise, computed in fp32, for gate and up [rows, features]; "
    "the result has the dtype of gate."
)
CASES = (
    {"name": "tiny", "tier": "cpu", "args": {"rows": 8, "features": 128, "dtype": "bfloat16"}},
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"rows": 4, "features": 512, "dtype": "float32"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"rows": 13, "features": 407, "dtype": "bfloat16"},
        "distribution": "large",
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"rows": 5, "features": 1001, "dtype": "float16"},
        "distribution": "structured",
        "hidden": True,
    },
    {"name": "tiny_hidden_one", "tier": "cpu", "args": {"rows": 1, "features": 1, "dtype": "float32"}, "hidden": True},
    {"name": "s", "tier": "gpu", "timed": True, "args": {"rows": 2048, "features": 4864, "dtype": "bfloat16"}},
    {"name": "t", "tier": "gpu", "timed": True, "args": {"rows": 8192, "features": 18944, "dtype": "bfloat16"}},
    {"name": "r", "tier": "gpu", "timed": True, "args": {"rows": 1000, "features": 11003, "dtype": "bfloat16"}},
)
HEADLINES = (
    {"claim": "SwiGLU 5x over the unfused form", "case": "t", "against": "eager", "measure": "time", "ratio": 5.0},
)


def make_inputs(case, draw):
    """gate, up [rows, features]."""
    shape = (case["rows"], case["features"])
    return draw.normal(*shape, dtype=case["dtype"]), draw.normal(*shape, dtype=case["dtype"])


def chron_swiglu(gate, up):
    """gate, up [rows, features] → [rows, features] in the dtype of gate.

    In bf16 these five kernels move 38 bytes an element: the form that one pass of 6 can be five times faster than.
    """
    return (F.silu(gate.float()) * up.float()).to(gate.dtype)


def library(gate, up):
    """Two kernels in the dtype of gate, 10 bytes an element in bf16, with the activation rounded between them."""
    return F.silu(gate) * up


def cost(case):
    """gate and up are read, y written; no matrix product."""
    item = 4 if case["dtype"] == "float32" else 2
    return {"bytes": 3 * item * case["rows"] * case["features"], "flops": 0}
