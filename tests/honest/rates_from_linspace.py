"""Numbers that a constructor reads off a tensor it made, as models with stochastic depth do; einops for a shape.

family: nn.Module with nested layers and buffers
task: mlp_model
"""

import random

import torch
import torch.nn as nn
import triton
import triton.language as tl
from einops import rearrange


@triton.jit
def layer_kernel(x_ptr, weight_ptr, bias_ptr, shift_ptr, out_ptr, K, N, keep, BN: tl.constexpr, BK: tl.constexpr):
    row = tl.program_id(0)
    column, inner = tl.arange(0, BN), tl.arange(0, BK)
    x = tl.load(x_ptr + row * K + inner, mask=inner < K, other=0.0)
    w = tl.load(weight_ptr + column[:, None] * K + inner[None, :], mask=(column[:, None] < N) & (inner[None, :] < K), other=0.0)
    y = tl.sum(w * x[None, :], 1) + tl.load(bias_ptr + column, mask=column < N, other=0.0)
    y = tl.maximum(y, 0.0) * keep + tl.load(shift_ptr + column, mask=column < N, other=0.0)
    tl.store(out_ptr + row * N + column, y, mask=column < N)


class Block(nn.Module):
    def __init__(self, width, out, rate):
        super().__init__()
        self.keep = 1.0 - rate
        self.linear = nn.Linear(width, out)
        self.register_buffer("shift", torch.linspace(-1.0, 1.0, out))

    def forward(self, x):
        (rows, K), N = x.shape, self.linear.out_features
        y = torch.empty(rows, N, device=x.device, dtype=x.dtype)
        layer_kernel[(rows,)](
            x, self.linear.weight, self.linear.bias, self.shift, y, K, N, self.keep,
            BN=triton.next_power_of_2(N), BK=triton.next_power_of_2(K),
        )
        return y


class ModelNew(nn.Module):
    def __init__(self, width, hidden, out):
        super().__init__()
        random.seed(0)
        rates = [rate.item() for rate in torch.linspace(0, 0, 2)]
        self.first = Block(width, hidden, rates[0])
        self.layers = nn.ModuleList([Block(hidden, out, rates[1])])

    def forward(self, x):
        x = rearrange(x, "(one rows) width -> (rows one) width", one=1)
        return self.layers[0](self.first(x))
