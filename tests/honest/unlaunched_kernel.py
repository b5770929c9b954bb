"""A first attempt that was left in the file, in a language that Triton does not have. It is never launched.

family: several kernels
task: gelu
"""

import torch
import triton
import triton.language as tl


@triton.jit
def first_attempt(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    acc = tl.zeros((BLOCK,), tl.float32)
    acc = acc.at[at].set(tl.gelu(tl.load(x_ptr + at, mask=at < n)))
    tl.store(out_ptr + at, acc, mask=at < n)


@triton.jit
def second_attempt(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0)
    tl.store(out_ptr + at, 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476)), mask=at < n)


def gelu(x):
    out = torch.empty_like(x)
    second_attempt[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), BLOCK=64)
    return out
