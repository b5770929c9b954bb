"""Fused grouped-query attention, forward: one online-softmax pass over key tiles per tile of queries.

1. Work in base 2: `scale · log2(e)` is folded into one fused multiply-add a score, and `exp2` is one instruction.
2. Full tiles carry no mask; only tiles on the diagonal and at the ragged end do.
3. Heads that share keys start together with the longest rows of a causal mask: they meet in L2, and the grid ends on
   short programs.
4. Addresses in the loop are one scalar plus invariant offsets, which saves registers and integer instructions.
5. Configurations of three or four stages: with two, the next keys are requested only once the softmax is done.
6. The first configuration fits 64 KiB of shared memory at D = 128 (gfx942); the others are sized for Hopper.
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
def _over_keys(
    acc, top, total, q, k_ptr, v_ptr, first, last, row, offset, keys, stride_k, stride_v, scale2,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Online softmax over the keys [first, last); `first` is a multiple of BLOCK_N."""
    for start in range(first, last, BLOCK_N):
        key = start + tl.arange(0, BLOCK_N)
        k = _load_rows(k_ptr, start, stride_k, keys, BLOCK_N, D, BLOCK_D, MASKED)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee")
        if MASKED:
            visible = key[None, :] < keys
            if CAUSAL:
                visible = visible & (key[None, :] <= row[:, None] + offset)
            scores = tl.where(visible, scores, -float("inf"))
        new_top = tl.maximum(top, tl.max(scores, axis=1) * scale2)
        # a row that has seen no key yet keeps top = -inf, but must not compute -inf - -inf
        shift = tl.where(new_top == -float("inf"), 0.0, new_top) if MASKED else new_top
        p = tl.exp2(scores * scale2 - shift[:, None])
        fade = tl.exp2(top - shift)
        total = total * fade + tl.sum(p, axis=1)
        v = _load_rows(v_ptr, start, stride_v, keys, BLOCK_N, D, BLOCK_D, MASKED)
        acc = tl.dot(p.to(v.dtype), v, acc * fade[:, None], input_precision="ieee")
        top = new_top
    return acc, top, total


def _config(block_m, block_n, warps, stages):
    return triton.Config({"BLOCK_M": block_m, "BLOCK_N": block_n}, num_warps=warps, num_stages=stages)


@triton.autotune(
    configs=[
        _config(64, 32, 4, 2),
        _config(64, 64, 4, 3),
        _config(128, 32, 8, 4),
        _config(128, 64, 4, 3),
        _config(128, 64, 8, 3),
        _config(128, 64, 8, 4),
        _config(128, 128, 8, 2),
        _config(128, 128, 8, 3),
    ],
    key=["length", "keys", "CAUSAL", "D"],
)
@triton.jit
def _attention(
    q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, scale2, heads, rep, length, keys,
    q_b, q_h, q_l, k_b, k_h, k_s, v_b, v_h, v_s,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(length, BLOCK_M)
    group = tl.program_id(0) // (tiles * rep)
    tile = tiles - 1 - tl.program_id(0) // rep % tiles
    plane = (group * rep + tl.program_id(0) % rep).to(tl.int64)
    batch, head = plane // heads, plane % heads
    q_ptr += batch * q_b + head * q_h
    k_ptr += batch * k_b + head // rep * k_h
    v_ptr += batch * v_b + head // rep * v_h

    row = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    q = _load_rows(q_ptr, tile * BLOCK_M, q_l, length, BLOCK_M, D, BLOCK_D, True)
    acc = tl.zeros((BLOCK_M, BLOCK_D), dtype=tl.float32)
    top = tl.full((BLOCK_M,), -float("inf"), dtype=tl.float32)
    total = tl.zeros((BLOCK_M,), dtype=tl.float32)

    offset = keys - length
    full, last = keys, keys
    if CAUSAL:  # the first row of the tile bounds the full tiles, its last row bounds all tiles
        full = tl.minimum(keys, tl.maximum(0, tile * BLOCK_M + offset + 1))
        last = tl.minimum(keys, tl.maximum(0, tile * BLOCK_M + BLOCK_M + offset))
    full = full // BLOCK_N * BLOCK_N
    acc, top, total = _over_keys(
        acc, top, total, q, k_ptr, v_ptr, 0, full, row, offset, keys, k_s, v_s, scale2,
        CAUSAL, False, D, BLOCK_D, BLOCK_N,
    )  # fmt: skip
    acc, top, total = _over_keys(
        acc, top, total, q, k_ptr, v_ptr, full, last, row, offset, keys, k_s, v_s, scale2,
        CAUSAL, True, D, BLOCK_D, BLOCK_N,
    )  # fmt: skip

    # a row without keys: total = 0, acc = 0, top = -inf give O = 0 and lse = -inf
    acc = acc / tl.where(total == 0.0, 1.0, total)[:, None]
    lse = (top + tl.log2(tl.where(total == 0.0, 1.0, total))) * 0.6931471805599453
    col = tl.arange(0, BLOCK_D)
    out = o_ptr + plane * length * D + row[:, None] * D + col[None, :]
    tl.store(out, acc.to(o_ptr.dtype.element_ty), mask=(row[:, None] < length) & (col[None, :] < D))
    tl.store(lse_ptr + plane * length + row, lse, mask=row < length)


def _rows_contiguous(x):
    return x if x.stride(-1) == 1 else x.contiguous()


def gqa_attention_fwd(q, k, v, causal=True, scale=None):
    """q [B, Hq, L, D], k and v [B, Hk, S, D] → O [B, Hq, L, D] in the dtype of q, lse [B, Hq, L] fp32."""
    q, k, v = _rows_contiguous(q), _rows_contiguous(k), _rows_contiguous(v)
    batch, heads, length, d = q.shape
    keys = k.shape[2]
    scale = d**-0.5 if scale is None else scale
    out = torch.empty((batch, heads, length, d), dtype=q.dtype, device=q.device)
    lse = torch.empty((batch, heads, length), dtype=torch.float32, device=q.device)
    if q.numel() == 0:
        return out, lse
    _attention[lambda meta: (triton.cdiv(length, meta["BLOCK_M"]) * batch * heads,)](
        q, k, v, out, lse, scale * 1.4426950408889634, heads, heads // k.shape[1], length, keys,
        q.stride(0), q.stride(1), q.stride(2), k.stride(0), k.stride(1), k.stride(2),
        v.stride(0), v.stride(1), v.stride(2),
        CAUSAL=causal, D=d, BLOCK_D=max(16, triton.next_power_of_2(d)),
    )  # fmt: skip
    return out, lse
