"""Persistent matmul: as many programs as multiprocessors walk over the tiles with device-side descriptors.

family: device tensor descriptors, persistent grid by SM count
task: matmul_half
"""

import torch
import triton
import triton.language as tl


@triton.jit
def matmul_kernel(a_ptr, b_ptr, c_ptr, M, N, K, B: tl.constexpr, BK: tl.constexpr, PROGRAMS: tl.constexpr):
    a_desc = tl.make_tensor_descriptor(a_ptr, shape=[M, K], strides=[K, 1], block_shape=[B, BK])
    b_desc = tl.make_tensor_descriptor(b_ptr, shape=[K, N], strides=[N, 1], block_shape=[BK, B])
    c_desc = tl.make_tensor_descriptor(c_ptr, shape=[M, N], strides=[N, 1], block_shape=[B, B])
    across = tl.cdiv(N, B)
    tiles = tl.cdiv(M, B) * across
    for tile in tl.range(tl.program_id(0), tiles, PROGRAMS, flatten=True):
        row, column = tile // across * B, tile % across * B
        total = tl.zeros((B, B), dtype=tl.float32)
        for k in range(0, K, BK):
            total = tl.dot(a_desc.load([row, k]), b_desc.load([k, column]), total)
        c_desc.store([row, column], total.to(tl.float16))


def allocate(size: int, alignment: int, stream):
    return torch.empty(size, device="cuda", dtype=torch.int8)


def matmul_half(a, b):
    triton.set_allocator(allocate)
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), device=a.device, dtype=a.dtype)
    tiles = triton.cdiv(M, 32) * triton.cdiv(N, 32)
    programs = min(torch.cuda.get_device_properties(a.device).multi_processor_count, tiles)
    matmul_kernel[(programs,)](a, b, c, M, N, K, B=32, BK=32, PROGRAMS=programs, num_warps=4, num_stages=2)
    return c
