"""Convolution and batch norm stay torch modules, the statistics of which change; the activation is a kernel.

family: mixed policy, module with running statistics
task: conv_norm_relu_model
policy: mixed
"""

import torch
import triton
import triton.language as tl
import torch.nn as nn


@triton.jit
def relu_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.maximum(tl.load(x_ptr + at, mask=at < n), 0.0), mask=at < n)


class ModelNew(nn.Module):
    def __init__(self, channels, features):
        super().__init__()
        self.conv = nn.Conv2d(channels, features, kernel_size=3)
        self.norm = nn.BatchNorm2d(features)

    def forward(self, x):
        x = self.norm(self.conv(x)).contiguous()
        out = torch.empty_like(x)
        relu_kernel[(triton.cdiv(x.numel(), 256),)](x, out, x.numel(), BLOCK=256)
        return out
