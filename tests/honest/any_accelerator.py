"""Host code that asks torch.accelerator, not torch.cuda, about the device and its streams.

family: device properties
task: axpy
"""

import torch
import triton
import triton.language as tl

DEVICE = torch.accelerator.current_accelerator()


@triton.jit
def axpy_kernel(alpha, x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, alpha * x + tl.load(y_ptr + at, mask=at < n), mask=at < n)


def axpy(alpha, x, y):
    assert torch.accelerator.is_available() and torch.accelerator.device_count() >= 1
    out = torch.empty(x.shape, dtype=x.dtype, device=DEVICE)
    torch.accelerator.set_device_index(torch.accelerator.current_device_index())
    with torch.get_device_module().device(x.device.index):
        axpy_kernel[(triton.cdiv(x.numel(), 128),)](alpha, x, y, out, x.numel(), BLOCK=128)
    torch.accelerator.current_stream().synchronize()
    torch.accelerator.synchronize()
    return out
