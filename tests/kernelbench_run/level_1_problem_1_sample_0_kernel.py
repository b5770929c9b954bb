"""Square product in full fp32: the tolerance of 1e-4 on sums of thousands leaves no room for TF32."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def product_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_inner, b_inner, b_column,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    tile, tiles_m, tiles_n = tl.program_id(0), tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N)
    band = tile // (GROUP * tiles_n)  # tiles that share rows of A run close together, for the L2 cache
    height = tl.minimum(tiles_m - band * GROUP, GROUP)
    tile_m = band * GROUP + tile % (GROUP * tiles_n) % height
    tile_n = tile % (GROUP * tiles_n) // height
    row = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, K, BLOCK_K):
        inner = start + tl.arange(0, BLOCK_K)
        a_at = a_ptr + row[:, None] * a_row + inner[None, :] * a_inner
        b_at = b_ptr + inner[:, None] * b_inner + column[None, :] * b_column
        a = tl.load(a_at, mask=(row[:, None] < M) & (inner[None, :] < K), other=0.0)
        b = tl.load(b_at, mask=(inner[:, None] < K) & (column[None, :] < N), other=0.0)
        total = tl.dot(a, b, total, input_precision="ieee")
    tl.store(c_ptr + row[:, None] * N + column[None, :], total, mask=(row[:, None] < M) & (column[None, :] < N))


class ModelNew(nn.Module):
    def forward(self, A, B):
        (M, K), N = A.shape, B.shape[1]
        C = torch.empty((M, N), device=A.device, dtype=A.dtype)
        grid = (triton.cdiv(M, 128) * triton.cdiv(N, 128),)
        product_kernel[grid](
            A, B, C, M, N, K, A.stride(0), A.stride(1), B.stride(0), B.stride(1),
            BLOCK_M=128, BLOCK_N=128, BLOCK_K=16, GROUP=8, num_warps=8,
        )  # fmt: skip
        return C
