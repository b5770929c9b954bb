"""A number that one thread stores, and after a barrier all read back.

family: numbers kept in memory
task: softmax
"""

import torch
import triton
import triton.language as tl


@triton.jit
def k1(x, y, s, n, B: tl.constexpr):
    r = tl.program_id(0)
    c = tl.arange(0, B)
    v = tl.load(x + r * n + c, mask=c < n, other=float("-inf"))
    tl.store(s + r, tl.max(v, 0))
    tl.debug_barrier()
    e = tl.exp(v - tl.load(s + r))
    tl.store(y + r * n + c, e / tl.sum(e, 0), mask=c < n)

def softmax(x):
    y, s = torch.empty_like(x), x.new_empty(x.shape[0])
    k1[(x.shape[0],)](x, y, s, x.shape[1], triton.next_power_of_2(x.shape[1]))
    return y
