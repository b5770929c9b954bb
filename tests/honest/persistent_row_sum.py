"""A persistent kernel: as many programs as the device has multiprocessors stride over the rows.

family: persistent kernel, device properties
task: row_sum
"""

import torch
import triton
import triton.language as tl

@triton.jit
def sum_kernel(x_ptr, out_ptr, rows, cols, BLOCK: tl.constexpr):
    for row in range(tl.program_id(0), rows, tl.num_programs(0)):
        total = tl.zeros([BLOCK], tl.float32)
        for start in range(0, cols, BLOCK):
            column = start + tl.arange(0, BLOCK)
            total += tl.load(x_ptr + row * cols + column, mask=column < cols, other=0.0)
        tl.store(out_ptr + row, tl.sum(total, axis=0))


def row_sum(x):
    rows, cols = x.shape
    out = torch.empty(rows, device=x.device, dtype=x.dtype)
    processors = torch.cuda.get_device_properties(x.device).multi_processor_count
    sum_kernel[(min(rows, processors),)](x, out, rows, cols, BLOCK=64)
    return out
