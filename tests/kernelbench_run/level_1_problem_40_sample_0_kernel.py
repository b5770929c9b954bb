"""Layer norm over millions of elements a row: each row is split over programs, which add up their parts of the
moments themselves before they normalise."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def moments_kernel(x_ptr, sums_ptr, squares_ptr, size, PARTS, SPAN, BLOCK: tl.constexpr):
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    end = tl.minimum(size, (part + 1) * SPAN)
    shift = tl.load(x_ptr + row * size)  # moments about a value of the row: no cancellation
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    square = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(part * SPAN, end, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * size + at, mask=at < end, other=0.0)
        x = tl.where(at < end, x - shift, 0.0)
        total += x
        square += x * x
    tl.store(sums_ptr + row * PARTS + part, tl.sum(total, axis=0))
    tl.store(squares_ptr + row * PARTS + part, tl.sum(square, axis=0))


@triton.jit
def normalise_kernel(
    x_ptr, weight_ptr, bias_ptr, y_ptr, sums_ptr, squares_ptr, size, eps, PARTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    parts = row * PARTS + tl.arange(0, PARTS)
    mean = tl.sum(tl.load(sums_ptr + parts), axis=0) / size
    variance = tl.sum(tl.load(squares_ptr + parts), axis=0) / size - mean * mean
    mean += tl.load(x_ptr + row * size)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * size + at, mask=at < size)
    weight = tl.load(weight_ptr + at, mask=at < size)
    bias = tl.load(bias_ptr + at, mask=at < size)
    y = (x - mean) * tl.rsqrt(variance + eps) * weight + bias
    tl.store(y_ptr + row * size + at, y, mask=at < size)


class ModelNew(nn.Module):
    def __init__(self, normalized_shape):
        super().__init__()
        self.ln = nn.LayerNorm(normalized_shape)

    def forward(self, x):
        weight, bias = self.ln.weight, self.ln.bias
        size, parts = weight.numel(), 128
        rows = x.numel() // size
        y = torch.empty_like(x)
        sums = torch.empty((rows, parts), device=x.device, dtype=torch.float32)
        squares = torch.empty_like(sums)
        moments_kernel[(rows, parts)](x, sums, squares, size, parts, triton.cdiv(size, parts), BLOCK=2048, num_warps=8)
        grid = (rows, triton.cdiv(size, 2048))
        normalise_kernel[grid](
            x, weight, bias, y, sums, squares, size, self.ln.eps, PARTS=parts, BLOCK=2048, num_warps=8
        )
        return y
