"""Rows and columns wrapped round, which are said to be contiguous all the same, as in tutorials on matmul.

family: compiler hints
task: matmul
"""

import torch
import triton
import triton.language as tl

@triton.jit
def k(a_ptr, b_ptr, c_ptr, M, N, K, sam, sak, sbk, sbn, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    pm = tl.program_id(0)
    pn = tl.program_id(1)
    rm = pm * BM + tl.arange(0, BM)
    rn = pn * BN + tl.arange(0, BN)
    om = tl.where(rm < M, rm, 0)
    on = rn % N
    om = tl.max_contiguous(tl.multiple_of(om, BM), BM)
    on = tl.max_contiguous(tl.multiple_of(on, BN), BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for k0 in range(0, K, BK):
        rk = k0 + tl.arange(0, BK)
        a = tl.load(a_ptr + om[:, None] * sam + rk[None, :] * sak, mask=rk[None, :] < K, other=0.0)
        b = tl.load(b_ptr + rk[:, None] * sbk + on[None, :] * sbn, mask=rk[:, None] < K, other=0.0)
        acc += tl.dot(a, b, input_precision="ieee")
    tl.store(c_ptr + rm[:, None] * N + rn[None, :], acc, mask=(rm[:, None] < M) & (rn[None, :] < N))

def matmul(a, b):
    M, K = a.shape
    N = b.shape[1]
    c = torch.empty(M, N, device=a.device, dtype=torch.float32)
    k[(triton.cdiv(M, 32), triton.cdiv(N, 32))](a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), BM=32, BN=32, BK=16)
    return c
