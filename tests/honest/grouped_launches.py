"""One launch for every tensor of a list, each with a block and a factor of its own.

family: list input and output, launches in a loop
task: grouped_scale
"""

import torch
import triton
import triton.language as tl


@triton.jit
def scale_kernel(x_ptr, out_ptr, n, factor, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n) * factor, mask=at < n)


def grouped_scale(xs):
    outs = []
    for number, x in enumerate(xs):
        out = torch.empty_like(x)
        block = 1024 if x.numel() > 4096 else 64
        scale_kernel[(triton.cdiv(x.numel(), block),)](x, out, x.numel(), number + 1.5, BLOCK=block)
        outs.append(out)
    return outs
