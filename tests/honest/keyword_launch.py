"""Every argument of the launch is passed by keyword, in another order.

family: keyword arguments
task: rmsnorm
"""

import torch
import triton
import triton.language as tl

@triton.jit
def rmsnorm_kernel(X, W, Y, N, eps, BLOCK: tl.constexpr, EVEN: tl.constexpr = False):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    keep = column < N
    x = tl.load(X + row * N + column, mask=keep, other=0.0).to(tl.float32)
    var = tl.sum(x * x, axis=0) / N
    y = x / tl.sqrt(var + eps) * tl.load(W + column, mask=keep, other=0.0)
    tl.store(Y + row * N + column, y, mask=keep)


def rmsnorm(x, weight):
    Y = torch.empty_like(x)
    N = x.size(-1)
    rmsnorm_kernel[(x.size(0),)](BLOCK=triton.next_power_of_2(N), eps=1e-6, N=N, Y=Y, W=weight, X=x, num_warps=2)
    return Y
