"""Local variables in the kernel shadow builtins, modules and the kernel's own name.

family: shadowing
task: softmax
"""

import torch
import triton
import triton.language as tl

@triton.jit
def softmax_kernel(input, output, sum, BLOCK: tl.constexpr):
    id = tl.program_id(0)
    range_ = tl.arange(0, BLOCK)
    mask = range_ < sum
    file = tl.load(input + id * sum + range_, mask=mask, other=-float("inf"))
    max = tl.max(file, axis=0)
    exec_ = tl.exp(file - max)
    os = tl.sum(exec_, axis=0)
    open = exec_ / os
    tl.store(output + id * sum + range_, open, mask=mask)


def softmax(x):
    out = torch.empty_like(x)
    softmax_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    return out
