"""Root-mean-square normalisation in bfloat16 by one Triton program a row; reference and candidate of a trial."""

import torch
import triton
import triton.language as tl

TOLERANCE = "TB"
CASES = [
    {"name": "small", "args": {"rows": 128, "cols": 1024}, "tier": "gpu"},
    {"name": "timed", "args": {"rows": 16384, "cols": 8192}, "tier": "gpu", "timed": True},
]


@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    keep = column < cols
    x = tl.load(x_ptr + row * cols + column, mask=keep, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + column, mask=keep, other=0.0).to(tl.float32)
    y = x * tl.rsqrt(tl.sum(x * x, axis=0) / cols + 1e-6) * weight
    tl.store(out_ptr + row * cols + column, y.to(out_ptr.dtype.element_ty), mask=keep)


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"], dtype="bfloat16"), draw.weight(case["cols"], dtype="bfloat16")


def rmsnorm(x, weight):
    if x.dtype == torch.float64:  # the truth
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6) * weight
    out = torch.empty_like(x)
    rows, cols = x.shape
    rmsnorm_kernel[(rows,)](x, weight, out, cols, BLOCK=triton.next_power_of_2(cols), num_warps=8)
    return out
