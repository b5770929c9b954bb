"""Cross-entropy per row. One program streams one row with a running maximum and sum; logits are read exactly once."""

import torch
import triton
import triton.language as tl


@triton.jit
def _cross_entropy(logits_ptr, target_ptr, loss_ptr, vocab, IGNORE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    loss = 0.0
    if target != IGNORE:  # an ignored row costs no bandwidth
        logits_ptr += row * vocab
        lane = tl.arange(0, BLOCK)
        top = -3.0e38  # finite: a tile of -inf must not turn the running maximum into NaN
        total = 0.0
        for start in range(0, vocab, BLOCK):
            col = start + lane
            z = tl.load(logits_ptr + col, mask=col < vocab, other=-float("inf"), eviction_policy="evict_first")
            z = z.to(tl.float32)
            new_top = tl.maximum(top, tl.max(z, axis=0))
            total = total * tl.exp(top - new_top) + tl.sum(tl.exp(z - new_top), axis=0)
            top = new_top
        loss = top + tl.log(total) - tl.load(logits_ptr + target).to(tl.float32)
    tl.store(loss_ptr + row, loss)


def ak9_cross_entropy(logits, target):
    """logits [rows, vocab], target [rows] int64 → loss [rows] fp32, 0 where target is -100."""
    logits, target = logits.contiguous(), target.contiguous()
    rows, vocab = logits.shape
    loss = torch.empty(rows, dtype=torch.float32, device=logits.device)
    if rows == 0:
        return loss
    block = min(8192, max(128, triton.next_power_of_2(vocab)))
    warps = min(8, max(4, block // 1024))
    _cross_entropy[(rows,)](logits, target, loss, vocab, IGNORE=-100, BLOCK=block, num_warps=warps)
    return loss
