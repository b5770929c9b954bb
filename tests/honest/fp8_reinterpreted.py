"""float8 codes arrive as bytes that triton.reinterpret gives their type.

family: triton.reinterpret of a byte view
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
    codes = tl.load(codes_ptr + row * cols + column, mask=keep).to(tl.float32)
    tl.store(out_ptr + row * cols + column, (codes * tl.load(scale_ptr + row)).to(tl.float16), mask=keep)


def dequantize_e5m2(codes, scale):
    rows, cols = codes.shape
    out = torch.empty((rows, cols), device=codes.device, dtype=torch.float16)
    bytes_of = triton.reinterpret(codes.view(torch.uint8), tl.float8e5)
    dequantize_kernel[(rows, triton.cdiv(cols, 256))](bytes_of, scale, out, cols, BLOCK=256)
    return out
