"""Rows are summed in column chunks by float atomics into torch.zeros, several launches one after the other.

family: torch.zeros accumulated over launches
task: row_sum
"""

import torch
import triton
import triton.language as tl


@triton.jit
def add_chunk_kernel(x_ptr, out_ptr, rows, cols, start, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = start + tl.arange(0, BLOCK)
    keep = (row[:, None] < rows) & (column[None, :] < cols)
    x = tl.load(x_ptr + row[:, None] * cols + column[None, :], mask=keep, other=0.0)
    tl.atomic_add(out_ptr + row, tl.sum(x, axis=1), mask=row < rows)


def row_sum(x):
    rows, cols = x.shape
    out = torch.zeros(rows, device=x.device, dtype=x.dtype)
    block = 8192 if cols > 8192 else 64
    for start in range(0, cols, block):
        add_chunk_kernel[(triton.cdiv(rows, 4),)](x, out, rows, cols, start, ROWS=4, BLOCK=block)
    return out
