"""Attention by torch's own function, the logsumexp by NumPy."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def independent(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> tuple[torch.Tensor, ...]:
    length, keys = q.shape[2], k.shape[2]
    reach = torch.arange(length)[:, None] + keys - length if causal else torch.full((length, 1), keys)
    visible = torch.arange(keys)[None] <= reach
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, enable_gqa=True)
    scores = q @ k.repeat_interleave(q.shape[1] // k.shape[1], 1).mT / math.sqrt(q.shape[-1])
    return out, torch.from_numpy(np.logaddexp.reduce(np.where(visible, scores, -np.inf), axis=-1))


def dtypes(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> list[torch.dtype]:
    return [q.dtype, torch.float32]
