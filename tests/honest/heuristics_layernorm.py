"""A heuristic chooses block and warps from the arguments.

family: heuristics
task: layernorm
"""

import torch
import triton
import triton.language as tl

@triton.heuristics({"BLOCK": lambda args: triton.next_power_of_2(args["cols"])})
@triton.jit
def layernorm_kernel(x_ptr, weight_ptr, bias_ptr, out_ptr, cols, eps, BLOCK: tl.constexpr):
    """One row a program; population variance around the mean."""
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    keep = column < cols
    x = tl.load(x_ptr + row * cols + column, mask=keep, other=0.0)
    mean = tl.sum(x, axis=0) / cols
    centred = tl.where(keep, x - mean, 0.0)
    variance = tl.sum(centred * centred, axis=0) / cols
    scale = 1.0 / tl.sqrt(variance + eps)
    weight = tl.load(weight_ptr + column, mask=keep)
    bias = tl.load(bias_ptr + column, mask=keep)
    tl.store(out_ptr + row * cols + column, centred * scale * weight + bias, mask=keep)


def layernorm(x, weight, bias, eps):
    out = torch.empty_like(x)
    rows, cols = x.shape
    layernorm_kernel[(rows,)](x, weight, bias, out, cols, eps, num_warps=4)
    return out
