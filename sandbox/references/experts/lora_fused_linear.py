"""LoRA layer in two kernels: the low-rank projection in one pass over x, then the base product with `S Bᵀ` added to the
accumulator while it is in registers. Nothing of size [M, N] or [M, K] is written besides y.

1. The dropout mask is applied to x on its way to the tensor cores, and alpha / (1 - p) to S; with few rows the sum over
   K is split, and the second kernel adds the parts: no atomics.
2. Base product: tiles of 128 x 256 and 8 warps, unmasked when K is a multiple of the block (rows past the end wrap
   around and are not stored), and tiles that share rows of x or W are neighbours in time, so both come from L2.
3. S and B of the tile are requested before the sum over K and used after it: their latency is hidden. S is stored
   transposed because the compiler would otherwise bring it into the layout of the product, and wait, at once.
4. With TMA, where the device has it: one thread fetches a block, and no registers hold addresses. The first
   configuration is plain and fits 64 KiB of shared memory (gfx942); the others are sized for Hopper.
"""

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor


@triton.jit
def _down(
    x_ptr, keep_ptr, a_ptr, s_ptr, scale, M, s_m, K, per_split, x_m, keep_m, a_r,
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
        a_mask = rank[:, None] < RANK
        x_at = x_ptr + wrapped[:, None] * x_m + start + col[None, :]
        keep_at = keep_ptr + wrapped[:, None] * keep_m + start + col[None, :]
        if EVEN_K:
            x = tl.load(x_at)
        else:
            a_mask = a_mask & inside[None, :]
            x = tl.load(x_at, mask=inside[None, :], other=0.0)
        if DROPOUT:
            keep = tl.load(keep_at) if EVEN_K else tl.load(keep_at, mask=inside[None, :], other=0)
            x = tl.where(keep != 0, x, 0.0)
        a = tl.load(a_ptr + rank[:, None] * a_r + start + col[None, :], mask=a_mask, other=0.0)
        s = tl.dot(x, tl.trans(a), s)
    out = s_ptr + (tl.program_id(1).to(tl.int64) * R + rank[None, :]) * s_m + row[:, None]
    tl.store(out, s * scale, mask=row[:, None] < s_m)


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
    key=["M", "N", "K", "R"],
    prune_configs_by={"early_config_prune": _possible},
)
@triton.jit
def _base_and_up(
    x_ptr, w_ptr, x_blocks, w_blocks, s_ptr, b_ptr, y_ptr, M, N, K, x_m, w_n, s_m, b_n,
    RANK: tl.constexpr, R: tl.constexpr, SPLITS: tl.constexpr, EVEN_K: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, GROUP_M: tl.constexpr, TMA: tl.constexpr,
):  # fmt: skip
    """y = x Wᵀ + S Bᵀ, one tile."""
    tile_m, tile_n = _tile_of(tl.program_id(0), M, N, BLOCK_M, BLOCK_N, GROUP_M)
    row = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    col = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    wrapped_row, wrapped_col = (row % M).to(tl.int64), (col % N).to(tl.int64)

    rank = tl.arange(0, R)
    s_at = s_ptr + rank[:, None].to(tl.int64) * s_m + row[None, :]
    s = tl.load(s_at, mask=row[None, :] < s_m, other=0.0)
    b = tl.load(b_ptr + wrapped_col[:, None] * b_n + rank[None, :], mask=rank[None, :] < RANK, other=0.0)

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

    for _ in tl.static_range(1, SPLITS):
        s_at += s_m * R
        s += tl.load(s_at, mask=row[None, :] < s_m, other=0.0)
    # arithmetic on b after the sum: without it the compiler would wait for b before the sum, to put it in shared memory
    b = tl.where(col[:, None] < N, b, 0.0)
    acc = tl.dot(tl.trans(s.to(b.dtype)), tl.trans(b), acc)
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


def lora_fused_linear(x, W, A, B, alpha, keep=None, p=0.0):
    """x [M, K], W [N, K], A [r, K], B [N, r], keep [M, K] bool or None → y [M, N] in the dtype of x."""
    x, W, A, B = _rows_contiguous(x), _rows_contiguous(W), _rows_contiguous(A), _rows_contiguous(B)
    (M, K), N, r = x.shape, W.shape[0], A.shape[0]
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    if y.numel() == 0:
        return y
    mask = x if keep is None else _rows_contiguous(keep)  # without dropout the kernel does not read it
    R = max(16, triton.next_power_of_2(r))
    block_m, wide = (32, 256 // x.element_size()) if R <= 32 else (64, 128 // x.element_size())
    tiles = triton.cdiv(M, block_m)
    wanted = max(1, min(64 // R, 256 // tiles, K // (4 * wide)))
    per_split = max(1, triton.cdiv(triton.cdiv(K, wanted), wide)) * wide
    splits = max(1, triton.cdiv(K, per_split))
    s_m = triton.cdiv(M, 64) * 64  # rows of Sᵀ are aligned whatever M is
    s = torch.empty((splits, R, s_m), dtype=torch.float32, device=x.device)
    _down[(s_m // block_m, splits)](
        x, mask, A, s, alpha if keep is None else alpha / (1 - p), M, s_m, K, per_split,
        x.stride(0), mask.stride(0), A.stride(0),
        DROPOUT=keep is not None, EVEN_K=K % wide == 0, RANK=r, R=R, BLOCK_M=block_m, BLOCK_K=wide,
        num_warps=4, num_stages=4 if R <= 64 else 2,
    )  # fmt: skip
    block_k = 128 // x.element_size()  # one line of shared memory
    x_blocks, w_blocks = _blocks(x, W)
    _base_and_up[lambda meta: (triton.cdiv(M, meta["BLOCK_M"]) * triton.cdiv(N, meta["BLOCK_N"]),)](
        x, W, x_blocks, w_blocks, s, B, y, M, N, K, x.stride(0), W.stride(0), s_m, B.stride(0),
        RANK=r, R=R, SPLITS=splits, EVEN_K=K % block_k == 0, BLOCK_K=block_k,
    )  # fmt: skip
    return y
