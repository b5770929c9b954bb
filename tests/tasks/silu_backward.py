"""silu(x) and the gradient of it for what comes from above, by autograd, in float32."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 32}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 5, "cols": 50}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"rows": 3, "cols": 33}, "distribution": "large", "hidden": True},
    {
        "name": "even",
        "args": {"rows": 1024, "cols": 1024},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "wide",
        "args": {"rows": 64, "cols": 8192},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "second",
        "args": {"rows": 2000, "cols": 1000},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 4096, "cols": 1024},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 777, "cols": 333}, "distribution": "large", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"]), draw.normal(case["rows"], case["cols"])


def silu_backward(x, grad):
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = torch.nn.functional.silu(x)
        (slope,) = torch.autograd.grad(y, x, grad)
    return y.detach(), slope
