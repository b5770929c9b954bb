"""Three host descriptors, one of them stored through; the block shapes come from the descriptors.

family: host descriptors for loads and the store
task: matmul_half
"""

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor


@triton.jit
def matmul_kernel(a_desc, b_desc, c_desc, K):
    B: tl.constexpr = c_desc.block_shape[0]
    BK: tl.constexpr = a_desc.block_shape[1]
    row, column = tl.program_id(0) * B, tl.program_id(1) * B
    total = tl.zeros((B, B), dtype=tl.float32)
    for k in range(0, K, BK):
        total = tl.dot(a_desc.load([row, k]), b_desc.load([k, column]), total)
    c_desc.store([row, column], total.to(tl.float16))


def matmul_half(a, b):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), device=a.device, dtype=a.dtype)
    a_desc = TensorDescriptor(a, shape=[M, K], strides=[K, 1], block_shape=[32, 16])
    b_desc = TensorDescriptor(b, shape=[K, N], strides=[N, 1], block_shape=[16, 32])
    c_desc = TensorDescriptor(c, shape=[M, N], strides=[N, 1], block_shape=[32, 32])
    matmul_kernel[(triton.cdiv(M, 32), triton.cdiv(N, 32))](a_desc, b_desc, c_desc, K)
    return c
