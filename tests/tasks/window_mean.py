"""Mean over every window of a float32 vector that itself arrives as every second element of a longer one."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"n": 64, "width": 8}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"n": 101, "width": 5}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"n": 333, "width": 13}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"n": 1048576, "width": 16}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "odd", "args": {"n": 1000001, "width": 7}, "distribution": "heavy_tailed", "hidden": False, "tier": "gpu"},
    {
        "name": "timed",
        "args": {"n": 4194304, "width": 32},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"n": 777777, "width": 13}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "wide", "args": {"n": 300007, "width": 61}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return draw.normal(2 * case["n"])[::2], case["width"]


def window_mean(x, width):
    return x.unfold(0, width, 1).mean(dim=-1)
