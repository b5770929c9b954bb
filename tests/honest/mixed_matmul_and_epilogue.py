"""The matrix product is cuBLAS's, bias and activation are fused in a kernel.

family: mixed policy
task: linear_gelu
policy: mixed
"""

import torch
import triton
import triton.language as tl


@triton.jit
def epilogue_kernel(x_ptr, bias_ptr, out_ptr, cols, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    x = tl.load(x_ptr + at, mask=keep) + tl.load(bias_ptr + at % cols, mask=keep)
    tl.store(out_ptr + at, 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476)), mask=keep)


def linear_gelu(x, weight, bias):
    product = torch.mm(x, weight.t())
    out = torch.empty_like(product)
    epilogue_kernel[(triton.cdiv(out.numel(), 256),)](product, bias, out, out.shape[1], out.numel(), BLOCK=256)
    return out
