"""Product of two float16 matrices, accumulated in float32."""

import torch

TOLERANCE = "T16"
CASES = [
    {"name": "square", "args": {"m": 32, "n": 32, "k": 64}, "distribution": "normal", "hidden": False},
    {"name": "deep", "args": {"m": 16, "n": 16, "k": 1024}, "distribution": "normal", "hidden": False},
    {"name": "ragged", "args": {"m": 20, "n": 24, "k": 72}, "distribution": "large", "hidden": True},
]


def make_inputs(case, draw):
    return (
        draw.normal(case["m"], case["k"], dtype="float16"),
        draw.normal(case["k"], case["n"], dtype="float16"),
    )


def matmul_half(a, b):
    return (a.to(torch.float32) @ b.to(torch.float32)).to(torch.float16)
