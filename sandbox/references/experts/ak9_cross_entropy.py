"""Cross-entropy per row.

1. One program streams one row; logits are read exactly once, and rows that are ignored not at all.
2. Each lane keeps a running maximum and sum of its own: nothing is exchanged between threads until the end, so warps
   run ahead of each other and loads stay in flight. The sum is rescaled once in eight elements.
3. All loads are 16 bytes wide whatever the vocabulary: up to 7 elements before the first boundary and behind the last
   one are loaded apart.
4. exp is exp2 of a product, which is one instruction less; the maximum is subtracted before, so that a row whose
   logits are all the lowest number of their dtype does not overflow.
"""

import torch
import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
LOWEST = tl.constexpr(-3.4028234663852886e38)  # finite: a tile of -inf must not turn a running maximum into NaN


@triton.jit
def _cross_entropy(logits_ptr, target_ptr, loss_ptr, vocab, IGNORE: tl.constexpr, GROUPS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    loss = 0.0
    if target != IGNORE:
        first = row * vocab
        last = first + vocab
        chosen = tl.load(logits_ptr + first + target).to(tl.float32)
        inner = (first + 7) // 8 * 8
        outer = tl.maximum(last // 8 * 8, inner)  # a row shorter than 8 may lie between two boundaries
        groups = ((outer - inner) // 8).to(tl.int32)
        lane = tl.arange(0, 16)
        edge = tl.where(lane < 8, first + lane, outer + lane - 8)
        at_edge = edge < tl.where(lane < 8, tl.minimum(inner, last), last)
        rest = tl.load(logits_ptr + edge, mask=at_edge, other=-float("inf")).to(tl.float32)

        top = tl.full((GROUPS,), LOWEST, dtype=tl.float32)
        total = tl.zeros((GROUPS,), dtype=tl.float32)
        for start in range(0, groups, GROUPS):
            group = start + tl.arange(0, GROUPS)
            z = tl.load(
                logits_ptr + inner + (group[:, None] * 8 + tl.arange(0, 8)[None, :]),
                mask=(group < groups)[:, None],
                other=-float("inf"),
                eviction_policy="evict_first",
            ).to(tl.float32)
            new_top = tl.maximum(top, tl.max(z, axis=1))
            sums = tl.sum(tl.exp2((z - new_top[:, None]) * LOG2E), axis=1)
            total = total * tl.exp2((top - new_top) * LOG2E) + sums
            top = new_top
        peak = tl.maximum(tl.max(top, axis=0), tl.max(rest, axis=0))
        sum_rest = tl.sum(tl.exp2((rest - peak) * LOG2E), axis=0)
        loss = peak - chosen + tl.log(tl.sum(total * tl.exp2((top - peak) * LOG2E), axis=0) + sum_rest)
    tl.store(loss_ptr + row, loss)


def ak9_cross_entropy(logits, target):
    """logits [rows, vocab], target [rows] int64 → loss [rows] fp32, 0 where target is -100."""
    logits, target = logits.contiguous(), target.contiguous()
    rows, vocab = logits.shape
    loss = torch.empty(rows, dtype=torch.float32, device=logits.device)
    if rows == 0:
        return loss
    groups = min(512, triton.next_power_of_2(triton.cdiv(vocab, 8)))  # 32 elements a thread
    _cross_entropy[(rows,)](logits, target, loss, vocab, IGNORE=-100, GROUPS=groups, num_warps=4)
    return loss
