"""x + y of the same shape where x arrives as a transposed (strided) view, in float32."""

TOLERANCE = "T32"
CASES = [
    {"name": "square", "args": {"rows": 16, "cols": 16}, "distribution": "normal", "hidden": False},
    {"name": "flat", "args": {"rows": 5, "cols": 40}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "odd", "args": {"rows": 19, "cols": 3}, "distribution": "normal", "hidden": True},
]


def make_inputs(case, draw):
    return draw.normal(case["cols"], case["rows"]).t(), draw.normal(case["rows"], case["cols"])


def transpose_add(x, y):
    return x + y
