"""Sparse retrieval head: a matrix product over the tokens that count, whose epilogue is a maximum over groups of them.

1. log1p, relu and bias are monotone, so they are applied once to the maximum of a group; nothing of [B, S, V] exists.
2. Masked tokens cost nothing: the others are listed first, sequence after sequence, each sequence filled up to whole
   groups of 32 with a token that it already has, which changes no maximum. Tiles then cross sequences and stay full.
3. No load in the product is masked: rows past the vocabulary read its last row, and are not written.
4. Groups meet in memory by an integer maximum: the bits of non-negative floats are ordered as their values, so that the
   result does not depend on the order. Zeros, nearly all of them, are not sent.
5. Programs stay and walk tiles, all tokens of one vocabulary tile before the next: it is read from memory once, and the
   tokens stay in L2. Two programs an SM, where they fit, hide each other's epilogues.
"""

import torch
import triton
import triton.language as tl

GROUP = tl.constexpr(32)


@triton.jit
def _count(mask_ptr, count_ptr, tokens, BLOCK: tl.constexpr):
    """Unmasked tokens of each sequence."""
    mask_ptr += tl.program_id(0).to(tl.int64) * tokens
    total = 0
    for first in range(0, tokens, BLOCK):
        token = first + tl.arange(0, BLOCK)
        kept = tl.load(mask_ptr + token, mask=token < tokens, other=0) != 0
        total += tl.sum(kept.to(tl.int32), axis=0)
    tl.store(count_ptr + tl.program_id(0), total)


@triton.jit
def _list_tokens(
    mask_ptr, count_ptr, token_ptr, owner_ptr, total_ptr, batches, tokens, BLOCK: tl.constexpr
):  # fmt: skip
    """Rows of hidden to multiply, in groups of one sequence each, the sequence of each group, and how many rows."""
    batch = tl.program_id(0)
    mask_ptr += batch.to(tl.int64) * tokens
    start = 0
    for first in range(0, batch, BLOCK):
        other = first + tl.arange(0, BLOCK)
        count = tl.load(count_ptr + other, mask=other < batch, other=0)
        start += tl.sum((count + GROUP - 1) // GROUP * GROUP, axis=0)
    listed, last = 0, 0
    for first in range(0, tokens, BLOCK):
        token = first + tl.arange(0, BLOCK)
        kept = tl.load(mask_ptr + token, mask=token < tokens, other=0) != 0
        place = start + listed + tl.cumsum(kept.to(tl.int32), axis=0) - 1
        tl.store(token_ptr + place, batch * tokens + token, mask=kept)
        listed += tl.sum(kept.to(tl.int32), axis=0)
        last = tl.maximum(last, tl.max(tl.where(kept, token, 0), axis=0))
    groups = (listed + GROUP - 1) // GROUP
    fill = listed + tl.arange(0, GROUP)
    tl.store(token_ptr + start + fill, tl.zeros_like(fill) + batch * tokens + last, mask=fill < groups * GROUP)
    for first in range(0, groups, BLOCK):
        group = first + tl.arange(0, BLOCK)
        tl.store(owner_ptr + start // GROUP + group, tl.zeros_like(group) + batch, mask=group < groups)
    if batch == batches - 1:
        tl.store(total_ptr, start + groups * GROUP)


def _config(block_v, block_s, warps, stages):
    return triton.Config({"BLOCK_V": block_v, "BLOCK_S": block_s}, num_warps=warps, num_stages=stages)


@triton.autotune(
    configs=[_config(128, 128, 4, 3), _config(128, 256, 8, 3), _config(128, 256, 8, 4), _config(128, 128, 8, 3)],
    key=["vocab", "D"],
)
@triton.jit
def _sparton(
    hidden_ptr, weight_ptr, bias_ptr, token_ptr, owner_ptr, total_ptr, out_ptr, vocab,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    total = tl.load(total_ptr)
    token_tiles = tl.cdiv(total, BLOCK_S)
    col = tl.arange(0, BLOCK_D)
    for tile in range(tl.program_id(0), token_tiles * tl.cdiv(vocab, BLOCK_V), tl.num_programs(0)):
        entry = tile // token_tiles * BLOCK_V + tl.arange(0, BLOCK_V)
        first = tile % token_tiles * BLOCK_S
        row = first + tl.arange(0, BLOCK_S)
        token = tl.load(token_ptr + row, mask=row < total, other=0).to(tl.int64)
        weight = weight_ptr + tl.minimum(entry, vocab - 1).to(tl.int64)[:, None] * D + col[None, :]
        hidden = hidden_ptr + token[:, None] * D + col[None, :]

        scores = tl.zeros((BLOCK_V, BLOCK_S), dtype=tl.float32)
        for start in range(0, D, BLOCK_D):
            if D % BLOCK_D == 0:
                w = tl.load(weight + start)
                h = tl.load(hidden + start)
            else:
                w = tl.load(weight + start, mask=start + col[None, :] < D, other=0.0)
                h = tl.load(hidden + start, mask=start + col[None, :] < D, other=0.0)
            scores = tl.dot(w, tl.trans(h), scores)

        best = tl.max(tl.reshape(scores, (BLOCK_V, BLOCK_S // GROUP, GROUP)), axis=2)
        bias = tl.load(bias_ptr + entry, mask=entry < vocab, other=0.0).to(tl.float32)
        y = tl.log(1.0 + tl.maximum(best + bias[:, None], 0.0))
        group = first // GROUP + tl.arange(0, BLOCK_S // GROUP)
        owner = tl.load(owner_ptr + group, mask=group * GROUP < total, other=0).to(tl.int64)
        sent = (y > 0.0) & (group * GROUP < total)[None, :] & (entry < vocab)[:, None]
        target = out_ptr + owner[None, :] * vocab + entry[:, None]
        tl.atomic_max(target, y.to(tl.int32, bitcast=True), mask=sent, sem="relaxed")


def sparton_head(hidden, weight, bias, mask):
    """hidden [B, S, D], weight [V, D], bias [V], mask [B, S] in {0, 1} → [B, V] fp32, >= 0."""
    hidden, weight, bias, mask = hidden.contiguous(), weight.contiguous(), bias.contiguous(), mask.contiguous()
    batches, tokens, d = hidden.shape
    vocab, device = weight.shape[0], hidden.device
    out = torch.zeros((batches, vocab), dtype=torch.int32, device=device)
    if hidden.numel() == 0 or vocab == 0:
        return out.view(torch.float32)
    groups = batches * triton.cdiv(tokens, 32)
    counts = torch.empty((batches,), dtype=torch.int32, device=device)
    listed = torch.empty((groups * 32,), dtype=torch.int32, device=device)
    owners = torch.empty((groups,), dtype=torch.int32, device=device)
    total = torch.empty((1,), dtype=torch.int32, device=device)
    block = min(1024, max(32, triton.next_power_of_2(tokens)))
    _count[(batches,)](mask, counts, tokens, BLOCK=block, num_warps=4)
    _list_tokens[(batches,)](mask, counts, listed, owners, total, batches, tokens, BLOCK=block, num_warps=4)

    programs = 2 * torch.cuda.get_device_properties(0).multi_processor_count
    _sparton[
        lambda meta: (
            min(programs, triton.cdiv(vocab, meta["BLOCK_V"]) * triton.cdiv(groups * 32, meta["BLOCK_S"])),
        )
    ](
        hidden, weight, bias, listed, owners, total, out, vocab,
        D=d, BLOCK_D=min(128 // hidden.element_size(), max(16, triton.next_power_of_2(d))),
    )  # fmt: skip
    return out.view(torch.float32)
