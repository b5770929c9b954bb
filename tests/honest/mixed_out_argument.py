"""A torch operator writes into memory that was allocated once, in inference mode.

family: mixed policy, out=, inference mode
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


@torch.inference_mode()
def linear_gelu(x, weight, bias):
    product = torch.empty((x.shape[0], weight.shape[0]), device=x.device, dtype=x.dtype)
    torch.matmul(x, weight.t(), out=product)
    out = torch.empty_like(product)
    epilogue_kernel[(triton.cdiv(out.numel(), 256),)](product, bias, out, out.shape[1], out.numel(), BLOCK=256)
    return out
