"""Bias.repeat to full rows before an elementwise kernel.

family: Tensor.repeat on the host
task: bias_relu
"""

import torch
import triton
import triton.language as tl

@triton.jit
def k(x, b, y, n, B: tl.constexpr):
    i = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + i, tl.maximum(tl.load(x + i, mask=i < n) + tl.load(b + i, mask=i < n), 0.0), mask=i < n)

def bias_relu(x, bias):
    b = bias.repeat(x.shape[0], 1)
    y = torch.empty_like(x)
    k[(triton.cdiv(x.numel(), 128),)](x, b, y, x.numel(), B=128)
    return y
