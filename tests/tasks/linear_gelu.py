"""gelu(x @ weight.T + bias), in float32."""

import torch

TOLERANCE = "TS"
CASES = [
    {"name": "small", "args": {"rows": 5, "inner": 24, "cols": 20}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"rows": 16, "inner": 32, "cols": 16}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"rows": 7, "inner": 33, "cols": 19}, "distribution": "large", "hidden": True},
    {
        "name": "even",
        "args": {"rows": 512, "inner": 256, "cols": 512},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "second",
        "args": {"rows": 1000, "inner": 300, "cols": 200},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 4096, "inner": 1024, "cols": 1024},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"rows": 997, "inner": 129, "cols": 77},
        "distribution": "large",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "last",
        "args": {"rows": 65, "inner": 640, "cols": 513},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    return (
        draw.normal(case["rows"], case["inner"]),
        draw.normal(case["cols"], case["inner"]),
        draw.normal(case["cols"]),
    )


def linear_gelu(x, weight, bias):
    return torch.nn.functional.gelu(torch.nn.functional.linear(x, weight, bias))
