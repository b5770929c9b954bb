"""A count that one thread stores, and after a barrier all take as the bound of their loop.

family: numbers kept in memory
task: row_sum
"""

import torch
import triton
import triton.language as tl


@triton.jit
def k1(x, o, cnt, n, B: tl.constexpr):
    r = tl.program_id(0)
    tl.store(cnt + r, tl.cdiv(n, B))
    tl.debug_barrier()
    acc = tl.zeros((B,), tl.float32)
    for i in range(tl.load(cnt + r)):
        c = i * B + tl.arange(0, B)
        acc += tl.load(x + r * n + c, mask=c < n, other=0.0)
    tl.store(o + r, tl.sum(acc, 0))

def row_sum(x):
    o = x.new_empty(x.shape[0])
    k1[(x.shape[0],)](x, o, torch.empty(x.shape[0], dtype=torch.int32, device=x.device), x.shape[1], 64)
    return o
