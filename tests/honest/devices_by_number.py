"""Names the GPU by its number alone, as an argument, as a device and where a module goes.

family: devices by number
task: axpy
"""

import torch
import triton
import triton.language as tl


@triton.jit
def axpy_kernel(alpha, x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = alpha * tl.load(x_ptr + at, mask=at < n) + tl.load(y_ptr + at, mask=at < n)
    tl.store(out_ptr + at, total, mask=at < n)


def axpy(alpha, x, y):
    assert torch.device(0) == x.device
    y = torch.nn.Identity().to(0)(y.to(x.device.index))
    out = torch.empty(x.shape, dtype=x.dtype, device=torch.cuda.current_device())
    with torch.cuda.device(x.get_device()):
        axpy_kernel[(triton.cdiv(x.numel(), 128),)](alpha, x, y, out, x.numel(), BLOCK=128)
    return out.to(torch.device(0))
