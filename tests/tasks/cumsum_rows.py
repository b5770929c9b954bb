"""Running sum along the last dimension, in float32."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 32}, "distribution": "normal", "hidden": False},
    {"name": "wide", "args": {"rows": 2, "cols": 100}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 3, "cols": 45}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"rows": 4096, "cols": 64}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "second", "args": {"rows": 1000, "cols": 50}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "timed",
        "args": {"rows": 65536, "cols": 64},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 997, "cols": 45}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"rows": 513, "cols": 63}, "distribution": "heavy_tailed", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def cumsum_rows(x):
    return torch.cumsum(x, dim=-1)
