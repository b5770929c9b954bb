"""Mean and population variance of each row, in float32, as a tuple."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "wide", "args": {"rows": 2, "cols": 150}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "offset", "args": {"rows": 3, "cols": 90}, "distribution": "large", "hidden": True},
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
        "args": {"rows": 8192, "cols": 1024},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 997, "cols": 777}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"rows": 513, "cols": 640}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def mean_var(x):
    return x.mean(dim=-1), torch.var(x, dim=-1, correction=0)
