"""Stream-K: programs share the tiles of a product by iterations, and who finishes a tile waits for who began it.

family: order by atomics
task: matmul
"""

import torch
import triton
import triton.language as tl


@triton.jit
def swizzle_tile(tile_id, M, N, BM: tl.constexpr, BN: tl.constexpr, GROUP_M: tl.constexpr):
    grid_m = tl.cdiv(M, BM)
    grid_n = tl.cdiv(N, BN)
    width = GROUP_M * grid_n
    group_id = tile_id // width
    group_size = tl.minimum(grid_m - group_id * GROUP_M, GROUP_M)
    pid_m = group_id * GROUP_M + (tile_id % group_size)
    pid_n = (tile_id % width) // group_size
    return pid_m, pid_n

@triton.jit
def linear_tile(tile_id, M, N, BM: tl.constexpr, BN: tl.constexpr, GROUP_M: tl.constexpr):
    pid_m = tile_id // tl.cdiv(N, BN)
    pid_n = tile_id % tl.cdiv(N, BN)
    return pid_m, pid_n

@triton.jit
def mac_loop(A, B, C, M, N, K, locks, sam, sak, sbk, sbn, scm, scn, iters_per_tile, start_iter, end_iter,
             BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP_M: tl.constexpr):
    tile_id = start_iter // iters_per_tile
    if GROUP_M > 0:
        pid_m, pid_n = swizzle_tile(tile_id, M, N, BM, BN, GROUP_M)
    else:
        pid_m, pid_n = linear_tile(tile_id, M, N, BM, BN, GROUP_M)
    rm = pid_m * BM + tl.arange(0, BM)
    rn = pid_n * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for current_iter in range(start_iter, end_iter):
        ki = current_iter % iters_per_tile
        rk = ki * BK + tl.arange(0, BK)
        a = tl.load(A + rm[:, None] * sam + rk[None, :] * sak, mask=(rm[:, None] < M) & (rk[None, :] < K), other=0.)
        b = tl.load(B + rk[:, None] * sbk + rn[None, :] * sbn, mask=(rk[:, None] < K) & (rn[None, :] < N), other=0.)
        acc += tl.dot(a, b, allow_tf32=False)
    c_ptr = C + rm[:, None] * scm + rn[None, :] * scn
    mask = (rm < M)[:, None] & (rn < N)[None, :]
    if end_iter % iters_per_tile == 0:  # last iteration of the tile always happens before its start on another SM
        tl.store(c_ptr, acc, mask=mask)
        if start_iter % iters_per_tile != 0:  # only if tile has been partially processed
            tl.atomic_xchg(locks + tile_id, 1)
    else:
        while tl.atomic_cas(locks + tile_id, 1, 1) != 1:
            pass
        tl.atomic_add(c_ptr, acc, mask=mask)

@triton.jit
def first_wave(A, B, C, M, N, K, locks, sam, sak, sbk, sbn, scm, scn, total_full_tiles_streamk, total_partial_tiles_streamk, iters_per_tile,
               BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP_M: tl.constexpr):
    pid = tl.program_id(0)
    start_iter = pid * total_full_tiles_streamk + tl.minimum(pid, total_partial_tiles_streamk)
    last_iter = (pid + 1) * total_full_tiles_streamk + tl.minimum(pid + 1, total_partial_tiles_streamk)
    while start_iter < last_iter:
        end_iter = start_iter + (iters_per_tile - start_iter % iters_per_tile)
        end_iter = tl.minimum(end_iter, last_iter)
        mac_loop(A, B, C, M, N, K, locks, sam, sak, sbk, sbn, scm, scn, iters_per_tile, start_iter, end_iter, BM, BN, BK, GROUP_M)
        start_iter = end_iter

@triton.jit
def full_tiles(A, B, C, M, N, K, sam, sak, sbk, sbn, scm, scn, total_tiles_streamk,
               BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP_M: tl.constexpr):
    tile_id = tl.program_id(0) + total_tiles_streamk
    if GROUP_M > 0:
        pid_m, pid_n = swizzle_tile(tile_id, M, N, BM, BN, GROUP_M)
    else:
        pid_m, pid_n = linear_tile(tile_id, M, N, BM, BN, GROUP_M)
    rm = pid_m * BM + tl.arange(0, BM)
    rn = pid_n * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for k in range(0, tl.cdiv(K, BK)):
        rk = k * BK + tl.arange(0, BK)
        a = tl.load(A + rm[:, None] * sam + rk[None, :] * sak, mask=(rm[:, None] < M) & (rk[None, :] < K), other=0.)
        b = tl.load(B + rk[:, None] * sbk + rn[None, :] * sbn, mask=(rk[:, None] < K) & (rn[None, :] < N), other=0.)
        acc += tl.dot(a, b, allow_tf32=False)
    tl.store(C + rm[:, None] * scm + rn[None, :] * scn, acc, mask=(rm < M)[:, None] & (rn < N)[None, :])


class StreamK(torch.autograd.Function):
    @staticmethod
    def _call(a, b, total_programs_streamk, BM, BN, BK, GROUP_M, two_tiles, num_stages, num_warps):
        device = a.device
        M, K = a.shape
        _, N = b.shape
        total_blocks_M = triton.cdiv(M, BM)
        total_blocks_N = triton.cdiv(N, BN)
        iters_per_tile = triton.cdiv(K, BK)
        total_tiles = total_blocks_M * total_blocks_N
        if total_programs_streamk > 0:
            total_tiles_streamk = total_tiles % total_programs_streamk
            if two_tiles and total_tiles - total_tiles_streamk > total_programs_streamk:
                total_tiles_streamk += total_programs_streamk
            total_blocking_tiles = total_tiles - total_tiles_streamk
            total_iters_streamk = total_tiles_streamk * iters_per_tile
            total_full_tiles_streamk = total_iters_streamk // total_programs_streamk
            total_partial_tiles_streamk = total_iters_streamk % total_programs_streamk
        else:
            total_blocking_tiles = total_tiles
            total_tiles_streamk = 0
        c = torch.empty((M, N), device=device, dtype=a.dtype)
        locks = torch.zeros((max(total_tiles_streamk, 1),), device=device, dtype=torch.int32)
        if total_tiles_streamk > 0:
            first_wave[(total_programs_streamk,)](
                a, b, c, M, N, K, locks, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), c.stride(1),
                total_full_tiles_streamk, total_partial_tiles_streamk, iters_per_tile,
                BM=BM, BN=BN, BK=BK, GROUP_M=GROUP_M, num_stages=num_stages, num_warps=num_warps)
        if total_blocking_tiles > 0:
            full_tiles[(total_blocking_tiles,)](
                a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), c.stride(1),
                total_tiles_streamk, BM=BM, BN=BN, BK=BK, GROUP_M=GROUP_M, num_stages=num_stages, num_warps=num_warps)
        return c

    @staticmethod
    def forward(ctx, a, b, grid=5, BM=16, BN=16, BK=16, GROUP_M=2, two_tiles=True, num_stages=3, num_warps=4):
        return StreamK._call(a, b, grid, BM, BN, BK, GROUP_M, two_tiles, num_stages, num_warps)

def matmul(a, b):
    return StreamK.apply(a, b)
