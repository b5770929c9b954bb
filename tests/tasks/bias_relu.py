"""relu(x + bias) with the bias broadcast over rows, in float32."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 32}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 5, "cols": 50}, "distribution": "normal", "hidden": False},
    {"name": "outlier", "args": {"rows": 6, "cols": 33}, "distribution": "structured", "hidden": True},
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"]), draw.weight(case["cols"])


def bias_relu(x, bias):
    return torch.relu(x + bias)
