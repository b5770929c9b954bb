"""Row softmax. Rows that fit are read once and kept in registers; longer ones take an online pass and a second read."""

import torch
import triton
import triton.language as tl

WHOLE_ROW = 16384  # elements: 16 warps hold 32 fp32 values a thread, well below the spill limit


@triton.jit
def _softmax_rows(x_ptr, y_ptr, rows, cols, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    col = tl.arange(0, BLOCK)
    offset = row[:, None] * cols + col[None, :]
    inside = (row[:, None] < rows) & (col[None, :] < cols)
    # rows past the end are all zeros, not all -inf, so that no NaN arises in lanes that are not stored
    fill = tl.where(row[:, None] < rows, -float("inf"), 0.0)
    x = tl.load(x_ptr + offset, mask=inside, other=0.0).to(tl.float32)
    x = tl.where(inside, x, fill)
    e = tl.exp(x - tl.max(x, axis=1)[:, None])
    y = e / tl.sum(e, axis=1)[:, None]
    tl.store(y_ptr + offset, y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _softmax_long_row(x_ptr, y_ptr, cols, BLOCK: tl.constexpr):
    start_of_row = tl.program_id(0).to(tl.int64) * cols
    lane = tl.arange(0, BLOCK)
    top = -3.0e38  # finite: a tile of -inf must not turn the running maximum into NaN
    total = 0.0
    for start in range(0, cols, BLOCK):
        col = start + lane
        x = tl.load(x_ptr + start_of_row + col, mask=col < cols, other=-float("inf"), eviction_policy="evict_last")
        x = x.to(tl.float32)
        new_top = tl.maximum(top, tl.max(x, axis=0))
        total = total * tl.exp(top - new_top) + tl.sum(tl.exp(x - new_top), axis=0)
        top = new_top
    scale = 1.0 / total
    for start in range(0, cols, BLOCK):
        col = start + lane
        x = tl.load(x_ptr + start_of_row + col, mask=col < cols, other=0.0, eviction_policy="evict_first")
        y = tl.exp(x.to(tl.float32) - top) * scale
        tl.store(y_ptr + start_of_row + col, y.to(y_ptr.dtype.element_ty), mask=col < cols)


def ak9_softmax(x):
    """x [..., cols] → softmax over the last dimension, same shape and dtype."""
    x = x.contiguous()
    y = torch.empty_like(x)
    if x.numel() == 0:
        return y
    cols = x.shape[-1]
    rows = x.numel() // cols
    if cols > WHOLE_ROW:
        _softmax_long_row[(rows,)](x, y, cols, BLOCK=8192, num_warps=8)
        return y
    block = triton.next_power_of_2(cols)
    rows_each = max(1, 2048 // block)
    warps = min(16, max(4, block // 1024))
    _softmax_rows[(triton.cdiv(rows, rows_each),)](x, y, rows, cols, ROWS=rows_each, BLOCK=block, num_warps=warps)
    return y
