"""Angles come from a buffer that is computed in the constructor and not saved.

family: mixed policy, buffer that is not saved
task: rotary_model
policy: mixed
"""

import torch
import triton
import triton.language as tl


@triton.jit
def rotate_kernel(x_ptr, cos_ptr, sin_ptr, out_ptr, positions, HALF: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, HALF)
    angle = (row % positions) * HALF + at
    cos, sin = tl.load(cos_ptr + angle), tl.load(sin_ptr + angle)
    left = tl.load(x_ptr + row * 2 * HALF + at)
    right = tl.load(x_ptr + row * 2 * HALF + HALF + at)
    tl.store(out_ptr + row * 2 * HALF + at, left * cos - right * sin)
    tl.store(out_ptr + row * 2 * HALF + HALF + at, right * cos + left * sin)


class ModelNew(torch.nn.Module):
    def __init__(self, features):
        super().__init__()
        exponent = torch.arange(0, features, 2).float() / features
        self.register_buffer("frequency", 1.0 / (10000**exponent), persistent=False)

    def forward(self, x):
        rows, positions, features = x.shape
        angle = torch.outer(torch.arange(positions, device=x.device).float(), self.frequency)
        out = torch.empty_like(x)
        rotate_kernel[(rows * positions,)](x, angle.cos(), angle.sin(), out, positions, HALF=features // 2)
        return out
