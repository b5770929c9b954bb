"""Shape and strides arrive as tuples, in parameters of just these names.

family: names of parameters
task: transpose_add
"""

import torch
import triton
import triton.language as tl


@triton.jit
def add_kernel(tensors, buffer, shape, strides, ROWS: tl.constexpr, COLS: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    col = tl.program_id(1) * COLS + tl.arange(0, COLS)[None, :]
    inside = (row < shape[0]) & (col < shape[1])
    total = tl.zeros((ROWS, COLS), tl.float32)
    for which in tl.static_range(len(tensors)):
        at = row * strides[which][0] + col * strides[which][1]
        total += tl.load(tensors[which] + at, mask=inside, other=0.0)
    tl.store(buffer + row * shape[1] + col, total, mask=inside)


def transpose_add(x, y):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(x.shape[0], 16), triton.cdiv(x.shape[1], 16))
    add_kernel[grid]((x, y), out, tuple(x.shape), (x.stride(), y.stride()), ROWS=16, COLS=16)
    return out
