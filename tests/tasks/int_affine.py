"""x * scale + shift over int32 values, clamped to the range of int8 and returned as int8."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"n": 128, "scale": 3, "shift": -5}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"n": 333, "scale": -2, "shift": 11}, "distribution": "normal", "hidden": False},
    {"name": "tiny", "args": {"n": 7, "scale": 1, "shift": 100}, "distribution": "normal", "hidden": True},
    {
        "name": "even",
        "args": {"n": 1048576, "scale": 3, "shift": -5},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "second",
        "args": {"n": 1000001, "scale": -2, "shift": 11},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"n": 8388608, "scale": 2, "shift": 7},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"n": 777777, "scale": 1, "shift": 100},
        "distribution": "normal",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "last",
        "args": {"n": 1299709, "scale": -1, "shift": 0},
        "distribution": "normal",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    return draw.integers(case["n"], low=-60, high=60, dtype="int32"), case["scale"], case["shift"]


def int_affine(x, scale, shift):
    return (x * scale + shift).clamp(-128, 127).to(torch.int8)
