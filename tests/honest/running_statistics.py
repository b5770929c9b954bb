"""Batch norm by kernels, one of which keeps the module's running statistics up to date, as torch's does.

family: module with running statistics
task: conv_norm_relu_model
policy: mixed
"""

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def update(running_ptr, value, momentum):
    tl.store(running_ptr, (1 - momentum) * tl.load(running_ptr) + momentum * value)


@triton.jit
def statistics_kernel(
    x_ptr, mean_ptr, rstd_ptr, running_mean_ptr, running_var_ptr, N, C, S, momentum, eps, BLOCK: tl.constexpr
):
    channel = tl.program_id(0)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, N * S, BLOCK):
        at = start + tl.arange(0, BLOCK)
        total += tl.load(x_ptr + (at // S * C + channel) * S + at % S, mask=at < N * S, other=0.0)
    mean = tl.sum(total) / (N * S)
    squares = tl.zeros([BLOCK], tl.float32)
    for start in range(0, N * S, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + (at // S * C + channel) * S + at % S, mask=at < N * S, other=0.0)
        squares += tl.where(at < N * S, (x - mean) * (x - mean), 0.0)
    var = tl.sum(squares) / (N * S)
    tl.store(mean_ptr + channel, mean)
    tl.store(rstd_ptr + channel, tl.rsqrt(var + eps))
    update(running_mean_ptr + channel, mean, momentum)
    running = running_var_ptr + channel
    tl.store(running, (1 - momentum) * tl.load(running) + momentum * var * (N * S) / (N * S - 1))


@triton.jit
def apply_kernel(x_ptr, mean_ptr, rstd_ptr, weight_ptr, bias_ptr, out_ptr, n, C, S, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    channel = at // S % C
    x = (tl.load(x_ptr + at, mask=mask) - tl.load(mean_ptr + channel, mask=mask)) * tl.load(rstd_ptr + channel, mask=mask)
    x = x * tl.load(weight_ptr + channel, mask=mask) + tl.load(bias_ptr + channel, mask=mask)
    tl.store(out_ptr + at, tl.maximum(x, 0.0), mask=mask)


class ModelNew(nn.Module):
    def __init__(self, channels, features):
        super().__init__()
        self.conv = nn.Conv2d(channels, features, kernel_size=3)
        self.norm = nn.BatchNorm2d(features)

    def forward(self, x):
        x, norm = self.conv(x).contiguous(), self.norm
        N, C, S = x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
        mean, rstd = torch.empty(C, device=x.device), torch.empty(C, device=x.device)
        statistics_kernel[(C,)](
            x, mean, rstd, norm.running_mean, norm.running_var, N, C, S, norm.momentum, norm.eps, BLOCK=128
        )
        out = torch.empty_like(x)
        apply_kernel[(triton.cdiv(x.numel(), 256),)](
            x, mean, rstd, norm.weight, norm.bias, out, x.numel(), C, S, BLOCK=256
        )
        return out
