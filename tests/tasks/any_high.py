"""Whether any value of a float32 vector lies above 3.85, as a bool scalar: about one time in twenty."""

CASES = [
    {"name": "few", "args": {"n": 1000}, "distribution": "normal", "hidden": False},
    {"name": "fewer", "args": {"n": 777}, "distribution": "normal", "hidden": False},
    {"name": "ragged", "args": {"n": 1023}, "distribution": "normal", "hidden": True},
    {"name": "more", "args": {"n": 2048}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "odd", "args": {"n": 1999}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "timed", "args": {"n": 1500}, "distribution": "normal", "hidden": False, "tier": "gpu", "timed": True},
    {"name": "ragged", "args": {"n": 901}, "distribution": "normal", "hidden": True, "tier": "gpu"},
    {"name": "prime", "args": {"n": 1607}, "distribution": "normal", "hidden": True, "tier": "gpu"},
]
TOLERANCE = "T32"


def make_inputs(case, draw):
    return (draw.normal(case["n"]),)


def any_high(x):
    return (x > 3.85).any()
