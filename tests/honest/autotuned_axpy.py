"""Several autotune configs with different block sizes and warps; the grid asks the meta-parameters.

family: autotune, grid lambda
task: axpy
"""

import torch
import triton
import triton.language as tl

@triton.autotune(
    configs=[
        triton.Config({"BLOCK": 64}, num_warps=2, num_stages=1),
        triton.Config({"BLOCK": 128}, num_warps=4),
        triton.Config({"BLOCK": 256}, num_warps=8, num_stages=3),
    ],
    key=["n"],
)
@triton.jit
def axpy_kernel(alpha, x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(axis=0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    x = tl.load(x_ptr + at, mask=keep)
    y = tl.load(y_ptr + at, mask=keep)
    tl.store(out_ptr + at, alpha * x + y, mask=keep)


def axpy(alpha, x, y):
    out = torch.empty_like(x)
    n = out.numel()
    grid = lambda meta: (triton.cdiv(n, meta["BLOCK"]),)
    axpy_kernel[grid](alpha, x, y, out, n)
    return out
