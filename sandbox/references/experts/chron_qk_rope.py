"""Rotary embedding of queries and keys: one launch, every byte of q and k is read once and written once.

1. A program turns all query and key heads of a few tokens, so an angle is loaded once per token, not once per head.
2. Both halves of a head are loaded as two tiles whose rows are contiguous: 16-byte accesses, no shuffles between lanes.
3. All loads of a program are issued before its first store, so that it waits for memory once.
4. The tables stay in the cache (evict_last) for the other sequences of the batch.
5. Token arithmetic is 32-bit (a 64-bit remainder costs about a hundred instructions); only offsets are 64-bit.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _load_halves(pointer, inside, HALF: tl.constexpr):
    a = tl.load(pointer, mask=inside, other=0.0)
    b = tl.load(pointer + HALF, mask=inside, other=0.0)
    return a.to(tl.float32), b.to(tl.float32)


@triton.jit
def _store_turned(pointer, a, b, cos, sin, inside, HALF: tl.constexpr):
    tl.store(pointer, (a * cos - b * sin).to(pointer.dtype.element_ty), mask=inside)
    tl.store(pointer + HALF, (b * cos + a * sin).to(pointer.dtype.element_ty), mask=inside)


def _config(pairs, warps):
    return triton.Config({"PAIRS": pairs}, num_warps=warps)


@triton.autotune(
    configs=[_config(2048, 4), _config(1024, 4), _config(2048, 8), _config(4096, 8)],
    key=["HQ", "HK", "HALF"],
)
@triton.jit
def _qk_rope(
    q_ptr, k_ptr, cos_ptr, sin_ptr, q_out_ptr, k_out_ptr, tokens, length,
    q_batch, q_step, q_stride, k_batch, k_step, k_stride,
    HQ: tl.constexpr, HK: tl.constexpr, HALF: tl.constexpr,
    BLOCK_HQ: tl.constexpr, BLOCK_HK: tl.constexpr, BLOCK_HALF: tl.constexpr, PAIRS: tl.constexpr,
):  # fmt: skip
    TOKENS: tl.constexpr = max(1, PAIRS // (BLOCK_HQ * BLOCK_HALF))
    token = (tl.program_id(0) * TOKENS + tl.arange(0, TOKENS))[:, None, None]
    sequence, position, row = (token // length).to(tl.int64), (token % length).to(tl.int64), token.to(tl.int64)
    col = tl.arange(0, BLOCK_HALF)[None, None, :]
    q_head, k_head = tl.arange(0, BLOCK_HQ)[None, :, None], tl.arange(0, BLOCK_HK)[None, :, None]
    inside = (token < tokens) & (col < HALF)
    q_inside, k_inside = inside & (q_head < HQ), inside & (k_head < HK)

    q_a, q_b = _load_halves(q_ptr + sequence * q_batch + position * q_step + q_head * q_stride + col, q_inside, HALF)
    k_a, k_b = _load_halves(k_ptr + sequence * k_batch + position * k_step + k_head * k_stride + col, k_inside, HALF)
    angle = position * HALF + col
    cos = tl.load(cos_ptr + angle, mask=inside, other=0.0, eviction_policy="evict_last").to(tl.float32)
    sin = tl.load(sin_ptr + angle, mask=inside, other=0.0, eviction_policy="evict_last").to(tl.float32)
    _store_turned(q_out_ptr + (row * HQ + q_head) * (2 * HALF) + col, q_a, q_b, cos, sin, q_inside, HALF)
    _store_turned(k_out_ptr + (row * HK + k_head) * (2 * HALF) + col, k_a, k_b, cos, sin, k_inside, HALF)


def _rows_contiguous(x):
    return x if x.stride(-1) == 1 else x.contiguous()


def chron_qk_rope(q, k, cos, sin):
    """q [B, S, Hq, D], k [B, S, Hk, D], cos and sin [S, D/2] → (rotated q, rotated k)."""
    q, k, cos, sin = _rows_contiguous(q), _rows_contiguous(k), cos.contiguous(), sin.contiguous()
    batch, length, hq, d = q.shape
    hk = k.shape[2]
    q_out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    k_out = torch.empty(k.shape, dtype=k.dtype, device=k.device)
    tokens = batch * length
    if q.numel() + k.numel() == 0:
        return q_out, k_out
    block_hq, block_hk = triton.next_power_of_2(max(1, hq)), triton.next_power_of_2(max(1, hk))
    block_half = triton.next_power_of_2(d // 2)
    _qk_rope[lambda meta: (triton.cdiv(tokens, max(1, meta["PAIRS"] // (block_hq * block_half))),)](
        q, k, cos, sin, q_out, k_out, tokens, length,
        q.stride(0), q.stride(1), q.stride(2), k.stride(0), k.stride(1), k.stride(2),
        HQ=hq, HK=hk, HALF=d // 2, BLOCK_HQ=block_hq, BLOCK_HK=block_hk, BLOCK_HALF=block_half,
    )  # fmt: skip
    return q_out, k_out
