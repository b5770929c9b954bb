"""relu(x + bias) with the bias broadcast over rows, in float32."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 32}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 5, "cols": 50}, "distribution": "normal", "hidden": False},
    {"name": "outlier", "args": {"rows": 6, "cols": 33}, "distribution": "structured", "hidden": True},
    {"name": "even", "args": {"rows": 1024, "cols": 512}, "distribution": "normal", "hidden": False, "tier": "gpu"},
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
    {"name": "ragged", "args": {"rows": 997, "cols": 777}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"rows": 513, "cols": 640}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"]), draw.weight(case["cols"])


def bias_relu(x, bias):
    return torch.relu(x + bias)
