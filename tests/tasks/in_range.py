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
]


def make_inputs(case, draw):
    return draw.normal(case["n"]), case["low"], case["low"] + case["width"]


def in_range(x, low, high):
    return (x >= low) & (x <= high)
