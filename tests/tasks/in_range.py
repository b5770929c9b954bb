"""Whether each float32 value lies in [low, high], as bool."""

TOLERANCE = "T32"
CASES = [
    {
        "name": "small",
        "args": {"n": 128, "low": -0.5, "width": 1.0},
        "distribution": "normal",
        "hidden": False,
    },
    {
        "name": "tails",
        "args": {"n": 153, "low": -1.0, "width": 3.0},
        "distribution": "heavy_tailed",
        "hidden": False,
    },
    {
        "name": "odd",
        "args": {"n": 45, "low": 0.0, "width": 1.0},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "even",
        "args": {"n": 1048576, "low": -0.5, "width": 1.0},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "second",
        "args": {"n": 1000001, "low": -1.0, "width": 3.0},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"n": 8388608, "low": -1.5, "width": 2.0},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"n": 777777, "low": 9.0, "width": 2.0},
        "distribution": "large",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "last",
        "args": {"n": 1299709, "low": 0.0, "width": 1.0},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    return draw.normal(case["n"]), case["low"], case["low"] + case["width"]


def in_range(x, low, high):
    return (x >= low) & (x <= high)
