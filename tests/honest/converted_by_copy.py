"""The product is accumulated in a float32 buffer and converted to float16 by torch's own copy at the end.

family: conversion of dtype by a copy
task: matmul_half
"""

import torch
import triton
import triton.language as tl


@triton.jit
def matmul_kernel(a_ptr, b_ptr, c_ptr, M, N, K, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inner = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(a_ptr + row[:, None] * K + inner[None, :], mask=(row[:, None] < M) & (inner[None, :] < K), other=0.0)
    b = tl.load(b_ptr + inner[:, None] * N + column[None, :], mask=(inner[:, None] < K) & (column[None, :] < N), other=0.0)
    keep = (row[:, None] < M) & (column[None, :] < N)
    tl.atomic_add(c_ptr + row[:, None] * N + column[None, :], tl.dot(a, b), mask=keep)


def matmul_half(a, b):
    (M, K), N = a.shape, b.shape[1]
    c = torch.zeros((M, N), device=a.device, dtype=torch.float32)
    matmul_kernel[(triton.cdiv(M, 32), triton.cdiv(N, 32), triton.cdiv(K, 32))](a, b, c, M, N, K, BLOCK=32)
    return c.to(torch.float16)
