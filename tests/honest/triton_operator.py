"""torch.library.triton_op with wrap_triton.

family: operator registered with torch
task: softmax
"""
import torch
import triton
import triton.language as tl
from torch.library import triton_op, wrap_triton


@triton.jit
def _softmax(x_ptr, o_ptr, n, s, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * s + c, mask=c < n, other=-float("inf"))
    x = tl.exp(x - tl.max(x, 0))
    tl.store(o_ptr + row * s + c, x / tl.sum(x, 0), mask=c < n)


@triton_op("mylib2::row_softmax", mutates_args={})
def row_softmax(x: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    n = x.shape[-1]
    wrap_triton(_softmax)[(x.shape[0],)](x, out, n, x.stride(0), BLOCK=triton.next_power_of_2(n))
    return out


def softmax(x):
    return row_softmax(x)
