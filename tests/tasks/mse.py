"""Mean squared error of two float32 matrices, as a scalar tensor."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"rows": 3, "cols": 99}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "odd", "args": {"rows": 6, "cols": 27}, "distribution": "structured", "hidden": True},
    {"name": "even", "args": {"rows": 256, "cols": 512}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"rows": 500, "cols": 1000},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 1024, "cols": 1024},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 331, "cols": 777}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"rows": 513, "cols": 640}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"]), draw.normal(case["rows"], case["cols"])


def mse(prediction, target):
    return (prediction - target).square().mean()
