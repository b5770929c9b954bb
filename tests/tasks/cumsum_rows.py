"""Running sum along the last dimension, in float32."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 32}, "distribution": "normal", "hidden": False},
    {"name": "wide", "args": {"rows": 2, "cols": 100}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 3, "cols": 45}, "distribution": "large", "hidden": True},
]


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def cumsum_rows(x):
    return torch.cumsum(x, dim=-1)
