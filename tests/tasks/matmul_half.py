"""Product of two float16 matrices, accumulated in float32."""

import torch

TOLERANCE = "T16"
CASES = [
    {"name": "square", "args": {"m": 32, "n": 32, "k": 64}, "distribution": "normal", "hidden": False},
    {"name": "deep", "args": {"m": 16, "n": 16, "k": 1024}, "distribution": "normal", "hidden": False},
    {"name": "ragged", "args": {"m": 20, "n": 24, "k": 72}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"m": 256, "n": 256, "k": 256}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"m": 128, "n": 512, "k": 1024},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"m": 1024, "n": 1024, "k": 512},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"m": 328, "n": 200, "k": 136}, "distribution": "normal", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"m": 96, "n": 1000, "k": 256}, "distribution": "large", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (
        draw.normal(case["m"], case["k"], dtype="float16"),
        draw.normal(case["k"], case["n"], dtype="float16"),
    )


def matmul_half(a, b):
    return (a.to(torch.float32) @ b.to(torch.float32)).to(torch.float16)
