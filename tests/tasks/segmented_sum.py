"""Running sum along each row that starts anew wherever the flag is set, in float32."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 3, "cols": 77}, "distribution": "large", "hidden": False},
    {"name": "ragged", "args": {"rows": 7, "cols": 33}, "distribution": "structured", "hidden": True},
    {"name": "square", "args": {"rows": 4096, "cols": 256}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "wide",
        "args": {"rows": 512, "cols": 1024},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 16384, "cols": 256},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 3001, "cols": 333}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "few", "args": {"rows": 9, "cols": 777}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"]), draw.booleans(case["rows"], case["cols"], probability=0.2)


def segmented_sum(x, starts):
    out, total = torch.empty_like(x), torch.zeros_like(x[:, 0])
    for column in range(x.shape[1]):
        total = torch.where(starts[:, column], x[:, column], total + x[:, column])
        out[:, column] = total
    return out
