"""Autotune over warps only, with a heuristic for the block and for whether the row fits evenly.

family: autotune with heuristics
task: softmax
"""

import torch
import triton
import triton.language as tl

@triton.autotune(configs=[triton.Config({}, num_warps=w) for w in (1, 2, 4)], key=["cols"])
@triton.heuristics(
    {
        "BLOCK": lambda args: triton.next_power_of_2(args["cols"]),
        "EVEN": lambda args: args["cols"] == triton.next_power_of_2(args["cols"]),
    }
)
@triton.jit
def softmax_kernel(x_ptr, out_ptr, stride, cols, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    if EVEN:
        x = tl.load(x_ptr + row * stride + column)
    else:
        x = tl.load(x_ptr + row * stride + column, mask=column < cols, other=float("-inf"))
    x = x - tl.max(x, axis=0)
    e = tl.exp(x)
    y = e / tl.sum(e, axis=0)
    if EVEN:
        tl.store(out_ptr + row * stride + column, y)
    else:
        tl.store(out_ptr + row * stride + column, y, mask=column < cols)


def softmax(x):
    x = x.contiguous()
    out = torch.empty_like(x)
    softmax_kernel[(x.shape[0],)](x, out, x.stride(0), x.shape[1])
    return out
