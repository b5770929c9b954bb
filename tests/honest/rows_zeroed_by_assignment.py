"""Zero rows of a 2D workspace by index and slices before atomics.

family: assignment of a number to a slice on the host
task: row_sum
"""

import torch
import triton
import triton.language as tl

@triton.jit
def k(x, ws, n, C, B: tl.constexpr):
    r = tl.program_id(0)
    i = tl.program_id(1) * B + tl.arange(0, B)
    tl.atomic_add(ws + r * C, tl.sum(tl.load(x + r * n + i, mask=i < n, other=0.0), 0))

def row_sum(x):
    R, n = x.shape
    ws = torch.empty(R, 4, device=x.device)
    ws[:, 0] = 0.0
    k[(R, triton.cdiv(n, 32))](x, ws, n, 4, B=32)
    return ws[:, 0].contiguous()
