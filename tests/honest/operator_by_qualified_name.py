"""torch.library by qualified names and device types, and a library that is for CUDA by itself.

family: operator registered with torch
task: softmax
"""

import torch
import triton
import triton.language as tl

torch.library.define("by_name::row_softmax", "(Tensor x) -> Tensor")
torch.library.define("by_name::empty_rows", "(Tensor x) -> Tensor")
lib = torch.library.Library("by_name", "IMPL", "CUDA")


@triton.jit
def _softmax(x_ptr, o_ptr, n, s, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * s + c, mask=c < n, other=-float("inf"))
    x = tl.exp(x - tl.max(x, 0))
    tl.store(o_ptr + row * n + c, x / tl.sum(x, 0), mask=c < n)


@torch.library.impl("by_name::row_softmax", "cuda")
def row_softmax(x):
    out = torch.ops.by_name.empty_rows(x)
    n = x.shape[-1]
    _softmax[(x.shape[0],)](x, out, n, x.stride(0), BLOCK=triton.next_power_of_2(n))
    return out


@torch.library.register_fake("by_name::row_softmax")
def _(x):
    return torch.empty_like(x)


def empty_rows(x):
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


lib.impl("empty_rows", empty_rows)


def softmax(x):
    return torch.ops.by_name.row_softmax(x)
