"""Programs beyond the end return early.

family: early return
task: gather_rows
"""

import torch
import triton
import triton.language as tl

@triton.jit
def gather_kernel(table_ptr, index_ptr, out_ptr, picks, cols, BLOCK: tl.constexpr):
    pick = tl.program_id(0)
    if pick >= picks:
        return
    row = tl.load(index_ptr + pick)
    column = tl.arange(0, BLOCK)
    value = tl.load(table_ptr + row * cols + column, mask=column < cols)
    tl.store(out_ptr + pick * cols + column, value, mask=column < cols)


def gather_rows(table, index):
    picks, cols = index.numel(), table.shape[1]
    out = torch.empty((picks, cols), device=table.device, dtype=table.dtype)
    gather_kernel[(triton.next_power_of_2(picks),)](table, index, out, picks, cols, triton.next_power_of_2(cols))
    return out
