"""A stride that is 1 is used as any other number, in a helper and in a loop too.

family: specialisation
task: softmax
"""

import torch
import triton
import triton.language as tl


@triton.jit
def place(row, stride_row, stride_col, at):
    return row * stride_row + at * stride_col


@triton.jit
def softmax_kernel(x_ptr, out_ptr, cols, stride_row, stride_col, step, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    keep = at < cols
    if stride_col == 1:
        x = tl.load(x_ptr + row * stride_row + at, mask=keep, other=float("-inf"))
    else:
        x = tl.load(x_ptr + place(row, stride_row, stride_col, at), mask=keep, other=float("-inf"))
    e = tl.exp(x - tl.max(x, 0))
    turns = step
    for _ in range(0, 3, step):
        turns += step
    e = e * tl.minimum(turns, step) / step
    tl.store(out_ptr + place(row, stride_row, stride_col, at), e / tl.sum(e, 0), mask=keep)


def softmax(x):
    out = torch.empty_like(x)
    rows, cols = x.shape
    softmax_kernel[(rows,)](x, out, cols, x.stride(0), x.stride(1), 1, BLOCK=triton.next_power_of_2(cols))
    return out
