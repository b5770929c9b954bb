"""a * conj(b) over vectors of complex64."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"n": 64}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"n": 100}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"n": 333}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"n": 1048576}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "second", "args": {"n": 1000001}, "distribution": "heavy_tailed", "hidden": False, "tier": "gpu"},
    {"name": "timed", "args": {"n": 4194304}, "distribution": "normal", "hidden": False, "tier": "gpu", "timed": True},
    {"name": "ragged", "args": {"n": 777777}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"n": 1299709}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return tuple(torch.view_as_complex(draw.normal(case["n"], 2)) for _ in range(2))


def complex_product(a, b):
    return a * b.conj()
