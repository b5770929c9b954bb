"""LoRA layer backward: two thin projections, the base product that starts from the adapter's share of dx, and two sums
over rows. Nothing of size [M, K] or [M, N] is written besides dx.

1. Thin projections S = drop(x) Aᵀ and dS = dy B read x and dy once; alpha / (1 - p) is folded into both, so that the
   mask is a select everywhere. With few rows the sum is split, and whoever reads S adds the parts.
2. Base product: the accumulator starts as (dS A) under the mask, so that dx needs no second accumulator; tiles of
   128 x 256 and 8 warps, unmasked where the block divides N, tiles that share rows or columns are neighbours in time.
3. dA and dB: rows are split over programs, partial sums are added in a fixed order: no atomics.
4. With TMA, where the device has it: one thread fetches a block, and no registers hold addresses. The first
   configuration is plain and fits 64 KiB of shared memory (gfx942); the others are sized for Hopper.
"""

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor


@triton.jit
def _load_dropped(x_at, keep_at, inside, DROPOUT: tl.constexpr, EVEN: tl.constexpr):
    """A tile of x, zero where the mask (or, unless EVEN, `inside`) says so."""
    x = tl.load(x_at) if EVEN else tl.load(x_at, mask=inside, other=0.0)
    if DROPOUT:
        keep = tl.load(keep_at) if EVEN else tl.load(keep_at, mask=inside, other=0)
        x = tl.where(keep != 0, x, 0.0)
    return x


@triton.jit
def _project(
    x_ptr, keep_ptr, a_ptr, s_ptr, scale, M, s_m, K, per_split, x_m, keep_m, a_r, a_k,
    DROPOUT: tl.constexpr, EVEN_K: tl.constexpr, RANK: tl.constexpr, R: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Sᵀ = scale · A (x · keep)ᵀ of one range of K, [splits, R, s_m]; rows past the rank are zero."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    wrapped = row % M
    rank = tl.arange(0, R)
    col = tl.arange(0, BLOCK_K)
    first = tl.program_id(1) * per_split
    s = tl.zeros((BLOCK_M, R), dtype=tl.float32)
    for start in range(first, tl.minimum(first + per_split, K), BLOCK_K):
        inside = start + col < K
        at = wrapped[:, None] * x_m + start + col[None, :]
        keep_at = keep_ptr + wrapped[:, None] * keep_m + start + col[None, :]
        x = _load_dropped(x_ptr + at, keep_at, inside[None, :], DROPOUT, EVEN_K)
        a_mask = rank[:, None] < RANK
        if not EVEN_K:
            a_mask = a_mask & inside[None, :]
        a = tl.load(a_ptr + rank[:, None] * a_r + (start + col[None, :]) * a_k, mask=a_mask, other=0.0)
        s = tl.dot(x, tl.trans(a), s)
    out = s_ptr + (tl.program_id(1).to(tl.int64) * R + rank[None, :]) * s_m + row[:, None]
    tl.store(out, s * scale, mask=row[:, None] < s_m)


@triton.jit
def _load_s(s_ptr, row, s_m, SPLITS: tl.constexpr, R: tl.constexpr):
    """Sᵀ of some rows, [R, len(row)]."""
    at = s_ptr + tl.arange(0, R)[:, None].to(tl.int64) * s_m + row[None, :]
    s = tl.load(at, mask=row[None, :] < s_m, other=0.0)
    for _ in tl.static_range(1, SPLITS):
        at += s_m * R
        s += tl.load(at, mask=row[None, :] < s_m, other=0.0)
    return s


@triton.jit
def _sum_over_rows(
    s_ptr, x_ptr, keep_ptr, part_ptr, M, s_m, K, per_part, x_m, keep_m,
    DROPOUT: tl.constexpr, SPLITS: tl.constexpr, R: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Sᵀ (x · keep) of one range of rows and columns, [parts, R, K]."""
    col = tl.program_id(0) * BLOCK_K + tl.arange(0, BLOCK_K)
    first = tl.program_id(1) * per_part
    acc = tl.zeros((R, BLOCK_K), dtype=tl.float32)
    for start in range(first, tl.minimum(first + per_part, M), BLOCK_M):
        row = start + tl.arange(0, BLOCK_M)
        inside = (row[:, None] < M) & (col[None, :] < K)
        at = row[:, None].to(tl.int64)
        x = _load_dropped(
            x_ptr + at * x_m + col[None, :], keep_ptr + at * keep_m + col[None, :], inside, DROPOUT, False
        )
        acc = tl.dot(_load_s(s_ptr, row, s_m, SPLITS, R).to(x.dtype), x, acc)
    rank = tl.program_id(1).to(tl.int64) * R + tl.arange(0, R)
    tl.store(part_ptr + rank[:, None] * K + col[None, :], acc, mask=col[None, :] < K)


@triton.jit
def _finish(part_ptr, out_ptr, K, parts, out_r, out_k, RANK: tl.constexpr, R: tl.constexpr, BLOCK_K: tl.constexpr):
    """Adds the parts: out[r, k] at r · out_r + k · out_k."""
    rank = tl.arange(0, R)[:, None]
    col = (tl.program_id(0) * BLOCK_K + tl.arange(0, BLOCK_K))[None, :]
    total = tl.zeros((R, BLOCK_K), dtype=tl.float32)
    for part in range(parts):
        total += tl.load(part_ptr + (part * R + rank).to(tl.int64) * K + col, mask=col < K, other=0.0)
    at = out_ptr + rank.to(tl.int64) * out_r + col.to(tl.int64) * out_k
    tl.store(at, total.to(out_ptr.dtype.element_ty), mask=(rank < RANK) & (col < K))


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
    dy, w, block_k = arguments["dy_blocks"], arguments["w_blocks"], arguments["BLOCK_K"]
    dy.block_shape, w.block_shape = [arguments["BLOCK_M"], block_k], [block_k, arguments["BLOCK_N"]]


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
    tma = isinstance(arguments["dy_blocks"], TensorDescriptor)
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
    key=["M", "N", "K", "R"],
    prune_configs_by={"early_config_prune": _possible},
)
@triton.jit
def _base_from_low_rank(
    dy_ptr, w_ptr, dy_blocks, w_blocks, s_ptr, a_ptr, keep_ptr, dx_ptr, M, N, K, dy_m, w_k, s_m, a_r, keep_m,
    DROPOUT: tl.constexpr, RANK: tl.constexpr, R: tl.constexpr, SPLITS: tl.constexpr, EVEN_K: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, GROUP_M: tl.constexpr, TMA: tl.constexpr,
):  # fmt: skip
    """dx = (dS A) · keep + dy W, one tile; here dy is [M, K], W is [K, N] and dx is [M, N]."""
    tile_m, tile_n = _tile_of(tl.program_id(0), M, N, BLOCK_M, BLOCK_N, GROUP_M)
    row = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    col = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    rows = row.to(tl.int64)[:, None]
    inside = (row[:, None] < M) & (col[None, :] < N)

    rank = tl.arange(0, R)
    a_mask = (rank[:, None] < RANK) & (col[None, :] < N)
    a = tl.load(a_ptr + rank[:, None] * a_r + col[None, :], mask=a_mask, other=0.0)
    ds = _load_s(s_ptr, row, s_m, SPLITS, R)
    acc = tl.dot(tl.trans(ds.to(a.dtype)), a)
    if DROPOUT:
        keep = tl.load(keep_ptr + rows * keep_m + col[None, :], mask=inside, other=0)
        acc = tl.where(keep != 0, acc, 0.0)

    if TMA:
        for start in range(0, K, BLOCK_K):
            dy = dy_blocks.load([tile_m * BLOCK_M, start])
            w = w_blocks.load([start, tile_n * BLOCK_N])
            acc = tl.dot(dy, w, acc)
    else:
        k = tl.arange(0, BLOCK_K)
        dy_at = dy_ptr + (rows % M) * dy_m + k[None, :]
        w_at = w_ptr + k[:, None].to(tl.int64) * w_k + col[None, :]
        for start in range(0, K, BLOCK_K):
            if EVEN_K:
                dy = tl.load(dy_at)
                w = tl.load(w_at, mask=col[None, :] < N, other=0.0)
            else:
                dy = tl.load(dy_at, mask=k[None, :] < K - start, other=0.0)
                w = tl.load(w_at, mask=(k[:, None] < K - start) & (col[None, :] < N), other=0.0)
            acc = tl.dot(dy, w, acc)
            dy_at += BLOCK_K
            w_at += BLOCK_K * w_k
    tl.store(dx_ptr + rows * N + col[None, :], acc.to(dx_ptr.dtype.element_ty), mask=inside)


def _blocks(*matrices):
    """Descriptors of matrices [rows, K] for TMA where the device has it and they are aligned, else the matrices."""
    odd = any(m.numel() == 0 or (m.data_ptr() | m.stride(0) * m.element_size()) % 16 for m in matrices)
    if odd or not _has_tma():
        return matrices
    return [TensorDescriptor.from_tensor(m, [1, 16]) for m in matrices]  # each configuration sets its own block


def _rows_contiguous(x):
    return x if x.stride(-1) == 1 else x.contiguous()


def _projected(x, mask, a, a_r, a_k, rank, scale, dropout):
    """Sᵀ [splits, R, M rounded up] fp32 for x [M, K] and rank rows of a."""
    M, K = x.shape
    R = max(16, triton.next_power_of_2(rank))
    block_m, block_k = (32, 256 // x.element_size()) if R <= 32 else (64, 128 // x.element_size())
    tiles = triton.cdiv(M, block_m)
    wanted = max(1, min(64 // R, 256 // tiles, K // (4 * block_k)))
    per_split = max(1, triton.cdiv(triton.cdiv(K, wanted), block_k)) * block_k
    splits = max(1, triton.cdiv(K, per_split))
    s_m = triton.cdiv(M, 64) * 64  # rows of Sᵀ are aligned whatever M is
    s = torch.empty((splits, R, s_m), dtype=torch.float32, device=x.device)
    _project[(s_m // block_m, splits)](
        x, mask, a, s, scale, M, s_m, K, per_split, x.stride(0), mask.stride(0), a_r, a_k,
        DROPOUT=dropout, EVEN_K=K % block_k == 0, RANK=rank, R=R, BLOCK_M=block_m, BLOCK_K=block_k,
        num_warps=4, num_stages=4 if R <= 64 else 2,
    )  # fmt: skip
    return s


def _summed(s, x, mask, out, out_r, out_k, rank, dropout):
    """out [rank, K] = S · (x · mask), with the strides of `out` given."""
    (splits, R, s_m), (M, K) = s.shape, x.shape
    block_m, block_k = 64, 128 // x.element_size()
    tiles = triton.cdiv(K, block_k)
    per_part = max(1, triton.cdiv(triton.cdiv(M, max(1, 264 // tiles)), block_m)) * block_m
    parts = triton.cdiv(M, per_part)
    part = torch.empty((parts, R, K), dtype=torch.float32, device=x.device)
    _sum_over_rows[(tiles, parts)](
        s, x, mask, part, M, s_m, K, per_part, x.stride(0), mask.stride(0),
        DROPOUT=dropout, SPLITS=splits, R=R, BLOCK_M=block_m, BLOCK_K=block_k,
        num_warps=4, num_stages=4 if splits * R <= 32 else 3 if R <= 64 else 2,
    )  # fmt: skip
    _finish[(triton.cdiv(K, 64),)](part, out, K, parts, out_r, out_k, RANK=rank, R=R, BLOCK_K=64, num_warps=4)


def lora_fused_backward(dy, x, W, A, B, alpha, keep=None, p=0.0):
    """dy [M, N], x [M, K], W [N, K], A [r, K], B [N, r], keep [M, K] or None → dx [M, K], dA [r, K], dB [N, r]."""
    dy, x, W, A, B = (_rows_contiguous(t) for t in (dy, x, W, A, B))
    (M, N), (rank, K) = dy.shape, A.shape
    dx = torch.empty((M, K), dtype=x.dtype, device=x.device)
    dA = torch.empty((rank, K), dtype=A.dtype, device=x.device)
    dB = torch.empty((N, rank), dtype=B.dtype, device=x.device)
    if min(M, N, K, rank) == 0:
        return dx.zero_(), dA.zero_(), dB.zero_()
    dropout = keep is not None
    mask = _rows_contiguous(keep) if dropout else x  # without dropout no kernel reads it
    scale = alpha / (1 - p) if dropout else alpha
    s = _projected(x, mask, A, A.stride(0), 1, rank, scale, dropout)
    ds = _projected(dy, dy, B, 1, B.stride(0), rank, scale, False)
    _summed(ds, x, mask, dA, K, 1, rank, dropout)
    _summed(s, dy, dy, dB, 1, rank, rank, False)
    block_k = 128 // x.element_size()  # one line of shared memory
    dy_blocks, w_blocks = _blocks(dy, W)
    _base_from_low_rank[lambda meta: (triton.cdiv(M, meta["BLOCK_M"]) * triton.cdiv(K, meta["BLOCK_N"]),)](
        dy, W, dy_blocks, w_blocks, ds, A, mask, dx, M, K, N, dy.stride(0), W.stride(0), ds.shape[2],
        A.stride(0), mask.stride(0),
        DROPOUT=dropout, RANK=rank, R=ds.shape[1], SPLITS=ds.shape[0], EVEN_K=N % block_k == 0, BLOCK_K=block_k,
    )  # fmt: skip
    return dx, dA, dB
