"""Linear layer, scale and clamp in one kernel; log-sum-exp and Mish of each row in another."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def layer_kernel(
    a_ptr, b_ptr, c_ptr, bias_ptr, factor, low, high, M, N, K, a_row, a_inner, b_inner, b_column,
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
    total += tl.load(bias_ptr + column, mask=column < N, other=0.0)[None, :]
    total = tl.minimum(tl.maximum(total * factor, low), high)
    tl.store(c_ptr + row[:, None] * N + column[None, :], total, mask=(row[:, None] < M) & (column[None, :] < N))


@triton.jit
def rows_kernel(x_ptr, y_ptr, size, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * size + at, mask=at < size, other=-float("inf"))
    top = tl.max(x, axis=0)
    z = top + tl.log(tl.sum(tl.exp(x - top), axis=0))
    e = tl.exp(tl.minimum(z, 20.0))
    n = e * (e + 2.0)
    tl.store(y_ptr + row, z * tl.where(z > 20.0, z, z * n / (n + 2.0)))


class ModelNew(nn.Module):
    def __init__(self, input_size, hidden_size, scale_factor, clamp_min, clamp_max):
        super().__init__()
        self.matmul = nn.Linear(input_size, hidden_size)
        self.factor, self.low, self.high = 2.0 * scale_factor, clamp_min, clamp_max

    def forward(self, x):
        (M, K), (N, _) = x.shape, self.matmul.weight.shape
        y = torch.empty((M, N), device=x.device, dtype=x.dtype)
        grid = (triton.cdiv(M, 128) * triton.cdiv(N, 128),)
        layer_kernel[grid](
            x, self.matmul.weight, y, self.matmul.bias, self.factor, self.low, self.high, M, N, K, K, 1, 1, K,
            BLOCK_M=128, BLOCK_N=128, BLOCK_K=16, GROUP=8, num_warps=8,
        )  # fmt: skip
        out = torch.empty((M, 1), device=x.device, dtype=x.dtype)
        rows_kernel[(M,)](y, out, N, BLOCK=triton.next_power_of_2(N), num_warps=8)
        return out
