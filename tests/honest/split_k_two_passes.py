"""Split-K without atomics: partial products in scratch, summed by a second kernel; tl.dot in IEEE float32.

family: two-pass split-k, input_precision ieee
task: matmul
"""

import torch
import triton
import triton.language as tl


@triton.jit
def partial_kernel(a_ptr, b_ptr, part_ptr, M, N, K, per, B: tl.constexpr):
    row = tl.program_id(0) * B + tl.arange(0, B)
    column = tl.program_id(1) * B + tl.arange(0, B)
    split = tl.program_id(2)
    inside = (row[:, None] < M) & (column[None, :] < N)
    total = tl.zeros([B, B], dtype=tl.float32)
    for start in range(split * per, tl.minimum((split + 1) * per, K), B):
        k = start + tl.arange(0, B)
        a = tl.load(a_ptr + row[:, None] * K + k[None, :], mask=(row[:, None] < M) & (k[None, :] < K), other=0.0)
        b = tl.load(b_ptr + k[:, None] * N + column[None, :], mask=(k[:, None] < K) & (column[None, :] < N), other=0.0)
        total = tl.dot(a, b, total, input_precision="ieee")
    tl.store(part_ptr + (split * M + row[:, None]) * N + column[None, :], total, mask=inside)


@triton.jit
def add_kernel(part_ptr, c_ptr, n, splits, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for split in range(splits):
        total += tl.load(part_ptr + split * n + at, mask=at < n, other=0.0)
    tl.store(c_ptr + at, total, mask=at < n)


def matmul(a, b):
    (M, K), N = a.shape, b.shape[1]
    splits = 3
    per = triton.cdiv(triton.cdiv(K, 16), splits) * 16
    parts = torch.zeros((splits, M, N), device=a.device, dtype=torch.float32)
    partial_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16), splits)](a, b, parts, M, N, K, per, B=16)
    c = torch.empty((M, N), device=a.device, dtype=a.dtype)
    add_kernel[(triton.cdiv(M * N, 256),)](parts, c, M * N, splits, BLOCK=256)
    return c
