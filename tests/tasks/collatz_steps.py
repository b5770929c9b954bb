"""Steps that each positive int64 takes to reach 1 (halve it when even, else 3 * x + 1), as int32."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"n": 64, "high": 100}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"n": 77, "high": 1000}, "distribution": "normal", "hidden": False},
    {"name": "ragged", "args": {"n": 133, "high": 500}, "distribution": "normal", "hidden": True},
    {"name": "even", "args": {"n": 262144, "high": 65536}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "small", "args": {"n": 1048576, "high": 100}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "timed",
        "args": {"n": 2097152, "high": 4096},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"n": 777777, "high": 1000}, "distribution": "normal", "hidden": True, "tier": "gpu"},
    {"name": "prime", "args": {"n": 99991, "high": 65536}, "distribution": "normal", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (draw.integers(case["n"], low=1, high=case["high"], dtype="int64"),)


def collatz_steps(x):
    steps = torch.zeros_like(x, dtype=torch.int32)
    while bool((x > 1).any()):
        steps += x > 1
        x = torch.where(x > 1, torch.where(x % 2 == 0, x // 2, 3 * x + 1), x)
    return steps
