"""tl.associative_scan over pairs of flag and value in a two-dimensional block.

family: associative_scan over a tuple, bool input
task: segmented_sum
"""

import torch
import triton
import triton.language as tl


@triton.jit
def combine(first_start, first_sum, second_start, second_sum):
    return first_start | second_start, tl.where(second_start != 0, second_sum, first_sum + second_sum)


@triton.jit
def scan_kernel(x_ptr, start_ptr, out_ptr, rows, cols, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, BLOCK)[None, :]
    keep = (row < rows) & (column < cols)
    x = tl.load(x_ptr + row * cols + column, mask=keep, other=0.0)
    start = tl.load(start_ptr + row * cols + column, mask=keep, other=0).to(tl.int32)
    _, total = tl.associative_scan((start, x), axis=1, combine_fn=combine)
    tl.store(out_ptr + row * cols + column, total, mask=keep)


def segmented_sum(x, starts):
    rows, cols = x.shape
    out = torch.empty_like(x)
    scan_kernel[(triton.cdiv(rows, 2),)](x, starts, out, rows, cols, ROWS=2, BLOCK=triton.next_power_of_2(cols))
    return out
