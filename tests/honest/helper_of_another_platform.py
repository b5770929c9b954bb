"""A helper function with assembly is called only in a branch that is switched off.

family: branches by tl.constexpr
task: gelu
"""

import torch
import triton
import triton.language as tl

@triton.jit
def softplus_nv(x):
    return tl.inline_asm_elementwise("ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)

@triton.jit
def k(x, y, n, FAST: tl.constexpr, B: tl.constexpr):
    i = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + i, mask=i < n)
    if FAST:
        v = softplus_nv(v)
    tl.store(y + i, 0.5 * v * (1 + tl.erf(v * 0.7071067811865476)), mask=i < n)

def gelu(x):
    y = torch.empty_like(x)
    k[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), FAST=False, B=64)
    return y
