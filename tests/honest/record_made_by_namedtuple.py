"""Collections.namedtuple made inside a kernel and handed to a helper.

family: named tuples made in a kernel
task: row_sum
"""

from collections import namedtuple
import torch, triton, triton.language as tl

Row = namedtuple("Row", ["base", "n"])

@triton.jit
def total(row, B: tl.constexpr):
    i = tl.arange(0, B)
    return tl.sum(tl.load(row.base + i, mask=i < row.n, other=0.0))

@triton.jit
def k(x, y, n, B: tl.constexpr):
    r = tl.program_id(0)
    row = Row(x + r * n, n)
    tl.store(y + r, total(row, B))

def row_sum(x):
    y = torch.empty(x.shape[0], device=x.device)
    k[(x.shape[0],)](x, y, x.shape[1], B=triton.next_power_of_2(x.shape[1]))
    return y
