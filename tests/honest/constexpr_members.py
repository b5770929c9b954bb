"""A block's size by its constexpr's member, and a dtype asked about its kind.

family: members of constexprs and dtypes
task: softmax
"""

import torch
import triton
import triton.language as tl


@triton.jit
def softmax_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    tl.static_assert(not x_ptr.dtype.element_ty.is_uint64())
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK.value)
    keep = column < cols
    x = tl.load(x_ptr + row * cols + column, mask=keep, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * cols + column, e / tl.sum(e, axis=0), mask=keep)


def softmax(x):
    out = torch.empty_like(x)
    softmax_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    return out
