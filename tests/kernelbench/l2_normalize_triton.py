"""A persistent kernel: a fixed number of programs strides over the rows."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def normalize_kernel(x_ptr, out_ptr, rows, cols, BLOCK: tl.constexpr):
    for row in range(tl.program_id(0), rows, tl.num_programs(0)):
        column = tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * cols + column, mask=column < cols, other=0.0)
        tl.store(out_ptr + row * cols + column, x / tl.sqrt(tl.sum(x * x, axis=0)), mask=column < cols)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        rows, cols = x.shape
        normalize_kernel[(min(rows, 1024),)](x, out, rows, cols, BLOCK=triton.next_power_of_2(cols), num_warps=8)
        return out
