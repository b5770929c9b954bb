"""Keeps the nn.LayerNorm for its parameters; mean and variance in one program a row."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def layernorm_kernel(x_ptr, weight_ptr, bias_ptr, out_ptr, cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    keep = column < cols
    x = tl.load(x_ptr + row * cols + column, mask=keep, other=0.0)
    centred = tl.where(keep, x - tl.sum(x, axis=0) / cols, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=0) / cols + eps)
    y = centred * scale * tl.load(weight_ptr + column, mask=keep) + tl.load(bias_ptr + column, mask=keep)
    tl.store(out_ptr + row * cols + column, y, mask=keep)


class ModelNew(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        out = torch.empty_like(x)
        rows, cols = x.shape
        weight, bias = self.norm.weight, self.norm.bias
        layernorm_kernel[(rows,)](
            x, weight, bias, out, cols, self.norm.eps, BLOCK=triton.next_power_of_2(cols), num_warps=8
        )
        return out
