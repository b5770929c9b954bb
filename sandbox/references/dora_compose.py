"""DoRA's composition: `delta = (g - 1) · base + g · s · lora`, `y = base + delta`, g = mag / norm (Scaling DoRA).

Unusual: g sits near 1, so g - 1 is formed once in fp32 and never rounded: in bf16, whose numbers around 1 are 1/128
apart, it would be lost. delta is an output of its own, so that this cannot hide behind the much larger base.
"""

import torch

FAMILY = "lora"
TOLERANCE = "TB"
DESCRIPTION = (
    "DoRA composition for base and lora [M, O] of one dtype, mag and norm fp32 [O] and a number s: with "
    "g1 = mag / max(norm, 1e-12) - 1 (which is small: form it in fp32 and do not round it), "
    "delta = g1 · base + (1 + g1) · s · lora and y = base + delta, both computed in fp32 from unrounded terms. "
    "Returns (y, delta) in the dtype of base; delta is checked on its own."
)
CASES = (
    {"name": "tiny", "tier": "cpu", "args": {"m": 16, "o": 128, "r": 16, "dtype": "bfloat16"}},
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"m": 5, "o": 512, "r": 64, "dtype": "float32"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"m": 13, "o": 1003, "r": 48, "dtype": "bfloat16"},
        "distribution": "large",
    },
    {"name": "tiny_wide", "tier": "cpu", "args": {"m": 3, "o": 4500, "r": 384, "dtype": "bfloat16"}},
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"m": 37, "o": 257, "r": 33, "dtype": "float16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_column",
        "tier": "cpu",
        "args": {"m": 65, "o": 3, "r": 4, "dtype": "float32"},
        "distribution": "heavy_tailed",
        "hidden": True,
    },
    {"name": "s", "tier": "gpu", "timed": True, "args": {"m": 512, "o": 4096, "r": 16, "dtype": "bfloat16"}},
    {"name": "t", "tier": "gpu", "timed": True, "args": {"m": 8192, "o": 8192, "r": 384, "dtype": "bfloat16"}},
    {"name": "l", "tier": "gpu", "timed": True, "args": {"m": 8192, "o": 28672, "r": 384, "dtype": "bfloat16"}},
    {"name": "r", "tier": "gpu", "timed": True, "args": {"m": 3001, "o": 11008, "r": 48, "dtype": "bfloat16"}},
)
HEADLINES = (
    {
        "claim": "compose 1.5-2.7x over the unfused form",
        "case": "s",
        "against": "eager",
        "measure": "time",
        "ratio": 1.5,
    },
    {
        "claim": "compose 1.5-2.7x over the unfused form",
        "case": "t",
        "against": "eager",
        "measure": "time",
        "ratio": 2.7,
    },
    {
        "claim": "compose 1.5-2.7x over the unfused form",
        "case": "l",
        "against": "eager",
        "measure": "time",
        "ratio": 2.7,
    },
)
SLICE_ELEMENTS = 2**27
"""Elements held upcast at a time: 1 GiB in float64. Small cases are one slice."""


def make_inputs(case, draw):
    """base, lora [m, o], mag, norm fp32 [o], s = alpha / sqrt(r) with alpha = 8.

    An adapter early in training: mag is within about 1e-3 of norm, and s · lora is about 1e-3 too, so that both terms
    of delta matter.
    """
    m, o, s = case["m"], case["o"], 8.0 / case["r"] ** 0.5
    base = draw.normal(m, o, dtype=case["dtype"])
    lora = draw.normal(m, o, dtype=case["dtype"], scale=1e-3 / s)
    norm = draw.uniform(o, low=0.5, high=2.0)
    drift = draw.weight(o) * o**0.5
    return base, lora, norm * (1 + 1e-3 * drift), norm, s


def dora_compose(base, lora, mag, norm, s):
    """base, lora [M, O], mag, norm [O], s → (y, delta), both [M, O] in the dtype of base."""
    g1 = mag.float() / norm.float().clamp_min(1e-12) - 1
    each = max(1, SLICE_ELEMENTS // base.shape[1])
    y, delta = torch.empty_like(base), torch.empty_like(base)
    for first in range(0, base.shape[0], each):
        rows = slice(first, first + each)
        base32 = base[rows].float()
        delta32 = g1 * base32 + (1 + g1) * s * lora[rows].float()
        y[rows], delta[rows] = base32 + delta32, delta32
    return y, delta


def eager(base, lora, mag, norm, s):
    """PEFT's chain in the dtype of base, with g - 1 formed in fp32 as PEFT would need to: three products, two sums."""
    g = mag / norm.clamp_min(1e-12)
    delta = (g - 1).to(base.dtype) * base + g.to(base.dtype) * lora * s
    return base + delta, delta


def cost(case):
    """base and lora are read, y and delta written; five operations an element."""
    m, o, item = case["m"], case["o"], 4 if case["dtype"] == "float32" else 2
    return {"bytes": 4 * item * m * o + 8 * o, "flops": 5 * m * o}
