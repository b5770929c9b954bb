"""Two 4-bit codes a byte, low half first, to (code - 8) * scale of the row, in float16."""

import torch

TOLERANCE = "T16"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 3, "cols": 45}, "distribution": "normal", "hidden": False},
    {"name": "ragged", "args": {"rows": 7, "cols": 33}, "distribution": "normal", "hidden": True},
    {"name": "square", "args": {"rows": 1024, "cols": 1024}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "wide", "args": {"rows": 32, "cols": 32768}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "timed",
        "args": {"rows": 4096, "cols": 4096},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 999, "cols": 1301}, "distribution": "normal", "hidden": True, "tier": "gpu"},
    {"name": "flat", "args": {"rows": 5, "cols": 400003}, "distribution": "normal", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    packed = draw.integers(case["rows"], case["cols"], low=0, high=256, dtype="uint8")
    return packed, draw.uniform(case["rows"], low=0.5, high=2.0)


def unpack_int4(packed, scale):
    codes = torch.stack([packed & 15, packed >> 4], dim=-1).flatten(1)
    return ((codes.to(torch.float32) - 8) * scale[:, None]).to(torch.float16)
