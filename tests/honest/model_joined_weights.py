"""Weight and bias are joined into one matrix with torch.cat when the module is made; positions come from torch.arange.

family: nn.Module with packed weights
task: linear_model
"""

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def linear_relu_kernel(x_ptr, packed_ptr, position_ptr, out_ptr, N, K: tl.constexpr, BLOCK: tl.constexpr):
    row, col = tl.program_id(0), tl.program_id(1)
    at = tl.load(position_ptr + tl.arange(0, BLOCK), mask=tl.arange(0, BLOCK) < K, other=K)
    x = tl.load(x_ptr + row * K + at, mask=at < K, other=0.0)
    weight = tl.load(packed_ptr + col * (K + 1) + at, mask=at < K, other=0.0)
    y = tl.sum(x * weight, axis=0) + tl.load(packed_ptr + col * (K + 1) + K)
    tl.store(out_ptr + row * N + col, tl.maximum(y, 0.0))


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        linear = nn.Linear(in_features, out_features)
        self.packed = nn.Parameter(torch.cat([linear.weight, linear.bias.unsqueeze(1)], dim=1))

    def forward(self, x):
        N, K = self.packed.shape[0], self.packed.shape[1] - 1
        positions = torch.arange(K, device=x.device, dtype=torch.int32)
        out = torch.empty((x.shape[0], N), device=x.device, dtype=x.dtype)
        linear_relu_kernel[(x.shape[0], N)](x, self.packed, positions, out, N, K, BLOCK=triton.next_power_of_2(K))
        return out
