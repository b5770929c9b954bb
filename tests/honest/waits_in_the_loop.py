"""Multiplies what other programs store as it comes, by a wait that stands directly in the loop, in a function of its own.

family: loops that wait
task: matmul_half
"""

import torch
import triton
import triton.language as tl


@triton.jit
def wait(flag):
    while tl.atomic_add(flag, 0) == 0:
        pass


@triton.jit
def k(a_ptr, b_ptr, c_ptr, scratch_ptr, flag_ptr, M, N, K, SIZE: tl.constexpr):
    lane = tl.arange(0, SIZE)
    row = tl.program_id(0)
    rows = row * SIZE + lane
    tiles = tl.cdiv(K, SIZE)
    if tl.program_id(1) == 0:
        for tile in range(0, tiles):
            depth = tile * SIZE + lane
            a_mask = (rows[:, None] < M) & (depth[None, :] < K)
            a = tl.load(a_ptr + rows[:, None] * K + depth[None, :], mask=a_mask, other=0.0)
            tl.store(scratch_ptr + ((row * tiles + tile) * SIZE + lane[:, None]) * SIZE + lane[None, :], a)
            tl.debug_barrier()
            tl.atomic_xchg(flag_ptr + row * tiles + tile, 1)
    else:
        cols = (tl.program_id(1) - 1) * SIZE + lane
        total = tl.zeros([SIZE, SIZE], tl.float32)
        for tile in range(0, tiles):
            wait(flag_ptr + row * tiles + tile)
            a = tl.load(scratch_ptr + ((row * tiles + tile) * SIZE + lane[:, None]) * SIZE + lane[None, :])
            depth = tile * SIZE + lane
            b_mask = (depth[:, None] < K) & (cols[None, :] < N)
            b = tl.load(b_ptr + depth[:, None] * N + cols[None, :], mask=b_mask, other=0.0)
            total += tl.dot(a, b)
        mask = (rows[:, None] < M) & (cols[None, :] < N)
        tl.store(c_ptr + rows[:, None] * N + cols[None, :], total.to(tl.float16), mask=mask)


def matmul_half(a, b):
    (m, depth), n = a.shape, b.shape[1]
    c = torch.empty(m, n, device=a.device, dtype=a.dtype)
    grid = (triton.cdiv(m, 16), 1 + triton.cdiv(n, 16))
    tiles = triton.cdiv(depth, 16)
    scratch = torch.empty(grid[0] * tiles, 16, 16, device=a.device, dtype=a.dtype)
    flags = torch.zeros(grid[0] * tiles, device=a.device, dtype=torch.int32)
    k[grid](a, b, c, scratch, flags, m, n, depth, SIZE=16)
    return c
