"""One decoding step of attention over a 3-bit key/value cache (TurboESM, row `turbo_kv3_decode`).

A key is stored as `n · R lut[c] / sqrt(d)`: its norm n, a rotation R per head, one of eight Lloyd-Max levels per
element. The signs of the sketch S applied to what that leaves over estimate the rest of a score without bias (QJL).
Values have no sketch. Differences from the paper:
1. Rotations are random orthogonal, not calibrated by a singular value decomposition.
2. The cache layout is fixed here: bit planes, plane p of an element is bit p of its code. Per 32 elements there is one
   int32 word a plane, bit i of word w being element 32 w + i; planes are stored [..., plane, token, word].
The query is rotated once and the output rotated back once, so no key or value is ever rotated back.
"""

import math

import torch

FAMILY = "kv_quant_decode"
TOLERANCE = "TB"
DESCRIPTION = (
    "Attention of one new token, q [B, Hq, d], over a 3-bit key/value cache: codes as int32 bit planes "
    "[B, Hk, 3, T, d/32] (bit i of word w is element 32w+i, plane p is bit p of the code), sign planes of the key "
    "residual [B, Hk, T, d/32], fp16 norms and residual norms [B, Hk, T], rotations [Hk, d, d], sketch [d, d], level "
    "tables [8]. With qr = q @ rotation_k[h], a score is d**-0.5 · (sum(qr · norm · lut_k[code] / sqrt(d)) + "
    "sqrt(pi/2)/d · residual_norm · sum((qr @ sketchᵀ) · sign)) with sign = ±1; the output is "
    "(softmax(scores) @ (norm · lut_v[code] / sqrt(d))) @ rotation_v[h]ᵀ, [B, Hq, d] in the dtype of q."
)
CASES = (
    {
        "name": "tiny",
        "tier": "cpu",
        "args": {"b": 1, "hq": 2, "hk": 2, "t": 64, "d": 64, "keys": "plain", "dtype": "bfloat16"},
    },
    {
        "name": "tiny_grouped",
        "tier": "cpu",
        "args": {"b": 2, "hq": 4, "hk": 1, "t": 96, "d": 32, "keys": "outlier", "dtype": "float32"},
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"b": 2, "hq": 3, "hk": 1, "t": 251, "d": 64, "keys": "peaked", "dtype": "bfloat16"},
    },
    {
        "name": "tiny_wide",
        "tier": "cpu",
        "args": {"b": 1, "hq": 1, "hk": 1, "t": 130, "d": 128, "keys": "plain", "dtype": "bfloat16"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"b": 2, "hq": 2, "hk": 1, "t": 77, "d": 64, "keys": "plain", "dtype": "bfloat16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_large",
        "tier": "cpu",
        "args": {"b": 1, "hq": 2, "hk": 2, "t": 131, "d": 96, "keys": "outlier", "dtype": "float16"},
        "distribution": "large",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_one",
        "tier": "cpu",
        "args": {"b": 3, "hq": 1, "hk": 1, "t": 1, "d": 32, "keys": "plain", "dtype": "float32"},
        "hidden": True,
    },
    {
        "name": "s",
        "tier": "gpu",
        "args": {"b": 1, "hq": 20, "hk": 20, "t": 1024, "d": 64, "keys": "plain", "dtype": "bfloat16"},
    },
    {
        "name": "t",
        "tier": "gpu",
        "args": {"b": 8, "hq": 32, "hk": 32, "t": 32768, "d": 128, "keys": "plain", "dtype": "bfloat16"},
    },
    {
        "name": "l",
        "tier": "gpu",
        "args": {"b": 32, "hq": 32, "hk": 8, "t": 65536, "d": 128, "keys": "plain", "dtype": "bfloat16"},
    },
    {
        "name": "r",
        "tier": "gpu",
        "args": {"b": 3, "hq": 20, "hk": 20, "t": 1731, "d": 64, "keys": "peaked", "dtype": "bfloat16"},
    },
)
HEADLINES = (
    {
        "claim": "1.96x for fetching the cache, over dequantise-then-attend",
        "case": "t",
        "against": "eager",
        "measure": "time",
        "ratio": 1.96,
    },
)
LUT3 = (-2.1520, -1.3439, -0.7560, -0.2451, 0.2451, 0.7560, 1.3439, 2.1520)
"""Lloyd-Max levels of a unit normal."""
SLICE_ELEMENTS = 2**28
"""Cache elements held unpacked at a time: 2 GiB in float64. Small cases are one slice."""
LARGEST_SCORE = 16.0
"""Rotated queries have to be rounded anew, for tensor cores to 11 bits at best. That moves scores of hundreds so far
that the softmax takes another key: 3.5 % of the structured draws refused the expert."""
EAGER_ELEMENTS = 2**30
"""Cache elements that `eager` holds unpacked at a time: as fp32, once for each query head, more would not fit a GPU."""


def kv3_quantise(x, rotation, sketch, lut):
    """x [H, T, d] → codes [H, T, d] int64, signs [H, T, d] bool, norm [H, T, 1], residual norm [H, T, 1]."""
    norm = x.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    unit = (x / norm) @ rotation
    root = unit.shape[-1] ** 0.5
    codes = torch.bucketize(unit * root, (lut[1:] + lut[:-1]) / 2)
    residual = unit - lut[codes] / root
    return codes, residual @ sketch.T >= 0, norm, norm * residual.norm(dim=-1, keepdim=True)


def pack_bits(bits):
    """0/1 [..., d] → int32 words [..., d/32]; bit i of word w is element 32 w + i."""
    weights = torch.tensor([1 << i for i in range(31)] + [-(1 << 31)], device=bits.device)
    return (bits.long().reshape(*bits.shape[:-1], -1, 32) * weights).sum(-1).int()


def unpack_bits(words):
    """Inverse of `pack_bits`: int32 words [..., d/32] → 0/1 int32 [..., d]."""
    return ((words[..., None] >> torch.arange(32, dtype=torch.int32, device=words.device)) & 1).flatten(-2)


def unpack_codes(planes):
    """int32 bit planes [..., 3, T, d/32] → codes [..., T, d] int64 in [0, 8)."""
    bits = unpack_bits(planes).long()
    return bits[..., 0, :, :] + 2 * bits[..., 1, :, :] + 4 * bits[..., 2, :, :]


def make_inputs(case, draw):
    """The query and a cache quantised from real keys and values, in the order of `turbo_kv3_decode`.

    Keys: `plain`; `peaked` (every 100th key is the query of its group's first head); `outlier` (4 channels × 20).
    Values have a mean of 0.5. Queries are scaled down where a score could exceed `LARGEST_SCORE`.
    """
    b, hq, hk, t, d = (case[key] for key in ("b", "hq", "hk", "t", "d"))
    q = draw.normal(b, hq, d, dtype=case["dtype"])
    rotation_k, rotation_v = (torch.linalg.qr(draw.weight(hk, d, d))[0].contiguous() for _ in range(2))
    sketch = draw.weight(d, d) * d**0.5
    lut, loud = torch.tensor(LUT3), draw.permutation(d)[:4]
    cache = []
    for i in range(b):  # a sequence at a time: the unpacked cache of a large case would not fit
        k, v = draw.normal(hk, t, d), draw.normal(hk, t, d) + 0.5
        if case["keys"] == "peaked":
            k[:, ::100] = q[i, :: hq // hk, None].float()
        elif case["keys"] == "outlier":
            k[..., loud] *= 20
        longest = k.norm(dim=-1).amax(-1).repeat_interleave(hq // hk)  # [Hq]
        q[i] *= (LARGEST_SCORE * d**0.5 / (q[i].float().norm(dim=-1) * longest).clamp_min(1e-6)).clamp_max(1)[:, None]
        codes_k, signs, norm_k, residual = kv3_quantise(k, rotation_k, sketch, lut)
        codes_v, _, norm_v, _ = kv3_quantise(v, rotation_v, sketch, lut)
        planes_k, planes_v = (torch.stack([pack_bits(c >> p & 1) for p in range(3)], 1) for c in (codes_k, codes_v))
        norms = [n[..., 0].half() for n in (norm_k, residual, norm_v)]
        cache.append((planes_k, pack_bits(signs), norms[0], norms[1], planes_v, norms[2]))
    return (
        q,
        *(torch.stack(parts) for parts in zip(*cache, strict=True)),
        rotation_k,
        rotation_v,
        sketch,
        lut,
        lut.clone(),
    )


def turbo_kv3_decode(
    q, k_codes, k_signs, k_norm, k_residual, v_codes, v_norm, rotation_k, rotation_v, sketch, lut_k, lut_v
):
    """Returns attention output [B, Hq, d] in the dtype of q.

    q [B, Hq, d]; k_codes, v_codes int32 [B, Hk, 3, T, d/32]; k_signs int32 [B, Hk, T, d/32]; k_norm, k_residual,
    v_norm fp16 [B, Hk, T]; rotation_k, rotation_v fp32 [Hk, d, d]; sketch fp32 [d, d]; lut_k, lut_v fp32 [8].
    """
    d, hk, t = q.shape[-1], k_norm.shape[1], k_norm.shape[2]
    rotated = q.float().reshape(len(q), hk, -1, d) @ rotation_k.float()  # [B, Hk, Hq/Hk, d]
    sketched = rotated @ sketch.float().T
    each, outputs = max(1, SLICE_ELEMENTS // (hk * t * d)), []
    for first in range(0, q.shape[0], each):
        part = slice(first, first + each)
        keys = k_norm[part, ..., None].float() * lut_k.float()[unpack_codes(k_codes[part])] / d**0.5
        scores = rotated[part] @ keys.transpose(-1, -2)
        signs = 2 * unpack_bits(k_signs[part]).to(keys.dtype) - 1
        correction = (math.pi / 2) ** 0.5 / d * k_residual[part, :, None].float()
        scores = scores + correction * (sketched[part] @ signs.transpose(-1, -2))
        values = v_norm[part, ..., None].float() * lut_v.float()[unpack_codes(v_codes[part])] / d**0.5
        outputs.append((scores * d**-0.5).softmax(-1) @ values)
    return (torch.cat(outputs) @ rotation_v.float().transpose(-1, -2)).flatten(1, 2).to(q.dtype)


def eager(q, k_codes, k_signs, k_norm, k_residual, v_codes, v_norm, rotation_k, rotation_v, sketch, lut_k, lut_v):
    """Unpack all keys and values to fp32 tensors, the sketch's part of the keys included, then attention."""
    d, hk, t = q.shape[-1], k_norm.shape[1], k_norm.shape[2]
    rotated = (q.float().reshape(len(q), hk, -1, d) @ rotation_k).flatten(1, 2)[:, :, None]

    def levels(planes, lut):
        return lut[sum(unpack_bits(planes[:, :, p]) << p for p in range(3))]

    def attend(q_, k_codes_, k_signs_, k_norm_, k_residual_, v_codes_, v_norm_):
        signs = 2.0 * unpack_bits(k_signs_) - 1.0
        keys = k_norm_[..., None].float() * levels(k_codes_, lut_k) / d**0.5
        keys = keys + (math.pi / 2) ** 0.5 / d * k_residual_[..., None].float() * (signs @ sketch)
        values = v_norm_[..., None].float() * levels(v_codes_, lut_v) / d**0.5
        return torch.nn.functional.scaled_dot_product_attention(q_, keys, values, enable_gqa=True)

    each = max(1, EAGER_ELEMENTS // (hk * t * d))
    parts = zip(*(x.split(each) for x in (rotated, k_codes, k_signs, k_norm, k_residual, v_codes, v_norm)), strict=True)
    out = torch.cat([attend(*part) for part in parts])[:, :, 0].reshape(len(q), hk, -1, d) @ rotation_v.transpose(
        -1, -2
    )
    return out.flatten(1, 2).to(q.dtype)


def cost(case):
    """The cache once: seven bits an element and three norms a token; products with keys and values."""
    b, hq, hk, t, d = (case[key] for key in ("b", "hq", "hk", "t", "d"))
    width = 4 if case["dtype"] == "float32" else 2
    constants = (2 * hk + 1) * d * d * 4 + 64
    return {"bytes": b * hk * t * (7 * d // 8 + 6) + 2 * b * hq * d * width + constants, "flops": 4 * b * hq * t * d}
