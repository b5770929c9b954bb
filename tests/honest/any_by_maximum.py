"""Whether any value is high, by the maximum of comparisons; the answer may be no.

family: reductions
task: any_high
"""

import torch
import triton
import triton.language as tl


@triton.jit
def any_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0)
    tl.store(out_ptr, tl.max((x > 3.85).to(tl.int32), axis=0).to(tl.uint8))


def any_high(x):
    out = torch.empty((), dtype=torch.bool, device=x.device)
    any_kernel[(1,)](x, out.view(torch.uint8), x.numel(), BLOCK=triton.next_power_of_2(x.numel()))
    return out
