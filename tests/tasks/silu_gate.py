"""silu(gate) * up, everything in bfloat16."""

import torch

TOLERANCE = "TB"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 3, "cols": 77}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"rows": 7, "cols": 33}, "distribution": "large", "hidden": True},
    {"name": "square", "args": {"rows": 1024, "cols": 1024}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "wide",
        "args": {"rows": 64, "cols": 18944},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 2048, "cols": 4864},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 1000, "cols": 11003}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "hot", "args": {"rows": 129, "cols": 3001}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return tuple(draw.normal(case["rows"], case["cols"], dtype="bfloat16") for _ in range(2))


def silu_gate(gate, up):
    return torch.nn.functional.silu(gate) * up
