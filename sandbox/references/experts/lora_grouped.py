"""LoRA layer with many adapters: the low-rank projections by adapter, then the base product over all rows at once with
every adapter's `S Bᵀ` added to the accumulator while it is in registers.

1. First kernel: tiles never cross adapters. Its grid has room for one incomplete tile an adapter; each program finds
   its tile by a prefix sum over `offs`, and those left over end at once. It also writes down the owner of every row.
2. Base product: W is shared, so its tiles may cross adapters, and none is half empty however short the adapters are. A
   tile adds one small product for each adapter between its first and last row's, with the rows of others set to zero
   (with infinite or NaN weights in an adapter, rows of others that share its tile would be NaN).
3. S and the owners of the tile's rows are requested before the sum over K and used after it.
4. With TMA, where the device has it: one thread fetches a block, and no registers hold addresses. The first
   configuration is plain and fits 64 KiB of shared memory (gfx942); the others are sized for Hopper.
"""

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor


@triton.jit
def _tile_of_adapter(offs_ptr, tile, groups, GROUPS: tl.constexpr, BLOCK_M: tl.constexpr):
    """(adapter, first row, row behind its last) of a tile; adapter = groups for a tile too many."""
    g = tl.arange(0, GROUPS)
    low = tl.load(offs_ptr + g, mask=g < groups, other=0)
    high = tl.load(offs_ptr + g + 1, mask=g < groups, other=0)
    tiles = tl.cdiv(high - low, BLOCK_M)
    ends = tl.cumsum(tiles, axis=0)
    adapter = tl.sum(((ends <= tile) & (g < groups)).to(tl.int32), axis=0)
    first = tl.sum(tl.where(g == adapter, low + (tile - ends + tiles) * BLOCK_M, 0), axis=0)
    return adapter, first, tl.sum(tl.where(g == adapter, high, 0), axis=0)


@triton.jit
def _down_by_adapter(
    x_ptr, a_ptr, alpha_ptr, offs_ptr, s_ptr, owner_ptr, M, K, groups, x_m, a_g, a_r,
    EVEN_K: tl.constexpr, RANK: tl.constexpr, R: tl.constexpr, GROUPS: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Sᵀ = alpha_g · A_g xᵀ, [R, M]; rows past the rank are zero. owner [M] int32."""
    adapter, first, end = _tile_of_adapter(offs_ptr, tl.program_id(0), groups, GROUPS, BLOCK_M)
    if adapter < groups:
        row = first + tl.arange(0, BLOCK_M)
        clamped = tl.minimum(row, end - 1)
        rank = tl.arange(0, R)
        col = tl.arange(0, BLOCK_K)
        a_ptr += adapter.to(tl.int64) * a_g
        s = tl.zeros((BLOCK_M, R), dtype=tl.float32)
        for start in range(0, K, BLOCK_K):
            a_mask = rank[:, None] < RANK
            x_at = x_ptr + clamped[:, None] * x_m + start + col[None, :]
            if EVEN_K:
                x = tl.load(x_at)
            else:
                a_mask = a_mask & (start + col[None, :] < K)
                x = tl.load(x_at, mask=start + col[None, :] < K, other=0.0)
            a = tl.load(a_ptr + rank[:, None] * a_r + start + col[None, :], mask=a_mask, other=0.0)
            s = tl.dot(x, tl.trans(a), s)
        s = s * tl.load(alpha_ptr + adapter)
        tl.store(s_ptr + rank[None, :].to(tl.int64) * M + row[:, None], s, mask=row[:, None] < end)
        tl.store(owner_ptr + row, tl.zeros((BLOCK_M,), dtype=tl.int32) + adapter, mask=row < end)


@triton.jit
def _tile_of(program, M, N, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, GROUP_M: tl.constexpr):
    """Row and column of a program's tile: GROUP_M rows of tiles at a time, so that few rows of x and W are in use."""
    tiles_m, tiles_n = tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N)
    group = program // (GROUP_M * tiles_n)
    height = tl.minimum(tiles_m - group * GROUP_M, GROUP_M)
    within = program % (GROUP_M * tiles_n)
    return group * GROUP_M + within % height, within // height


def _set_blocks(arguments):
    """Configurations with TMA: the blocks that the descriptors fetch."""
    x, w, block_k = arguments["x_blocks"], arguments["w_blocks"], arguments["BLOCK_K"]
    x.block_shape, w.block_shape = [arguments["BLOCK_M"], block_k], [arguments["BLOCK_N"], block_k]


def _config(block_m, block_n, warps, stages, tma):
    return triton.Config(
        {"BLOCK_M": block_m, "BLOCK_N": block_n, "GROUP_M": 8, "TMA": tma},
        num_warps=warps,
        num_stages=stages,
        pre_hook=_set_blocks if tma else None,
    )


def _has_tma():
    target = triton.runtime.driver.active.get_current_target()
    return target.backend == "cuda" and target.arch >= 90


def _possible(configs, arguments, **others):
    """The first one anywhere; those for Hopper there, with TMA if there are descriptors."""
    tma = isinstance(arguments["x_blocks"], TensorDescriptor)
    return configs[:1] + [c for c in configs[1:] if _has_tma() and (tma or not c.kwargs["TMA"])]


@triton.autotune(
    configs=[
        _config(128, 128, 4, 2, False),
        _config(128, 256, 8, 3, False),
        _config(128, 256, 8, 3, True),
        _config(128, 256, 8, 4, True),
        _config(256, 128, 8, 4, True),
        _config(128, 128, 4, 3, True),
        _config(64, 128, 4, 4, True),
    ],
    key=["M", "N", "K", "R", "groups"],
    prune_configs_by={"early_config_prune": _possible},
)
@triton.jit
def _base_and_up_by_adapter(
    x_ptr, w_ptr, x_blocks, w_blocks, s_ptr, owner_ptr, b_ptr, y_ptr, M, N, K, groups, x_m, w_n, b_g, b_n,
    RANK: tl.constexpr, R: tl.constexpr, EVEN_K: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, GROUP_M: tl.constexpr, TMA: tl.constexpr,
):  # fmt: skip
    """y = x Wᵀ + sum over the tile's adapters of S_g B_gᵀ, one tile."""
    tile_m, tile_n = _tile_of(tl.program_id(0), M, N, BLOCK_M, BLOCK_N, GROUP_M)
    row = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    col = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    wrapped_row, wrapped_col = (row % M).to(tl.int64), (col % N).to(tl.int64)

    rank = tl.arange(0, R)
    s = tl.load(s_ptr + rank[:, None].to(tl.int64) * M + row[None, :], mask=row[None, :] < M, other=0.0)
    owner = tl.load(owner_ptr + row, mask=row < M, other=-1)
    first_adapter = tl.load(owner_ptr + tile_m * BLOCK_M)
    last_adapter = tl.load(owner_ptr + tl.minimum(tile_m * BLOCK_M + BLOCK_M, M) - 1)

    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    if TMA:
        for start in range(0, K, BLOCK_K):
            x = x_blocks.load([tile_m * BLOCK_M, start])
            w = w_blocks.load([tile_n * BLOCK_N, start])
            acc = tl.dot(x, tl.trans(w), acc)
    else:
        k = tl.arange(0, BLOCK_K)
        x_at = x_ptr + wrapped_row[:, None] * x_m + k[None, :]
        w_at = w_ptr + wrapped_col[:, None] * w_n + k[None, :]
        for start in range(0, K, BLOCK_K):
            if EVEN_K:
                x, w = tl.load(x_at), tl.load(w_at)
            else:
                x = tl.load(x_at, mask=k[None, :] < K - start, other=0.0)
                w = tl.load(w_at, mask=k[None, :] < K - start, other=0.0)
            acc = tl.dot(x, tl.trans(w), acc)
            x_at += BLOCK_K
            w_at += BLOCK_K

    b_at = b_ptr + first_adapter.to(tl.int64) * b_g + wrapped_col[:, None] * b_n + rank[None, :]
    for adapter in tl.range(first_adapter, last_adapter + 1, num_stages=1):
        b = tl.load(b_at, mask=rank[None, :] < RANK, other=0.0)
        own = tl.where(owner[None, :] == adapter, s, 0.0).to(b.dtype)
        acc = tl.dot(tl.trans(own), tl.trans(b), acc)
        b_at += b_g
    out = y_ptr + row.to(tl.int64)[:, None] * N + col[None, :]
    tl.store(out, acc.to(y_ptr.dtype.element_ty), mask=(row[:, None] < M) & (col[None, :] < N))


def _blocks(*matrices):
    """Descriptors of matrices [rows, K] for TMA where the device has it and they are aligned, else the matrices."""
    odd = any(m.numel() == 0 or (m.data_ptr() | m.stride(0) * m.element_size()) % 16 for m in matrices)
    if odd or not _has_tma():
        return matrices
    return [TensorDescriptor.from_tensor(m, [1, 16]) for m in matrices]  # each configuration sets its own block


def _rows_contiguous(x):
    return x if x.stride(-1) == 1 else x.contiguous()


def lora_grouped(x, W, A, B, alphas, offs):
    """x [M, K], W [N, K], A [G, R, K], B [G, N, R], alphas [G] fp32, offs [G + 1] int64 → y [M, N], dtype of x."""
    x, W, A, B = _rows_contiguous(x), _rows_contiguous(W), _rows_contiguous(A), _rows_contiguous(B)
    alphas, offs = alphas.contiguous(), offs.contiguous()
    (M, K), N, (groups, rank, _) = x.shape, W.shape[0], A.shape
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    if y.numel() == 0:
        return y
    R = max(16, triton.next_power_of_2(rank))
    s = torch.empty((R, M), dtype=torch.float32, device=x.device)
    owner = torch.empty((M,), dtype=torch.int32, device=x.device)
    block_m, wide = (32, 256 // x.element_size()) if R <= 32 else (64, 128 // x.element_size())
    _down_by_adapter[(triton.cdiv(M, block_m) + groups,)](
        x, A, alphas, offs, s, owner, M, K, groups, x.stride(0), A.stride(0), A.stride(1),
        EVEN_K=K % wide == 0, RANK=rank, R=R, GROUPS=triton.next_power_of_2(groups), BLOCK_M=block_m, BLOCK_K=wide,
        num_warps=4, num_stages=4 if R <= 64 else 2,
    )  # fmt: skip
    block_k = 128 // x.element_size()  # one line of shared memory
    x_blocks, w_blocks = _blocks(x, W)
    _base_and_up_by_adapter[lambda meta: (triton.cdiv(M, meta["BLOCK_M"]) * triton.cdiv(N, meta["BLOCK_N"]),)](
        x, W, x_blocks, w_blocks, s, owner, B, y, M, N, K, groups,
        x.stride(0), W.stride(0), B.stride(0), B.stride(1),
        RANK=rank, R=R, EVEN_K=K % block_k == 0, BLOCK_K=block_k,
    )  # fmt: skip
    return y
