"""Softmax over rows by one Triton program a row; the reference of a trial in which the candidate is the same source."""

import torch
import triton
import triton.language as tl

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 128, "cols": 1024}, "tier": "gpu"},
    {"name": "timed", "args": {"rows": 8192, "cols": 4096}, "tier": "gpu", "timed": True},
]


@triton.jit
def softmax_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * cols + column, mask=column < cols, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * cols + column, e / tl.sum(e, axis=0), mask=column < cols)


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def softmax(x):
    if x.dtype == torch.float64:  # the truth
        return torch.softmax(x, dim=-1)
    out = torch.empty_like(x)
    rows, cols = x.shape
    softmax_kernel[(rows,)](x, out, cols, BLOCK=triton.next_power_of_2(cols), num_warps=8)
    return out
