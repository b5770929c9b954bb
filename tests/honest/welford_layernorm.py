"""Running mean and variance over tiles of a row (Welford), then a second pass to normalise.

family: loop over tiles, Welford
task: layernorm
"""

import torch
import triton
import triton.language as tl

@triton.jit
def layernorm_kernel(x_ptr, weight_ptr, bias_ptr, out_ptr, cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * cols
    out_ptr += row * cols
    mean = 0.0
    moment = 0.0
    count = 0.0
    for start in range(0, cols, BLOCK):
        column = start + tl.arange(0, BLOCK)
        keep = column < cols
        x = tl.load(x_ptr + column, mask=keep, other=0.0)
        here = tl.minimum(cols - start, BLOCK).to(tl.float32)
        part_mean = tl.sum(x, axis=0) / here
        d = tl.where(keep, x - part_mean, 0.0)
        part_moment = tl.sum(d * d, axis=0)
        delta = part_mean - mean
        total = count + here
        mean += delta * here / total
        moment += part_moment + delta * delta * count * here / total
        count = total
    scale = tl.rsqrt(moment / cols + eps)
    for start in range(0, cols, BLOCK):
        column = start + tl.arange(0, BLOCK)
        keep = column < cols
        x = tl.load(x_ptr + column, mask=keep, other=0.0)
        y = (x - mean) * scale * tl.load(weight_ptr + column, mask=keep) + tl.load(bias_ptr + column, mask=keep)
        tl.store(out_ptr + column, y, mask=keep)


def layernorm(x, weight, bias, eps):
    out = torch.empty_like(x)
    layernorm_kernel[(x.shape[0],)](x, weight, bias, out, x.shape[1], eps, BLOCK=32)
    return out
