"""Adds the products of a loop in memory: what is added to a product is loaded in its turn, only factors are ahead.

family: loops
task: matmul_half
"""

import torch
import triton
import triton.language as tl


@triton.jit
def product_kernel(a_ptr, b_ptr, sum_ptr, c_ptr, M, N, K, SIZE: tl.constexpr):
    lane = tl.arange(0, SIZE)
    rows = (tl.program_id(0) * SIZE + lane)[:, None]
    cols = (tl.program_id(1) * SIZE + lane)[None, :]
    inside = (rows < M) & (cols < N)
    for begin in range(0, K, SIZE):
        depth = begin + lane
        a = tl.load(a_ptr + rows * K + depth[None, :], mask=(rows < M) & (depth[None, :] < K), other=0.0)
        b = tl.load(b_ptr + depth[:, None] * N + cols, mask=(depth[:, None] < K) & (cols < N), other=0.0)
        total = tl.load(sum_ptr + rows * N + cols, mask=inside, other=0.0)
        tl.store(sum_ptr + rows * N + cols, tl.dot(a, b, total), mask=inside)
    total = tl.load(sum_ptr + rows * N + cols, mask=inside)
    tl.store(c_ptr + rows * N + cols, total.to(tl.float16), mask=inside)


def matmul_half(a, b):
    (m, depth), n = a.shape, b.shape[1]
    c = torch.empty(m, n, device=a.device, dtype=a.dtype)
    sums = torch.zeros(m, n, device=a.device, dtype=torch.float32)
    product_kernel[(triton.cdiv(m, 16), triton.cdiv(n, 16))](a, b, sums, c, m, n, depth, SIZE=16)
    return c
