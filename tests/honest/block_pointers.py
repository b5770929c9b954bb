"""tl.make_block_ptr with boundary checks and tl.advance where Triton still has it (until 3.8), descriptors elsewhere.

family: block pointers
task: matmul_half
"""

import torch
import triton
import triton.language as tl


BLOCK_POINTERS = tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 9)


@triton.jit
def matmul_kernel(a_ptr, b_ptr, c_ptr, M, N, K, sam, sak, sbk, sbn, scm, scn, B: tl.constexpr, BK: tl.constexpr):
    row, column = tl.program_id(0) * B, tl.program_id(1) * B
    a_block = tl.make_block_ptr(
        base=a_ptr, shape=(M, K), strides=(sam, sak), offsets=(row, 0), block_shape=(B, BK), order=(1, 0)
    )
    b_block = tl.make_block_ptr(
        base=b_ptr, shape=(K, N), strides=(sbk, sbn), offsets=(0, column), block_shape=(BK, B), order=(1, 0)
    )
    total = tl.zeros((B, B), dtype=tl.float32)
    for _ in range(0, K, BK):
        a = tl.load(a_block, boundary_check=(0, 1), padding_option="zero")
        b = tl.load(b_block, boundary_check=(0, 1), padding_option="zero")
        total += tl.dot(a, b)
        a_block = tl.advance(a_block, (0, BK))
        b_block = tl.advance(b_block, (BK, 0))
    c_block = tl.make_block_ptr(
        base=c_ptr, shape=(M, N), strides=(scm, scn), offsets=(row, column), block_shape=(B, B), order=(1, 0)
    )
    tl.store(c_block, total.to(c_ptr.dtype.element_ty), boundary_check=(0, 1))


@triton.jit
def descriptor_kernel(a_ptr, b_ptr, c_ptr, M, N, K, sam, sbk, scm, B: tl.constexpr, BK: tl.constexpr):
    row, column = tl.program_id(0) * B, tl.program_id(1) * B
    a_desc = tl.make_tensor_descriptor(a_ptr, shape=[M, K], strides=[sam, 1], block_shape=[B, BK])
    b_desc = tl.make_tensor_descriptor(b_ptr, shape=[K, N], strides=[sbk, 1], block_shape=[BK, B])
    c_desc = tl.make_tensor_descriptor(c_ptr, shape=[M, N], strides=[scm, 1], block_shape=[B, B])
    total = tl.zeros((B, B), dtype=tl.float32)
    for k in range(0, K, BK):
        total += tl.dot(a_desc.load([row, k]), b_desc.load([k, column]))
    c_desc.store([row, column], total.to(c_ptr.dtype.element_ty))


def allocate(size, alignment, stream):
    return torch.empty(size, device="cuda", dtype=torch.int8)


def matmul_half(a, b):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), device=a.device, dtype=a.dtype)
    grid = (triton.cdiv(M, 32), triton.cdiv(N, 32))
    if BLOCK_POINTERS:
        matmul_kernel[grid](a, b, c, M, N, K, *a.stride(), *b.stride(), *c.stride(), B=32, BK=32)
    else:
        triton.set_allocator(allocate)
        descriptor_kernel[grid](a, b, c, M, N, K, a.stride(0), b.stride(0), c.stride(0), B=32, BK=32)
    return c
