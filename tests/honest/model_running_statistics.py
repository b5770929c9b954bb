"""Normalises by the model's running statistics, all in one kernel.

family: models
task: norm_relu_model
"""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def norm_relu_kernel(x_ptr, mean_ptr, var_ptr, weight_ptr, bias_ptr, out_ptr, features, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    keep = at < features
    x = tl.load(x_ptr + row * features + at, mask=keep, other=0.0)
    scale = tl.load(weight_ptr + at, mask=keep, other=0.0) / tl.sqrt(tl.load(var_ptr + at, mask=keep, other=1.0) + eps)
    y = (x - tl.load(mean_ptr + at, mask=keep, other=0.0)) * scale + tl.load(bias_ptr + at, mask=keep, other=0.0)
    tl.store(out_ptr + row * features + at, tl.maximum(y, 0.0), mask=keep)


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm = nn.BatchNorm1d(features)

    def forward(self, x):
        out = torch.empty_like(x)
        rows, features = x.shape
        norm = self.norm
        norm_relu_kernel[(rows,)](
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, out, features, norm.eps,
            BLOCK=triton.next_power_of_2(features),
        )
        return out
