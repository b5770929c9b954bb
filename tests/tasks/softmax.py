"""Softmax over the last dimension of a matrix, in float32."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"rows": 3, "cols": 100}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"rows": 7, "cols": 33}, "distribution": "large", "hidden": True},
    {"name": "hot", "args": {"rows": 6, "cols": 65}, "distribution": "structured", "hidden": True},
]


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def softmax(x):
    return torch.softmax(x, dim=-1)
