"""Rows are padded with zeros by torch, so that the kernel needs no mask.

family: torch.nn.functional.pad
task: row_sum
"""

import torch
import torch.nn.functional as F
import triton
import triton.language as tl


@triton.jit
def row_sum_kernel(x_ptr, out_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))
    tl.store(out_ptr + tl.program_id(0), tl.sum(x, axis=0))


def row_sum(x):
    rows, cols = x.shape
    block = triton.next_power_of_2(cols)
    padded = F.pad(x, (0, block - cols), value=0.0)
    out = torch.empty(rows, device=x.device, dtype=x.dtype)
    row_sum_kernel[(rows,)](padded, out, BLOCK=block)
    return out
