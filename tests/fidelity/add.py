"""Sum of two float32 vectors, as bound to memory as a kernel can be; reference and candidate of a trial."""

import torch
import triton
import triton.language as tl

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"n": 100000}, "tier": "gpu"},
    {"name": "timed", "args": {"n": 33554432}, "tier": "gpu", "timed": True},
]


@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    tl.store(out_ptr + at, tl.load(x_ptr + at, mask=keep) + tl.load(y_ptr + at, mask=keep), mask=keep)


def make_inputs(case, draw):
    return draw.normal(case["n"]), draw.normal(case["n"])


def add(x, y):
    if x.dtype == torch.float64:  # the truth
        return x + y
    out = torch.empty_like(x)
    add_kernel[(triton.cdiv(x.numel(), 1024),)](x, y, out, x.numel(), BLOCK=1024, num_warps=4)
    return out
