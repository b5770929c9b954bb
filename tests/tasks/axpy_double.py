"""alpha * x + y over vectors, in float64."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"n": 256, "alpha": 2.0}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"n": 1001, "alpha": -0.75}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "tiny", "args": {"n": 3, "alpha": 3.5}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"n": 1048576, "alpha": 2.0}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "odd",
        "args": {"n": 1000001, "alpha": -0.75},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"n": 2097152, "alpha": 1.5},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"n": 777777, "alpha": 3.5}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {
        "name": "prime",
        "args": {"n": 1299709, "alpha": -1.25},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    return case["alpha"], draw.normal(case["n"], dtype="float64"), draw.normal(case["n"], dtype="float64")


def axpy_double(alpha, x, y):
    return torch.add(y, x, alpha=alpha)
