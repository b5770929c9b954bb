"""The checks and contexts that people write around launches on a GPU.

family: is_cuda, device context, current stream
task: axpy
"""

import torch
import triton
import triton.language as tl

@triton.jit
def axpy_kernel(alpha, x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    tl.store(out_ptr + at, alpha * tl.load(x_ptr + at, mask=keep) + tl.load(y_ptr + at, mask=keep), mask=keep)


def axpy(alpha, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    assert x.is_cuda and y.is_cuda, "inputs must be on the GPU"
    assert x.device == y.device
    if x.device.type != "cuda":
        raise ValueError("needs a CUDA tensor")
    assert x.is_contiguous() and y.is_contiguous()
    out = torch.empty_like(x)
    n = x.numel()
    with torch.cuda.device(x.device):
        torch.cuda.current_stream()
        axpy_kernel[(triton.cdiv(n, 256),)](alpha, x, y, out, n, BLOCK=256, num_warps=4)
    return out
