"""Root-mean-square normalisation over the last dimension, in bfloat16 or float16 with float32 arithmetic."""

import torch

TOLERANCE = "TB"
CASES = [
    {"name": "bf16", "args": {"rows": 4, "cols": 64, "dtype": "bfloat16"}, "distribution": "normal", "hidden": False},
    {"name": "fp16", "args": {"rows": 3, "cols": 96, "dtype": "float16"}, "distribution": "normal", "hidden": False},
    {"name": "ragged", "args": {"rows": 5, "cols": 77, "dtype": "bfloat16"}, "distribution": "large", "hidden": True},
    {
        "name": "tails",
        "args": {"rows": 2, "cols": 130, "dtype": "float16"},
        "distribution": "heavy_tailed",
        "hidden": True,
    },
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"], dtype=case["dtype"]), draw.weight(case["cols"], dtype=case["dtype"])


def rmsnorm(x, weight):
    wide = x.to(torch.float32)
    scale = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + 1e-6)
    return (wide * scale * weight.to(torch.float32)).to(x.dtype)
