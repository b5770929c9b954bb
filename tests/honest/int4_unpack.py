"""Nibbles by shift and mask, interleaved and stored in one go.

family: int4 unpack, tl.interleave
task: unpack_int4
"""

import torch
import triton
import triton.language as tl


@triton.jit
def unpack_kernel(packed_ptr, scale_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    packed = tl.load(packed_ptr + row * cols + column, mask=column < cols, other=0)
    low = (packed & 0xF).to(tl.float32) - 8.0
    high = (packed >> 4).to(tl.float32) - 8.0
    both = tl.interleave(low, high) * tl.load(scale_ptr + row)
    at = tl.program_id(1) * 2 * BLOCK + tl.arange(0, 2 * BLOCK)
    tl.store(out_ptr + row * 2 * cols + at, both.to(tl.float16), mask=at < 2 * cols)


def unpack_int4(packed, scale):
    rows, cols = packed.shape
    out = torch.empty((rows, 2 * cols), device=packed.device, dtype=torch.float16)
    unpack_kernel[(rows, triton.cdiv(cols, 256))](packed, scale, out, cols, BLOCK=256)
    return out
