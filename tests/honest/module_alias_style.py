"""`import triton.language` under another name, partial application and several helpers at module level.

family: import styles
task: row_sum
"""

from functools import partial

import torch
import triton
from triton import cdiv, jit
from triton import language as T

BLOCK = 64
round_up = partial(cdiv)


@jit
def sum_kernel(x, y, n, B: T.constexpr):
    r = T.program_id(0)
    acc = T.zeros([B], dtype=T.float32)
    for s in range(0, n, B):
        c = s + T.arange(0, B)
        acc = acc + T.load(x + r * n + c, c < n, 0.0)
    T.store(y + r, T.sum(acc, 0))


def row_sum(x):
    y = torch.empty(x.shape[:-1], dtype=x.dtype, device=x.device)
    tiles = round_up(x.shape[1], BLOCK)
    assert tiles > 0
    sum_kernel[x.shape[0],](x, y, x.shape[1], B=BLOCK)
    return y
