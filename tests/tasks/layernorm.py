"""Layer normalisation over the last dimension with weight and bias, in float32."""

import torch.nn.functional as F

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64, "eps": 1e-5}, "distribution": "normal", "hidden": False},
    {"name": "wide", "args": {"rows": 2, "cols": 200, "eps": 1e-5}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"rows": 5, "cols": 47, "eps": 1e-3}, "distribution": "structured", "hidden": True},
    {
        "name": "even",
        "args": {"rows": 1024, "cols": 512, "eps": 1e-05},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "second",
        "args": {"rows": 2000, "cols": 1000, "eps": 1e-05},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 4096, "cols": 1024, "eps": 1e-05},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"rows": 997, "cols": 777, "eps": 0.001},
        "distribution": "large",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "last",
        "args": {"rows": 513, "cols": 640, "eps": 1e-05},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"]), draw.weight(case["cols"]), draw.weight(case["cols"]), case["eps"]


def layernorm(x, weight, bias, eps):
    return F.layer_norm(x, (x.shape[-1],), weight, bias, eps)
