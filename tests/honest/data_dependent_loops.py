"""A while loop that ends when every lane is done, with branches and integer division inside.

family: complex control flow on data
task: collatz_steps
"""

import torch
import triton
import triton.language as tl


@triton.jit
def collatz_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    x = tl.load(x_ptr + at, mask=keep, other=1)
    steps = tl.zeros([BLOCK], dtype=tl.int32)
    while tl.max(x, axis=0) > 1:
        busy = x > 1
        x = tl.where(busy, tl.where(x % 2 == 0, x // 2, 3 * x + 1), x)
        steps += busy.to(tl.int32)
    if tl.program_id(0) * BLOCK < n:
        tl.store(out_ptr + at, steps, mask=keep)


def collatz_steps(x):
    out = torch.empty(x.shape, device=x.device, dtype=torch.int32)
    collatz_kernel[(triton.cdiv(x.numel(), 32),)](x, out, x.numel(), BLOCK=32, num_warps=1)
    return out
