"""x * scale where the bool mask holds and fill elsewhere, in bfloat16."""

import torch

TOLERANCE = "TB"
CASES = [
    {
        "name": "small",
        "args": {"rows": 4, "cols": 64, "scale": 2.0, "fill": -1.0},
        "distribution": "normal",
        "hidden": False,
    },
    {
        "name": "odd",
        "args": {"rows": 3, "cols": 77, "scale": -0.5, "fill": 0.0},
        "distribution": "heavy_tailed",
        "hidden": False,
    },
    {
        "name": "hot",
        "args": {"rows": 6, "cols": 33, "scale": 3.0, "fill": 7.0},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "square",
        "args": {"rows": 1024, "cols": 1024, "scale": 2.0, "fill": -1.0},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "wide",
        "args": {"rows": 64, "cols": 16384, "scale": -0.5, "fill": 0.0},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 4096, "cols": 4096, "scale": 1.5, "fill": 1.0},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"rows": 1013, "cols": 1531, "scale": 3.0, "fill": 7.0},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "large",
        "args": {"rows": 257, "cols": 9001, "scale": 0.25, "fill": -3.0},
        "distribution": "large",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    x = draw.normal(case["rows"], case["cols"], dtype="bfloat16")
    return x, draw.booleans(case["rows"], case["cols"]), case["scale"], case["fill"]


def masked_scale(x, mask, scale, fill):
    return torch.where(mask, x * scale, torch.full_like(x, fill))
