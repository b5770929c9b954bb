"""The scale is a number of numpy's, and an enumeration's member names the mask.

family: arguments that are kinds of float and str
task: attention
"""

from enum import Enum

import numpy as np
import torch
import triton
import triton.language as tl


class Mask(str, Enum):
    NONE = "none"
    CAUSAL = "causal"


@triton.jit
def attention_kernel(
    q_ptr, k_ptr, v_ptr, out_ptr, length, scale, MASK: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr
):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    part = tl.arange(0, WIDTH)
    q = tl.load(q_ptr + row[:, None] * WIDTH + part, mask=row[:, None] < length, other=0.0)
    peak = tl.full([BLOCK], -float("inf"), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    out = tl.zeros([BLOCK, WIDTH], tl.float32)
    for start in range(0, length, BLOCK):
        column = start + tl.arange(0, BLOCK)
        at, there = column[:, None] * WIDTH + part, column[:, None] < length
        k = tl.load(k_ptr + at, mask=there, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        keep = column[None, :] < length
        if MASK == "causal":
            keep = keep & (column[None, :] <= row[:, None])
        scores = tl.where(keep, scores, -float("inf"))
        higher = tl.maximum(peak, tl.max(scores, axis=1))
        weights = tl.exp(scores - higher[:, None])
        fade = tl.exp(peak - higher)
        total = total * fade + tl.sum(weights, axis=1)
        v = tl.load(v_ptr + at, mask=there, other=0.0)
        out = tl.dot(weights, v, out * fade[:, None], input_precision="ieee")
        peak = higher
    tl.store(out_ptr + row[:, None] * WIDTH + part, out / total[:, None], mask=row[:, None] < length)


def attention(q, k, v, causal):
    length, width = q.shape
    out = torch.empty_like(q)
    mask = Mask.CAUSAL if causal else Mask.NONE
    attention_kernel[(triton.cdiv(length, 16),)](
        q, k, v, out, length, 1 / np.sqrt(width), MASK=mask, WIDTH=width, BLOCK=16
    )
    return out
