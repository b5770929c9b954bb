"""Layer normalisation over the last dimension with weight and bias, in float32."""

import torch.nn.functional as F

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64, "eps": 1e-5}, "distribution": "normal", "hidden": False},
    {"name": "wide", "args": {"rows": 2, "cols": 200, "eps": 1e-5}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"rows": 5, "cols": 47, "eps": 1e-3}, "distribution": "structured", "hidden": True},
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"]), draw.weight(case["cols"]), draw.weight(case["cols"]), case["eps"]


def layernorm(x, weight, bias, eps):
    return F.layer_norm(x, (x.shape[-1],), weight, bias, eps)
