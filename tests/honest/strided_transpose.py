"""Takes a transposed view as it comes and passes its strides to the kernel.

family: non-contiguous input
task: transpose_add
"""

import torch
import triton
import triton.language as tl

@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, rows, cols, sx0, sx1, sy0, sy1, so0, so1, BR: tl.constexpr, BC: tl.constexpr):
    row = tl.program_id(0) * BR + tl.arange(0, BR)[:, None]
    column = tl.program_id(1) * BC + tl.arange(0, BC)[None, :]
    keep = (row < rows) & (column < cols)
    x = tl.load(x_ptr + row * sx0 + column * sx1, mask=keep)
    y = tl.load(y_ptr + row * sy0 + column * sy1, mask=keep)
    tl.store(out_ptr + row * so0 + column * so1, x + y, mask=keep)


def transpose_add(x, y):
    rows, cols = x.shape
    out = torch.empty((rows, cols), device=x.device, dtype=x.dtype)
    grid = (triton.cdiv(rows, 8), triton.cdiv(cols, 16))
    add_kernel[grid](
        x, y, out, rows, cols, x.stride(0), x.stride(1), y.stride(0), y.stride(1), *out.stride(), BR=8, BC=16
    )
    return out
