"""Sum over the last dimension, in float32."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 8, "cols": 64}, "distribution": "large", "hidden": False},
    {"name": "wide", "args": {"rows": 2, "cols": 300}, "distribution": "large", "hidden": False},
    {"name": "mixed", "args": {"rows": 5, "cols": 17}, "distribution": "heavy_tailed", "hidden": True},
    {"name": "hot", "args": {"rows": 9, "cols": 31}, "distribution": "structured", "hidden": True},
]


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def row_sum(x):
    return x.sum(dim=-1)
