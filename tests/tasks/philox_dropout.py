"""Dropout by Philox 4x32-10 with the position as counter: x / (1 - p) where the draw exceeds p, in float32."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"n": 64, "p": 0.5, "seed": 7}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"n": 777, "p": 0.25, "seed": 123}, "distribution": "large", "hidden": False},
    {"name": "ragged", "args": {"n": 1001, "p": 0.1, "seed": 2024}, "distribution": "heavy_tailed", "hidden": True},
    {
        "name": "even",
        "args": {"n": 1048576, "p": 0.5, "seed": 7},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "odd",
        "args": {"n": 1000001, "p": 0.25, "seed": 123},
        "distribution": "large",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"n": 4194304, "p": 0.3, "seed": 99},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"n": 777777, "p": 0.1, "seed": 2024},
        "distribution": "heavy_tailed",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "prime",
        "args": {"n": 1299709, "p": 0.75, "seed": 31},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    return draw.normal(case["n"]), case["p"], case["seed"]


def high_product(a, b):
    """Upper 32 bits of the product of two 32-bit numbers held in int64."""
    return ((a >> 16) * b + (((a & 0xFFFF) * b) >> 16)) >> 16


def philox(counter, key):
    """The first of the four 32-bit words, in int64."""
    c0, c1, c2, c3, k0, k1 = counter, counter * 0, counter * 0, counter * 0, key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        low0, low2 = (0xD2511F53 * c0) & 0xFFFFFFFF, (0xCD9E8D57 * c2) & 0xFFFFFFFF
        high0, high2 = high_product(c0, 0xD2511F53), high_product(c2, 0xCD9E8D57)
        c0, c1, c2, c3 = high2 ^ c1 ^ k0, low2, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0


def philox_dropout(x, p, seed):
    word = philox(torch.arange(x.numel(), device=x.device), seed)
    word = torch.where(word >= 2**31, 2**32 - 1 - word, word)  # a negative int32 folds to -word - 1
    return torch.where(word.to(torch.float32) * 4.6566127342e-10 > p, x / (1 - p), torch.zeros_like(x))
