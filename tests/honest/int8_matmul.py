"""int8 tiles go through tl.dot into an int32 accumulator; block sizes are large enough for the int8 MMA.

family: int8 tl.dot
task: matmul_int8
"""

import torch
import triton
import triton.language as tl


@triton.jit
def matmul_kernel(a_ptr, b_ptr, c_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    row = tl.program_id(0) * BM + tl.arange(0, BM)
    column = tl.program_id(1) * BN + tl.arange(0, BN)
    total = tl.zeros([BM, BN], dtype=tl.int32)
    for start in range(0, K, BK):
        inner = start + tl.arange(0, BK)
        a = tl.load(a_ptr + row[:, None] * K + inner[None, :], mask=(row[:, None] < M) & (inner[None, :] < K), other=0)
        b = tl.load(b_ptr + inner[:, None] * N + column[None, :], mask=(inner[:, None] < K) & (column[None, :] < N), other=0)
        total = tl.dot(a, b, acc=total, out_dtype=tl.int32)
    tl.store(c_ptr + row[:, None] * N + column[None, :], total, mask=(row[:, None] < M) & (column[None, :] < N))


def matmul_int8(a, b):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), device=a.device, dtype=torch.int32)
    matmul_kernel[(triton.cdiv(M, 32), triton.cdiv(N, 32))](a, b, c, M, N, K, BM=32, BN=32, BK=32, num_stages=3)
    return c
