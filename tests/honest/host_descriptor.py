"""A tensor descriptor made on the host and passed to the kernel.

family: host-side tensor descriptor
task: matmul_half
"""

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor


@triton.jit
def matmul_kernel(a_desc, b_desc, c_ptr, M, N, K, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK
    column = tl.program_id(1) * BLOCK
    acc = tl.zeros([BLOCK, BLOCK], dtype=tl.float32)
    for k in range(0, K, BLOCK):
        acc += tl.dot(a_desc.load([row, k]), b_desc.load([k, column]))
    rows = row + tl.arange(0, BLOCK)[:, None]
    columns = column + tl.arange(0, BLOCK)[None, :]
    tl.store(c_ptr + rows * N + columns, acc.to(tl.float16), mask=(rows < M) & (columns < N))


def matmul_half(a, b):
    M, K = a.shape
    N = b.shape[1]
    c = torch.empty((M, N), device=a.device, dtype=a.dtype)
    a_desc = TensorDescriptor.from_tensor(a, [16, 16])
    b_desc = TensorDescriptor.from_tensor(b, [16, 16])
    matmul_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16))](a_desc, b_desc, c, M, N, K, BLOCK=16)
    return c
