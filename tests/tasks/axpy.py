"""alpha * x + y over vectors, in float32; alpha is a Python float."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"n": 256, "alpha": 2.0}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"n": 1001, "alpha": -0.75}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "tiny", "args": {"n": 3, "alpha": 3.5}, "distribution": "normal", "hidden": True},
    {"name": "prime", "args": {"n": 769, "alpha": 1.0}, "distribution": "large", "hidden": True},
]


def make_inputs(case, draw):
    return case["alpha"], draw.normal(case["n"]), draw.normal(case["n"])


def axpy(alpha, x, y):
    return alpha * x + y
