"""Exact GELU, x * Phi(x), elementwise in float32."""

import torch.nn.functional as F

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 32}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"rows": 3, "cols": 70}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "odd", "args": {"rows": 5, "cols": 11}, "distribution": "large", "hidden": True},
]


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def gelu(x):
    return F.gelu(x)
