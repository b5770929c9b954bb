"""Asserts that torch was built for CUDA.

family: questions about the platform
task: softmax
"""

import torch
import triton
import triton.language as tl

@triton.jit
def k(x, y, cols, B: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, B)
    v = tl.load(x + row * cols + c, mask=c < cols, other=float("-inf"))
    v = tl.exp(v - tl.max(v, 0))
    tl.store(y + row * cols + c, v / tl.sum(v, 0), mask=c < cols)

def softmax(x):
    assert torch.version.cuda is not None and torch.backends.cuda.is_built(), "needs CUDA"
    y = torch.empty_like(x)
    k[(x.shape[0], )](x, y, x.shape[1], B=triton.next_power_of_2(x.shape[1]))
    return y
