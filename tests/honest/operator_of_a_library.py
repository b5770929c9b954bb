"""torch.library.Library with define and impl for CUDA, the older style.

family: operator registered with torch
task: softmax
"""
import torch
import triton
import triton.language as tl

lib = torch.library.Library("oldstyle", "DEF")
lib.define("row_softmax(Tensor x) -> Tensor")


@triton.jit
def _softmax(x_ptr, o_ptr, n, s, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * s + c, mask=c < n, other=-float("inf"))
    x = tl.exp(x - tl.max(x, 0))
    tl.store(o_ptr + row * s + c, x / tl.sum(x, 0), mask=c < n)


@torch.library.impl(lib, "row_softmax", "CUDA")
def row_softmax(x):
    out = torch.empty_like(x)
    n = x.shape[-1]
    _softmax[(x.shape[0],)](x, out, n, x.stride(0), BLOCK=triton.next_power_of_2(n))
    return out


def softmax(x):
    return torch.ops.oldstyle.row_softmax(x)
