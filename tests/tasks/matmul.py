"""Product of two float32 matrices."""

TOLERANCE = "T32"
CASES = [
    {"name": "square", "args": {"m": 32, "n": 32, "k": 32}, "distribution": "normal", "hidden": False},
    {"name": "deep", "args": {"m": 16, "n": 48, "k": 80}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"m": 19, "n": 35, "k": 41}, "distribution": "normal", "hidden": True},
    {"name": "even", "args": {"m": 256, "n": 256, "k": 256}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"m": 128, "n": 512, "k": 300},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"m": 1024, "n": 1024, "k": 256},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"m": 331, "n": 203, "k": 177}, "distribution": "normal", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"m": 97, "n": 1000, "k": 64}, "distribution": "large", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return draw.normal(case["m"], case["k"]), draw.normal(case["k"], case["n"])


def matmul(a, b):
    return a @ b
