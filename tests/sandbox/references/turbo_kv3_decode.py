"""Rotate every key and value back, then ordinary attention: what the fused form avoids."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def unpacked(words: torch.Tensor) -> torch.Tensor:
    """Bits of int32 words [..., w] as 0/1 [..., 32 w], by NumPy."""
    as_bytes = np.ascontiguousarray(words.numpy()).view(np.uint8)
    return torch.from_numpy(np.unpackbits(as_bytes, axis=-1, bitorder="little").astype(np.int64))


def independent(q: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
    k_codes, k_signs, k_norm, k_residual, v_codes, v_norm, rotation_k, rotation_v, sketch, lut_k, lut_v = rest
    d, weights = q.shape[-1], torch.tensor([1, 2, 4])[:, None, None]
    k_index, v_index = ((unpacked(planes) * weights).sum(2) for planes in (k_codes, v_codes))
    estimate = math.sqrt(math.pi / 2) / d * k_residual[..., None] * ((2 * unpacked(k_signs) - 1).double() @ sketch)
    keys = (k_norm[..., None] * lut_k[k_index] / math.sqrt(d) + estimate) @ rotation_k.mT
    values = (v_norm[..., None] * lut_v[v_index] / math.sqrt(d)) @ rotation_v.mT
    return F.scaled_dot_product_attention(q[:, :, None], keys, values, enable_gqa=True)[:, :, 0]


def dtypes(q: torch.Tensor, *rest: torch.Tensor) -> list[torch.dtype]:
    return [q.dtype]
