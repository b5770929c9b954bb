"""Square tiles, turned in registers so that both sides are read in order."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def transpose_add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    turned = tl.load(
        x_ptr + column[:, None] * n + row[None, :], mask=(column[:, None] < n) & (row[None, :] < n), other=0.0
    )
    at = row[:, None] * n + column[None, :]
    keep = (row[:, None] < n) & (column[None, :] < n)
    tl.store(out_ptr + at, tl.trans(turned) + tl.load(y_ptr + at, mask=keep, other=0.0), mask=keep)


class ModelNew(nn.Module):
    def forward(self, x, y):
        out = torch.empty_like(y)
        n = x.shape[0]
        grid = (triton.cdiv(n, 64), triton.cdiv(n, 64))
        transpose_add_kernel[grid](x, y, out, n, BLOCK=64, num_warps=8)
        return out
