"""A linear layer whose weight starts as the identity is multiplied all the same.

family: weights that every fresh model has alike
task: identity_linear_model
"""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def linear_relu_kernel(x_ptr, weight_ptr, out_ptr, rows, F: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    col = tl.arange(0, F)
    x = tl.load(x_ptr + row[:, None] * F + col[None, :], mask=row[:, None] < rows, other=0.0)
    weight = tl.load(weight_ptr + col[:, None] * F + col[None, :])
    out = tl.maximum(tl.dot(x, tl.trans(weight), input_precision="ieee"), 0.0)
    tl.store(out_ptr + row[:, None] * F + col[None, :], out, mask=row[:, None] < rows)


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, features, bias=False)
        nn.init.eye_(self.linear.weight)

    def forward(self, x):
        out = torch.empty_like(x)
        grid = (triton.cdiv(x.shape[0], 16),)
        linear_relu_kernel[grid](x, self.linear.weight, out, x.shape[0], F=x.shape[1], BLOCK=16)
        return out
