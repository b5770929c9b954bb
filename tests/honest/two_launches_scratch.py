"""Two kernels: block maxima and sums go through scratch buffers, the second one combines and normalises.

family: two launches with scratch
task: softmax
"""

import torch
import triton
import triton.language as tl

@triton.jit
def partial_kernel(x_ptr, peak_ptr, total_ptr, cols, blocks, BLOCK: tl.constexpr):
    row, block = tl.program_id(0), tl.program_id(1)
    column = block * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * cols + column, mask=column < cols, other=-float("inf"))
    peak = tl.max(x, axis=0)
    tl.store(peak_ptr + row * blocks + block, peak)
    tl.store(total_ptr + row * blocks + block, tl.sum(tl.exp(x - peak), axis=0))


@triton.jit
def combine_kernel(x_ptr, peak_ptr, total_ptr, out_ptr, cols, blocks, BLOCK: tl.constexpr, PARTS: tl.constexpr):
    row, block = tl.program_id(0), tl.program_id(1)
    part = tl.arange(0, PARTS)
    peaks = tl.load(peak_ptr + row * blocks + part, mask=part < blocks, other=-float("inf"))
    totals = tl.load(total_ptr + row * blocks + part, mask=part < blocks, other=0.0)
    peak = tl.max(peaks, axis=0)
    total = tl.sum(totals * tl.exp(peaks - peak), axis=0)
    column = block * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * cols + column, mask=column < cols, other=0.0)
    tl.store(out_ptr + row * cols + column, tl.exp(x - peak) / total, mask=column < cols)


def softmax(x):
    rows, cols = x.shape
    BLOCK = 32
    blocks = triton.cdiv(cols, BLOCK)
    scratch = torch.empty((2, rows, blocks), device=x.device, dtype=torch.float32)
    out = torch.empty_like(x)
    grid = (rows, blocks)
    partial_kernel[grid](x, scratch[0], scratch[1], cols, blocks, BLOCK=BLOCK)
    parts = triton.next_power_of_2(blocks)
    combine_kernel[grid](x, scratch[0], scratch[1], out, cols, blocks, BLOCK=BLOCK, PARTS=parts)
    return out
