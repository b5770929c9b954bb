"""tl.rand with the task's own seed: the draw is part of the definition, so nothing is left to chance.

family: tl.rand under a given seed
task: philox_dropout
"""

import torch
import triton
import triton.language as tl


@triton.jit
def dropout_kernel(x_ptr, out_ptr, n, p, seed, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    x = tl.load(x_ptr + at, mask=keep, other=0.0)
    drawn = tl.rand(seed, at)
    tl.store(out_ptr + at, tl.where(drawn > p, x / (1 - p), 0.0), mask=keep)


def philox_dropout(x, p, seed):
    out = torch.empty_like(x)
    n = x.numel()
    dropout_kernel[(triton.cdiv(n, 256),)](x, out, n, p, seed, BLOCK=256)
    return out
