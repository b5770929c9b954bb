"""Masks of rows and columns are joined by the word `and`, and turned round by `not`, with branches by compile-time flags.

family: logical words on blocks
task: causal_mask
"""

import torch
import triton
import triton.language as tl


@triton.jit
def causal_kernel(x_ptr, out_ptr, bias_ptr, rows, stride, BM: tl.constexpr, BN: tl.constexpr, HAS_BIAS: tl.constexpr):
    i = tl.program_id(0) * BM + tl.arange(0, BM)[:, None]
    j = tl.program_id(1) * BN + tl.arange(0, BN)[None, :]
    inside = i < rows and j < rows
    x = tl.load(x_ptr + i * stride + j, mask=inside, other=0.0)
    if HAS_BIAS and bias_ptr is not None:
        x += tl.load(bias_ptr + j, mask=j < rows, other=0.0)
    later = not (j < i or j == i)
    tl.store(out_ptr + i * stride + j, tl.where(later, float("-inf"), x), mask=inside)


def causal_mask(scores):
    rows = scores.shape[0]
    out = torch.empty_like(scores)
    grid = (triton.cdiv(rows, 16), triton.cdiv(rows, 32))
    causal_kernel[grid](scores, out, None, rows, scores.stride(0), BM=16, BN=32, HAS_BIAS=False)
    return out
