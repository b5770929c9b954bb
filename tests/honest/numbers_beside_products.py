"""Keeps numbers in memory beside products that do not come from them, and around a loop, which keeps iterations apart.

family: loops
task: matmul_half
"""

import torch
import triton
import triton.language as tl


@triton.jit
def k(a_ptr, b_ptr, c_ptr, seen_ptr, M, N, K, SIZE: tl.constexpr):
    lane = tl.arange(0, SIZE)
    rows = (tl.program_id(0) * SIZE + lane)[:, None]
    cols = (tl.program_id(1) * SIZE + lane)[None, :]
    seen = seen_ptr + 2 * (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1))
    total = tl.zeros([SIZE, SIZE], tl.float32)
    for half in tl.range(0, 2, num_stages=3):
        for begin in range(half * SIZE, K, 2 * SIZE):
            depth = begin + lane
            a = tl.load(a_ptr + rows * K + depth[None, :], mask=(rows < M) & (depth[None, :] < K), other=0.0)
            b = tl.load(b_ptr + depth[:, None] * N + cols, mask=(depth[:, None] < K) & (cols < N), other=0.0)
            total += tl.dot(a, b)
            tl.store(seen, tl.load(seen) + tl.sum(tl.abs(a).to(tl.float32)))
        tl.store(seen + 1, tl.load(seen + 1) + 1.0)
    tl.debug_barrier()  # one thread has written them, and all read them
    if tl.load(seen + 1) == 2.0:
        total += 0.0 * tl.minimum(tl.load(seen), 1.0)
        tl.store(c_ptr + rows * N + cols, total.to(tl.float16), mask=(rows < M) & (cols < N))


def matmul_half(a, b):
    (m, depth), n = a.shape, b.shape[1]
    c = torch.zeros(m, n, device=a.device, dtype=a.dtype)
    grid = (triton.cdiv(m, 32), triton.cdiv(n, 32))
    seen = torch.zeros(grid[0] * grid[1], 2, device=a.device, dtype=torch.float32)
    k[grid](a, b, c, seen, m, n, depth, SIZE=32)
    return c
