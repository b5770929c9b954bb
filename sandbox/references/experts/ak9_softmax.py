"""Row softmax.

1. Rows that fit are read once and kept in registers: two reductions, one store. Short ones share a program.
2. Longer rows are read twice. Each lane keeps a maximum and a sum of its own, so nothing is exchanged between threads
   until the row has been seen; sixteen warps a row keep the rows in flight within the L2 cache, and the second pass
   runs backwards, from what was read last.
3. All accesses to long rows are 16 bytes wide whatever the length: up to 7 elements before the first boundary and
   behind the last one are handled apart.
4. The division is one reciprocal a row. exp is exp2 of a product, which is one instruction less; the maximum is
   subtracted before, so that a row of nothing but the lowest number of its dtype does not overflow.
"""

import torch
import triton
import triton.language as tl

WHOLE_ROW = 16384  # elements: 16 warps hold 32 fp32 values a thread, well below the spill limit
LOG2E = tl.constexpr(1.4426950408889634)
LOWEST = tl.constexpr(-3.4028234663852886e38)  # finite: a tile of -inf must not turn a running maximum into NaN


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
    e = tl.exp2((x - tl.max(x, axis=1)[:, None]) * LOG2E)
    y = e * (1.0 / tl.sum(e, axis=1))[:, None]
    tl.store(y_ptr + offset, y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.autotune(
    configs=[triton.Config({"GROUPS": groups}, num_warps=16) for groups in (2048, 1024)],  # 2 to 4 rows an SM
    key=["cols"],
)
@triton.jit
def _softmax_long_row(x_ptr, y_ptr, cols, GROUPS: tl.constexpr):
    """A row of at least 16 elements as groups of 8 on 16-byte boundaries, and what lies before and behind them."""
    first = tl.program_id(0).to(tl.int64) * cols
    last = first + cols
    inner, outer = (first + 7) // 8 * 8, last // 8 * 8
    groups = ((outer - inner) // 8).to(tl.int32)
    lane = tl.arange(0, 16)
    edge = tl.where(lane < 8, first + lane, outer + lane - 8)
    at_edge = edge < tl.where(lane < 8, inner, last)
    rest = tl.load(x_ptr + edge, mask=at_edge, other=-float("inf")).to(tl.float32)

    top = tl.full((GROUPS,), LOWEST, dtype=tl.float32)
    total = tl.zeros((GROUPS,), dtype=tl.float32)
    for start in range(0, groups, GROUPS):
        group = start + tl.arange(0, GROUPS)
        offset = group[:, None] * 8 + tl.arange(0, 8)[None, :]
        x = tl.load(
            x_ptr + inner + offset, mask=(group < groups)[:, None], other=-float("inf"), eviction_policy="evict_last"
        ).to(tl.float32)
        new_top = tl.maximum(top, tl.max(x, axis=1))
        sums = tl.sum(tl.exp2((x - new_top[:, None]) * LOG2E), axis=1)
        total = total * tl.exp2((top - new_top) * LOG2E) + sums
        top = new_top
    peak = tl.maximum(tl.max(top, axis=0), tl.max(rest, axis=0))
    e = tl.exp2((rest - peak) * LOG2E)
    scale = 1.0 / (tl.sum(total * tl.exp2((top - peak) * LOG2E), axis=0) + tl.sum(e, axis=0))

    tl.store(y_ptr + edge, (e * scale).to(y_ptr.dtype.element_ty), mask=at_edge)
    tiles = tl.cdiv(groups, GROUPS)
    for tile in range(tiles):
        group = (tiles - 1 - tile) * GROUPS + tl.arange(0, GROUPS)
        offset = group[:, None] * 8 + tl.arange(0, 8)[None, :]
        inside = (group < groups)[:, None]
        x = tl.load(x_ptr + inner + offset, mask=inside, other=0.0, eviction_policy="evict_first").to(tl.float32)
        y = tl.exp2((x - peak) * LOG2E) * scale
        tl.store(y_ptr + inner + offset, y.to(y_ptr.dtype.element_ty), mask=inside, eviction_policy="evict_first")


def ak9_softmax(x):
    """x [..., cols] → softmax over the last dimension, same shape and dtype."""
    x = x.contiguous()
    y = torch.empty_like(x)
    if x.numel() == 0:
        return y
    cols = x.shape[-1]
    rows = x.numel() // cols
    if cols > WHOLE_ROW:
        _softmax_long_row[(rows,)](x, y, cols)
        return y
    block = triton.next_power_of_2(cols)
    rows_each = max(1, 2048 // block)
    warps = min(16, max(4, block // 1024))
    _softmax_rows[(triton.cdiv(rows, rows_each),)](x, y, rows, cols, ROWS=rows_each, BLOCK=block, num_warps=warps)
    return y
