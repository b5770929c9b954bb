"""Rotary embedding of queries and keys in one go: each half-split pair of a head is turned by its position's angle.

Chronicals, row `chron_qk_rope`. Unusual: both tensors share one small table of angles [S, D/2] (not repeated to D as in
most eager code), widths are no powers of two, and grouped keys have fewer heads than queries.
"""

import torch

FAMILY = "norm_act"
TOLERANCE = "TB"
HEADLINES = (
    {
        "claim": "QK-RoPE 2.3x over the unfused version",
        "case": "t",
        "against": "eager",
        "measure": "time",
        "ratio": 2.3,
    },
)
DESCRIPTION = (
    "Rotary position embedding of q [B, S, Hq, D] and k [B, S, Hk, D] with tables cos, sin [S, D/2], half-split "
    "pairing: for each position s and head, with a = x[..., :D/2] and b = x[..., D/2:], the result is "
    "concat(a · cos[s] - b · sin[s], b · cos[s] + a · sin[s]), computed in fp32. Returns (rotated q, rotated k), new "
    "tensors in the dtypes of q and k."
)
CASES = (
    {"name": "tiny", "tier": "cpu", "args": {"b": 1, "s": 16, "hq": 4, "hk": 2, "d": 64, "dtype": "bfloat16"}},
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"b": 2, "s": 9, "hq": 3, "hk": 3, "d": 32, "dtype": "float32"},
        "distribution": "large",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"b": 3, "s": 37, "hq": 7, "hk": 1, "d": 80, "dtype": "bfloat16"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_many_heads",
        "tier": "cpu",
        "args": {"b": 1, "s": 3, "hq": 130, "hk": 33, "d": 128, "dtype": "float16"},
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"b": 2, "s": 21, "hq": 5, "hk": 5, "d": 6, "dtype": "bfloat16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_one",
        "tier": "cpu",
        "args": {"b": 5, "s": 1, "hq": 1, "hk": 1, "d": 2, "dtype": "float32"},
        "hidden": True,
    },
    {
        "name": "s",
        "tier": "gpu",
        "args": {"b": 1, "s": 2048, "hq": 14, "hk": 2, "d": 64, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "t",
        "tier": "gpu",
        "args": {"b": 4, "s": 4096, "hq": 28, "hk": 4, "d": 128, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "r",
        "tier": "gpu",
        "args": {"b": 3, "s": 1537, "hq": 28, "hk": 4, "d": 80, "dtype": "bfloat16"},
        "timed": True,
    },
)


def make_inputs(case, draw):
    """q [b, s, hq, d], k [b, s, hk, d], cos and sin [s, d/2]: frequencies 10000^(-2i/d), random start."""
    b, s, d, dtype = case["b"], case["s"], case["d"], case["dtype"]
    q = draw.normal(b, s, case["hq"], d, dtype=dtype)
    k = draw.normal(b, s, case["hk"], d, dtype=dtype)
    position = torch.arange(s) + draw.uniform(1, high=1000.0).floor()
    angle = position[:, None] * 10000.0 ** (-torch.arange(d // 2) * 2 / d)
    return q, k, angle.cos().to(q.dtype), angle.sin().to(q.dtype)


def chron_qk_rope(q, k, cos, sin):
    """q [B, S, Hq, D], k [B, S, Hk, D], cos and sin [S, D/2] → (rotated q, rotated k)."""
    c, s = cos[:, None].float(), sin[:, None].float()

    def rotated(x):
        a, b = x.float().chunk(2, -1)
        return torch.cat([a * c - b * s, b * c + a * s], -1).to(x.dtype)

    return rotated(q), rotated(k)


def eager(q, k, cos, sin):
    """As in model code: tables repeated to [S, 1, D], and `x · cos + rotate_half(x) · sin` in the case's dtype."""
    c, s = (torch.cat([table, table], -1)[:, None] for table in (cos, sin))

    def rotate_half(x):
        a, b = x.chunk(2, -1)
        return torch.cat([-b, a], -1)

    return q * c + rotate_half(q) * s, k * c + rotate_half(k) * s


def cost(case):
    """Every element is read and written once, and the tables are read once; three operations an element."""
    size = 4 if case["dtype"] == "float32" else 2
    elements = case["b"] * case["s"] * (case["hq"] + case["hk"]) * case["d"]
    return {"bytes": size * (2 * elements + case["s"] * case["d"]), "flops": 3 * elements}
