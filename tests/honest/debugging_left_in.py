"""The author's checks are still there: device asserts, and what the compiler prints about a block.

family: static_print and device_assert
task: gather_rows
"""

import torch
import triton
import triton.language as tl


@triton.jit
def gather_kernel(table_ptr, index_ptr, out_ptr, rows, cols, BLOCK: tl.constexpr, DEBUG: tl.constexpr = False):
    pick = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    tl.static_print("BLOCK", BLOCK)
    row = tl.load(index_ptr + pick)
    tl.device_assert((row >= 0) & (row < rows), "index out of range")
    if DEBUG:
        tl.static_print(f"{BLOCK} lanes")
    tl.store(out_ptr + pick * cols + column, tl.load(table_ptr + row * cols + column, column < cols), column < cols)


def gather_rows(table, index):
    out = table.new_empty(index.numel(), table.shape[1])
    block = triton.next_power_of_2(table.shape[1])
    gather_kernel[(index.numel(),)](table, index, out, *table.shape, BLOCK=block)
    return out
