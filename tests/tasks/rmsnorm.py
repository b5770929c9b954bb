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
    {
        "name": "alike",
        "args": {"rows": 6, "cols": 40, "dtype": "float16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "even",
        "args": {"rows": 1024, "cols": 512, "dtype": "bfloat16"},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "second",
        "args": {"rows": 2000, "cols": 1000, "dtype": "float16"},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 4096, "cols": 2048, "dtype": "bfloat16"},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"rows": 997, "cols": 777, "dtype": "float16"},
        "distribution": "large",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "last",
        "args": {"rows": 513, "cols": 640, "dtype": "bfloat16"},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"], dtype=case["dtype"]), draw.weight(case["cols"], dtype=case["dtype"])


def rmsnorm(x, weight):
    wide = x.to(torch.float32)
    scale = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + 1e-6)
    return (wide * scale * weight.to(torch.float32)).to(x.dtype)
