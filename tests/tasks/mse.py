"""Mean squared error of two float32 matrices, as a scalar tensor."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"rows": 3, "cols": 99}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "odd", "args": {"rows": 6, "cols": 27}, "distribution": "structured", "hidden": True},
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"]), draw.normal(case["rows"], case["cols"])


def mse(prediction, target):
    return (prediction - target).square().mean()
