"""Product of two int8 matrices, summed exactly into int32; at most 1024 terms."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "square", "args": {"m": 32, "n": 32, "k": 64}, "distribution": "normal", "hidden": False},
    {"name": "flat", "args": {"m": 16, "n": 48, "k": 32}, "distribution": "normal", "hidden": False},
    {"name": "ragged", "args": {"m": 19, "n": 35, "k": 41}, "distribution": "normal", "hidden": True},
    {
        "name": "square",
        "args": {"m": 1024, "n": 1024, "k": 1024},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {"name": "deep", "args": {"m": 128, "n": 256, "k": 1024}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "timed",
        "args": {"m": 2048, "n": 4096, "k": 1024},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"m": 1001, "n": 777, "k": 515},
        "distribution": "normal",
        "hidden": True,
        "tier": "gpu",
    },
    {"name": "thin", "args": {"m": 17, "n": 4099, "k": 1023}, "distribution": "normal", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (
        draw.integers(case["m"], case["k"], low=-128, high=128, dtype="int8"),
        draw.integers(case["k"], case["n"], low=-128, high=128, dtype="int8"),
    )


def matmul_int8(a, b):
    return (a.to(torch.float32) @ b.to(torch.float32)).to(torch.int32)  # exact: sums stay below 2**24
