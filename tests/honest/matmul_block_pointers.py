"""tl.make_block_ptr with boundary checks and tl.advance.

family: block pointers
task: matmul_half
"""

import torch
import triton
import triton.language as tl

@triton.jit
def matmul_kernel(a_ptr, b_ptr, c_ptr, M, N, K, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK
    column = tl.program_id(1) * BLOCK
    a_block = tl.make_block_ptr(
        base=a_ptr, shape=(M, K), strides=(K, 1), offsets=(row, 0), block_shape=(BLOCK, BLOCK), order=(1, 0)
    )
    b_block = tl.make_block_ptr(
        base=b_ptr, shape=(K, N), strides=(N, 1), offsets=(0, column), block_shape=(BLOCK, BLOCK), order=(1, 0)
    )
    acc = tl.zeros([BLOCK, BLOCK], dtype=tl.float32)
    for _ in range(0, K, BLOCK):
        a = tl.load(a_block, boundary_check=(0, 1), padding_option="zero")
        b = tl.load(b_block, boundary_check=(0, 1), padding_option="zero")
        acc += tl.dot(a, b)
        a_block = tl.advance(a_block, (0, BLOCK))
        b_block = tl.advance(b_block, (BLOCK, 0))
    c_block = tl.make_block_ptr(
        base=c_ptr, shape=(M, N), strides=(N, 1), offsets=(row, column), block_shape=(BLOCK, BLOCK), order=(1, 0)
    )
    tl.store(c_block, acc.to(c_ptr.dtype.element_ty), boundary_check=(0, 1))


def matmul_half(a, b):
    a, b = a.contiguous(), b.contiguous()
    M, K = a.shape
    N = b.shape[1]
    c = torch.empty((M, N), device=a.device, dtype=a.dtype)
    matmul_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16))](a, b, c, M, N, K, BLOCK=16)
    return c
