"""tl.static_range over a constexpr count and a list of constexpr arithmetic.

family: static_range
task: row_sum
"""

import torch
import triton
import triton.language as tl

@triton.jit
def sum_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr, TILES: tl.constexpr):
    row = tl.program_id(0)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for tile in tl.static_range(TILES):
        column = tile * BLOCK + tl.arange(0, BLOCK)
        total += tl.load(x_ptr + row * cols + column, mask=column < cols, other=0.0)
    tl.static_assert(TILES >= 1, "at least one tile")
    tl.store(out_ptr + row, tl.sum(total, axis=0))


def row_sum(x):
    rows, cols = x.shape
    out = torch.empty((rows,), device=x.device, dtype=x.dtype)
    sum_kernel[(rows,)](x, out, cols, BLOCK=32, TILES=triton.cdiv(cols, 32))
    return out
