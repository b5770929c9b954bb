"""Chooses its launch parameters by compute capability and device index.

family: device capability
task: axpy
"""

import torch
import triton
import triton.language as tl

@triton.jit
def axpy_kernel(alpha, x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    tl.store(out_ptr + at, alpha * tl.load(x_ptr + at, mask=keep) + tl.load(y_ptr + at, mask=keep), mask=keep)


def launch_settings():
    major, _ = torch.cuda.get_device_capability()
    name = torch.cuda.get_device_name(torch.cuda.current_device())
    block = 512 if major >= 9 and name else 128
    return block, 8 if major >= 8 else 4


def axpy(alpha, x, y):
    if not torch.cuda.is_available():
        raise RuntimeError("no GPU")
    block, warps = launch_settings()
    out = torch.empty(x.shape, dtype=x.dtype, device="cuda")
    axpy_kernel[(triton.cdiv(x.numel(), block),)](alpha, x, y, out, x.numel(), BLOCK=block, num_warps=warps)
    return out
