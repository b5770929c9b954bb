"""Position of the last positive float32 value in each row, as int32; -1 where there is none."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "wide", "args": {"rows": 2, "cols": 300}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "odd", "args": {"rows": 7, "cols": 33}, "distribution": "structured", "hidden": True},
    {"name": "square", "args": {"rows": 1024, "cols": 2048}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "wide",
        "args": {"rows": 32, "cols": 131072},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 4096, "cols": 2048},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"rows": 1013, "cols": 1777},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
    {"name": "few", "args": {"rows": 5, "cols": 300007}, "distribution": "normal", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def last_positive(x):
    position = torch.arange(x.shape[1], device=x.device, dtype=torch.int32)
    return torch.where(x > 0, position, -1).amax(dim=-1).to(torch.int32)
