"""float8_e5m2 codes are read, widened and scaled by row.

family: float8 input
task: dequantize_e5m2
"""

import torch
import triton
import triton.language as tl


@triton.jit
def dequantize_kernel(codes_ptr, scale_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    keep = column < cols
    codes = tl.load(codes_ptr + row * cols + column, mask=keep, other=0.0).to(tl.float32)
    value = codes * tl.load(scale_ptr + row)
    tl.store(out_ptr + row * cols + column, value.to(out_ptr.dtype.element_ty), mask=keep)


def dequantize_e5m2(codes, scale):
    rows, cols = codes.shape
    out = torch.empty((rows, cols), device=codes.device, dtype=torch.float16)
    dequantize_kernel[(rows, triton.cdiv(cols, 512))](codes, scale, out, cols, BLOCK=512)
    return out
