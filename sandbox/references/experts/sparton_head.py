"""Sparse retrieval head: a matrix product whose epilogue is a maximum over tokens. Extra memory: none.

1. log1p, relu and bias are monotone, so they are applied once, to the maximum of the raw scores.
2. The vocabulary is the row dimension of the product: warps split it, and the maximum over tokens stays within a warp.
3. Programs of one vocabulary tile and all sequences are neighbours in the grid, so the tile is read from memory once.
4. Token tiles past the last unmasked token are never loaded.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _sparton(
    hidden_ptr, weight_ptr, bias_ptr, mask_ptr, out_ptr, batches, tokens, vocab,
    D: tl.constexpr, ALL_S: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    batch = (tl.program_id(0) % batches).to(tl.int64)
    entry = (tl.program_id(0) // batches).to(tl.int64) * BLOCK_V + tl.arange(0, BLOCK_V)
    hidden_ptr += batch * tokens * D
    mask_ptr += batch * tokens
    in_vocab = entry < vocab

    token = tl.arange(0, ALL_S)
    used = tl.load(mask_ptr + token, mask=token < tokens, other=0) != 0
    length = tl.max(tl.where(used, token + 1, 0), axis=0)

    best = tl.full((BLOCK_V,), -float("inf"), dtype=tl.float32)
    for first in range(0, length, BLOCK_S):
        row = first + tl.arange(0, BLOCK_S)
        scores = tl.zeros((BLOCK_V, BLOCK_S), dtype=tl.float32)
        for start in range(0, D, BLOCK_D):
            col = start + tl.arange(0, BLOCK_D)
            w = tl.load(
                weight_ptr + entry[:, None] * D + col[None, :],
                mask=in_vocab[:, None] & (col[None, :] < D),
                other=0.0,
                eviction_policy="evict_last",
            )
            h = tl.load(
                hidden_ptr + row[:, None] * D + col[None, :],
                mask=(row[:, None] < length) & (col[None, :] < D),
                other=0.0,
            )
            scores = tl.dot(w, tl.trans(h), scores)
        kept = tl.load(mask_ptr + row, mask=row < length, other=0) != 0
        best = tl.maximum(best, tl.max(tl.where(kept[None, :], scores, -float("inf")), axis=1))

    bias = tl.load(bias_ptr + entry, mask=in_vocab, other=0.0).to(tl.float32)
    y = tl.log(1.0 + tl.maximum(best + bias, 0.0))  # an empty sequence has best = -inf, hence 0
    tl.store(out_ptr + batch * vocab + entry, y, mask=in_vocab)


def sparton_head(hidden, weight, bias, mask):
    """hidden [B, S, D], weight [V, D], bias [V], mask [B, S] in {0, 1} → [B, V] fp32, >= 0."""
    hidden, weight, bias, mask = hidden.contiguous(), weight.contiguous(), bias.contiguous(), mask.contiguous()
    batches, tokens, d = hidden.shape
    vocab = weight.shape[0]
    out = torch.empty((batches, vocab), dtype=torch.float32, device=hidden.device)
    if out.numel() == 0:
        return out
    power = triton.next_power_of_2
    block_v = min(128, max(16, power(vocab)))
    block_s = min(128, max(16, power(tokens)))
    block_d = min(128 // hidden.element_size(), max(16, power(d)))
    _sparton[(triton.cdiv(vocab, block_v) * batches,)](
        hidden, weight, bias, mask, out, batches, tokens, vocab,
        D=d, ALL_S=power(tokens), BLOCK_V=block_v, BLOCK_S=block_s, BLOCK_D=block_d,
        num_warps=8 if block_v * block_s == 16384 else 4, num_stages=3,
    )  # fmt: skip
    return out
