"""Smallest and largest value of an int32 vector, as scalars in a dict."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"n": 64}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"n": 333}, "distribution": "normal", "hidden": False},
    {"name": "ragged", "args": {"n": 1007}, "distribution": "normal", "hidden": True},
    {"name": "even", "args": {"n": 1048576}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "odd", "args": {"n": 1000001}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "timed", "args": {"n": 8388608}, "distribution": "normal", "hidden": False, "tier": "gpu", "timed": True},
    {"name": "ragged", "args": {"n": 777777}, "distribution": "normal", "hidden": True, "tier": "gpu"},
    {"name": "prime", "args": {"n": 1299709}, "distribution": "normal", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (draw.integers(case["n"], low=-(2**30), high=2**30, dtype="int32"),)


def extrema(x):
    return {"low": x.amin(), "high": x.amax()}
