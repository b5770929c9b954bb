"""Out[:] = 0 before an atomic accumulation.

family: assignment of a number to a slice on the host
task: row_sum
"""

import torch
import triton
import triton.language as tl

@triton.jit
def k(x, out, n, B: tl.constexpr):
    r = tl.program_id(0)
    i = tl.program_id(1) * B + tl.arange(0, B)
    tl.atomic_add(out + r, tl.sum(tl.load(x + r * n + i, mask=i < n, other=0.0), 0))

def row_sum(x):
    out = torch.empty(x.shape[0], dtype=x.dtype, device=x.device)
    out[:] = 0
    k[(x.shape[0], triton.cdiv(x.shape[1], 32))](x, out, x.shape[1], B=32)
    return out
