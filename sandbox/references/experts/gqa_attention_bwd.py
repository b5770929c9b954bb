"""Fused grouped-query attention, backward: one kernel for dQ, one for dK and dV; no atomics, so bitwise repeatable.

1. The program of a key tile keeps dK and dV in registers and walks the queries of all heads that share the keys, so
   the sum over a group costs nothing. It computes transposed scores: P and dS are then the register operand of the
   next product and never pass through shared memory.
2. lse and sum(dO · O) of a tile are read where they are needed, and addresses of a loop are one scalar plus invariant
   offsets: that leaves registers for tiles of 128 keys at D = 128. The dV product runs while dS is computed.
3. The dQ kernel runs first and leaves sum(dO · O) and lse · log2(e) behind: no third launch, and one fused
   multiply-add and one `exp2` a score.
4. Full tiles carry neither mask nor bounds; rows past the end load zeros and add zeros, so only the diagonal is masked.
5. The longest programs start first: the first key tiles of all heads, the last query tiles of a group of heads.
6. Pairs of configurations (one of each kernel, same position) are tried together, so both lists hold repetitions.
7. The first configurations fit 64 KiB of shared memory at D = 128 (gfx942); the others are sized for Hopper.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _load_rows(
    base, first, stride, limit, ROWS: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr, CHECK: tl.constexpr
):
    """Rows first … first + ROWS of a [limit, D] matrix as a [ROWS, BLOCK_D] tile, zero outside; unmasked where nothing
    can be outside. Only the scalar part of an address depends on `first`: a loop computes the rest once."""
    row, col = tl.arange(0, ROWS), tl.arange(0, BLOCK_D)
    pointer = (base + first * stride) + (row[:, None] * stride + col[None, :])
    if CHECK:
        tile = tl.load(pointer, mask=(row[:, None] < limit - first) & (col[None, :] < D), other=0.0)
    elif D < BLOCK_D:
        tile = tl.load(pointer, mask=col[None, :] < D, other=0.0)
    else:
        tile = tl.load(pointer)
    return tile


@triton.jit
def _store_rows(base, row, stride, limit, tile, D: tl.constexpr, BLOCK_D: tl.constexpr):
    col = tl.arange(0, BLOCK_D)
    pointer = base + row[:, None] * stride + col[None, :]
    tl.store(pointer, tile.to(base.dtype.element_ty), mask=(row[:, None] < limit) & (col[None, :] < D))


@triton.jit
def _over_keys(
    dq, q, do, lse2, delta, k_ptr, v_ptr, first, last, row, offset, keys, stride_k, stride_v, scale2,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Adds dS K (unscaled) over the keys [first, last); `first` is a multiple of BLOCK_N."""
    for start in range(first, last, BLOCK_N):
        key = start + tl.arange(0, BLOCK_N)
        k = _load_rows(k_ptr, start, stride_k, keys, BLOCK_N, D, BLOCK_D, MASKED)
        v = _load_rows(v_ptr, start, stride_v, keys, BLOCK_N, D, BLOCK_D, MASKED)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee")
        dp = tl.dot(do, tl.trans(v), input_precision="ieee")
        p = tl.exp2(scores * scale2 - lse2[:, None])
        if MASKED:
            visible = key[None, :] < keys
            if CAUSAL:
                visible = visible & (key[None, :] <= row[:, None] + offset)
            p = tl.where(visible, p, 0.0)
        ds = p * (dp - delta[:, None])
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision="ieee")
    return dq


@triton.jit
def _query_tile(
    dk, dv, k, v, q_ptr, do_ptr, lse2_ptr, delta_ptr, start, key, offset, length, stride_q, stride_do, scale2,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    """Adds dSᵀ Q (unscaled) and Pᵀ dO of one tile of queries. Rows past the end are zero: P = 1, but dO = 0."""
    row = start + tl.arange(0, BLOCK_M)
    q = _load_rows(q_ptr, start, stride_q, length, BLOCK_M, D, BLOCK_D, MASKED)
    do = _load_rows(do_ptr, start, stride_do, length, BLOCK_M, D, BLOCK_D, MASKED)
    scores = tl.dot(k, tl.trans(q), input_precision="ieee")
    dp = tl.dot(v, tl.trans(do), input_precision="ieee")
    lse2 = tl.load(lse2_ptr + row, mask=row < length, other=0.0) if MASKED else tl.load(lse2_ptr + row)
    p = tl.exp2(scores * scale2 - lse2[None, :])
    if MASKED and CAUSAL:
        p = tl.where(key[:, None] <= row[None, :] + offset, p, 0.0)
    dv = tl.dot(p.to(do.dtype), do, dv, input_precision="ieee")
    delta = tl.load(delta_ptr + row, mask=row < length, other=0.0) if MASKED else tl.load(delta_ptr + row)
    ds = p * (dp - delta[None, :])
    dk = tl.dot(ds.to(q.dtype), q, dk, input_precision="ieee")
    return dk, dv


def _config(block_m, block_n, warps, stages):
    return triton.Config({"BLOCK_M": block_m, "BLOCK_N": block_n}, num_warps=warps, num_stages=stages)


@triton.autotune(
    configs=[
        _config(64, 32, 4, 1),
        _config(128, 64, 8, 3),
        _config(64, 64, 4, 2),
        _config(128, 64, 8, 3),
        _config(64, 64, 4, 2),
        _config(128, 128, 8, 2),
        _config(128, 32, 8, 4),
        _config(128, 64, 8, 4),
    ],
    key=["length", "keys", "CAUSAL", "D"],
)
@triton.jit
def _query_gradient(
    do_ptr, q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, dq_ptr, lse2_ptr, delta_ptr, scale, heads, rep, length, keys,
    do_b, do_h, do_l, q_b, q_h, q_l, k_b, k_h, k_s, v_b, v_h, v_s, o_b, o_h, o_l,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(length, BLOCK_M)
    group = tl.program_id(0) // (tiles * rep)
    tile = tiles - 1 - tl.program_id(0) // rep % tiles
    plane = (group * rep + tl.program_id(0) % rep).to(tl.int64)
    batch, head = plane // heads, plane % heads
    k_ptr += batch * k_b + head // rep * k_h
    v_ptr += batch * v_b + head // rep * v_h

    row = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    q = _load_rows(q_ptr + batch * q_b + head * q_h, tile * BLOCK_M, q_l, length, BLOCK_M, D, BLOCK_D, True)
    do = _load_rows(do_ptr + batch * do_b + head * do_h, tile * BLOCK_M, do_l, length, BLOCK_M, D, BLOCK_D, True)
    o = _load_rows(o_ptr + batch * o_b + head * o_h, tile * BLOCK_M, o_l, length, BLOCK_M, D, BLOCK_D, True)
    delta = tl.sum(do.to(tl.float32) * o.to(tl.float32), axis=1)
    lse2 = tl.load(lse_ptr + plane * length + row, mask=row < length, other=0.0) * 1.4426950408889634
    tl.store(delta_ptr + plane * length + row, delta, mask=row < length)
    tl.store(lse2_ptr + plane * length + row, lse2, mask=row < length)
    dq = tl.zeros((BLOCK_M, BLOCK_D), dtype=tl.float32)

    offset = keys - length
    full, last = keys, keys
    if CAUSAL:  # the first row of the tile bounds the full tiles, its last row bounds all tiles
        full = tl.minimum(keys, tl.maximum(0, tile * BLOCK_M + offset + 1))
        last = tl.minimum(keys, tl.maximum(0, tile * BLOCK_M + BLOCK_M + offset))
    full = full // BLOCK_N * BLOCK_N
    scale2 = scale * 1.4426950408889634
    dq = _over_keys(
        dq, q, do, lse2, delta, k_ptr, v_ptr, 0, full, row, offset, keys, k_s, v_s, scale2,
        CAUSAL, False, D, BLOCK_D, BLOCK_N,
    )  # fmt: skip
    dq = _over_keys(
        dq, q, do, lse2, delta, k_ptr, v_ptr, full, last, row, offset, keys, k_s, v_s, scale2,
        CAUSAL, True, D, BLOCK_D, BLOCK_N,
    )  # fmt: skip
    _store_rows(dq_ptr + plane * length * D, row, D, length, dq * scale, D, BLOCK_D)


@triton.autotune(
    configs=[
        _config(32, 64, 4, 1),
        _config(64, 128, 8, 3),
        _config(64, 64, 4, 2),
        _config(64, 64, 4, 3),
        _config(64, 128, 8, 3),
        _config(32, 128, 8, 4),
        _config(32, 128, 8, 3),
        _config(64, 128, 8, 2),
    ],
    key=["length", "keys", "CAUSAL", "D"],
)
@triton.jit
def _key_value_gradients(
    do_ptr, q_ptr, k_ptr, v_ptr, dk_ptr, dv_ptr, lse2_ptr, delta_ptr, scale, kv_heads, planes, rep, length, keys,
    do_b, do_h, do_l, q_b, q_h, q_l, k_b, k_h, k_s, v_b, v_h, v_s,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0) // planes
    plane = (tl.program_id(0) % planes).to(tl.int64)
    batch, head = plane // kv_heads, plane % kv_heads

    key = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    k = _load_rows(k_ptr + batch * k_b + head * k_h, tile * BLOCK_N, k_s, keys, BLOCK_N, D, BLOCK_D, True)
    v = _load_rows(v_ptr + batch * v_b + head * v_h, tile * BLOCK_N, v_s, keys, BLOCK_N, D, BLOCK_D, True)
    dk = tl.zeros((BLOCK_N, BLOCK_D), dtype=tl.float32)
    dv = tl.zeros((BLOCK_N, BLOCK_D), dtype=tl.float32)

    # query tiles [diagonal, open) need the causal mask, [open, whole) need nothing, one after `whole` may be ragged
    offset, tiles, whole = keys - length, tl.cdiv(length, BLOCK_M), length // BLOCK_M
    diagonal, open_ = 0, 0
    if CAUSAL:
        diagonal = tl.minimum(tiles, tl.maximum(0, tile * BLOCK_N - offset) // BLOCK_M)
        open_ = tl.minimum(tiles, tl.cdiv(tl.maximum(0, tile * BLOCK_N + BLOCK_N - 1 - offset), BLOCK_M))
    masked = open_ - diagonal
    others = masked + tiles - tl.maximum(open_, whole)
    scale2 = scale * 1.4426950408889634
    for member in range(rep):
        q_at = q_ptr + batch * q_b + (head * rep + member) * q_h
        do_at = do_ptr + batch * do_b + (head * rep + member) * do_h
        sums = (plane * rep + member) * length
        for index in range(open_, whole):
            dk, dv = _query_tile(
                dk, dv, k, v, q_at, do_at, lse2_ptr + sums, delta_ptr + sums, index * BLOCK_M, key, offset, length,
                q_l, do_l, scale2, CAUSAL, False, D, BLOCK_D, BLOCK_M,
            )  # fmt: skip
        for index in range(others):
            start = tl.where(index < masked, diagonal + index, whole) * BLOCK_M
            dk, dv = _query_tile(
                dk, dv, k, v, q_at, do_at, lse2_ptr + sums, delta_ptr + sums, start, key, offset, length,
                q_l, do_l, scale2, CAUSAL, True, D, BLOCK_D, BLOCK_M,
            )  # fmt: skip
    _store_rows(dk_ptr + plane * keys * D, key, D, keys, dk * scale, D, BLOCK_D)
    _store_rows(dv_ptr + plane * keys * D, key, D, keys, dv, D, BLOCK_D)


def _rows_contiguous(x):
    return x if x.stride(-1) == 1 else x.contiguous()


def gqa_attention_bwd(do, q, k, v, o, lse, causal=True, scale=None):
    """do, q, o [B, Hq, L, D], k, v [B, Hk, S, D], lse [B, Hq, L] → dq, dk, dv like q, k, v."""
    do, q, k, v, o = (_rows_contiguous(x) for x in (do, q, k, v, o))
    lse = lse.contiguous()
    batch, heads, length, d = q.shape
    kv_heads, keys = k.shape[1], k.shape[2]
    scale = d**-0.5 if scale is None else scale
    dq = torch.empty((batch, heads, length, d), dtype=q.dtype, device=q.device)
    dk = torch.empty((batch, kv_heads, keys, d), dtype=k.dtype, device=k.device)
    dv = torch.empty((batch, kv_heads, keys, d), dtype=v.dtype, device=v.device)
    if q.numel() == 0 or k.numel() == 0:
        return dq.zero_(), dk.zero_(), dv.zero_()
    lse2, delta = torch.empty_like(lse), torch.empty_like(lse)
    rep, widths = heads // kv_heads, {"D": d, "BLOCK_D": max(16, triton.next_power_of_2(d))}
    _query_gradient[lambda meta: (triton.cdiv(length, meta["BLOCK_M"]) * batch * heads,)](
        do, q, k, v, o, lse, dq, lse2, delta, scale, heads, rep, length, keys,
        *do.stride()[:3], *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *o.stride()[:3],
        CAUSAL=causal, **widths,
    )  # fmt: skip
    _key_value_gradients[lambda meta: (triton.cdiv(keys, meta["BLOCK_N"]) * batch * kv_heads,)](
        do, q, k, v, dk, dv, lse2, delta, scale, kv_heads, batch * kv_heads, rep, length, keys,
        *do.stride()[:3], *q.stride()[:3], *k.stride()[:3], *v.stride()[:3],
        CAUSAL=causal, **widths,
    )  # fmt: skip
    return dq, dk, dv
