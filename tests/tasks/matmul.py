"""Product of two float32 matrices."""

TOLERANCE = "T32"
CASES = [
    {"name": "square", "args": {"m": 32, "n": 32, "k": 32}, "distribution": "normal", "hidden": False},
    {"name": "deep", "args": {"m": 16, "n": 48, "k": 80}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"m": 19, "n": 35, "k": 41}, "distribution": "normal", "hidden": True},
]


def make_inputs(case, draw):
    return draw.normal(case["m"], case["k"]), draw.normal(case["k"], case["n"])


def matmul(a, b):
    return a @ b
