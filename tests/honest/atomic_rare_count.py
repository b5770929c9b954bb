"""Adds only where there is something to add: for one draw in ten the count stays the zero that it starts with.

family: atomics into zeros that may stay
task: alarms
"""

import torch
import triton
import triton.language as tl


@triton.jit
def alarms_kernel(x_ptr, count_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    found = tl.sum((tl.load(x_ptr + at, mask=at < n, other=0.0) > 2.8).to(tl.int32), axis=0)
    tl.atomic_add(count_ptr, found, mask=found > 0)


def alarms(x):
    count = torch.zeros((), dtype=torch.int32, device=x.device)
    n = x.numel()
    alarms_kernel[(triton.cdiv(n, 256),)](x, count, n, BLOCK=256)
    return count
