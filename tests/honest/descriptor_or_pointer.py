"""A helper makes a descriptor of what is none yet, as the kernel may be given either; another reads any of them.

family: descriptors in helpers
task: matmul_half
"""

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor


@triton.jit
def described(descriptor_or_pointer, shape, strides, block_shape):
    if isinstance(descriptor_or_pointer, tl.tensor_descriptor):
        return descriptor_or_pointer
    else:
        return tl.make_tensor_descriptor(descriptor_or_pointer, shape, strides, block_shape)


@triton.jit
def tile(descriptor, row, column):
    return descriptor.load([row, column])


@triton.jit
def matmul_kernel(a, b, c, M, N, K, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK
    column = tl.program_id(1) * BLOCK
    a_desc = described(a, shape=[M, K], strides=[K, 1], block_shape=[BLOCK, BLOCK])
    b_desc = described(b, shape=[K, N], strides=[N, 1], block_shape=[BLOCK, BLOCK])
    c_desc = described(c, shape=[M, N], strides=[N, 1], block_shape=[BLOCK, BLOCK])
    acc = tl.zeros([BLOCK, BLOCK], dtype=tl.float32)
    for k in range(0, K, BLOCK):
        acc += tl.dot(tile(a_desc, row, k), tile(b_desc, k, column))
    c_desc.store([row, column], acc.to(tl.float16))


def allocate(size, alignment, stream):
    return torch.empty(size, device="cuda", dtype=torch.int8)


def matmul_half(a, b):
    triton.set_allocator(allocate)
    M, K = a.shape
    N = b.shape[1]
    c = torch.empty((M, N), device=a.device, dtype=a.dtype)
    from_host = TensorDescriptor.from_tensor(a, [16, 16])
    matmul_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16))](from_host, b, c, M, N, K, BLOCK=16)
    return c
