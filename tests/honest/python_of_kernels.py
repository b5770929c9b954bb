"""Python's own constructs in a kernel, each of which Triton has in a way of its own: and, or, not, choices, min.

family: syntax
task: row_sum
"""

import torch
import triton
import triton.language as tl


@triton.jit
def larger_step(cols, BLOCK: tl.constexpr):
    """The rest of a row, or a block of it.

    def larger_step(cols): this line begins like a function, and is none.
    """
    if cols < BLOCK:
        return cols
    return BLOCK


@triton.jit
def row_sum_kernel(x_ptr, out_ptr, bias_ptr, rows, cols, BLOCK: tl.constexpr, TWICE: tl.constexpr):
    row = tl.program_id(0)
    assert BLOCK > 0, f"blocks of {BLOCK:d} columns"
    tl.static_assert(BLOCK > 0, f"blocks of {BLOCK:>5} columns")
    has_bias = bias_ptr is not None and cols > 0
    inside = row >= 0 and row < rows and not (cols < 0)
    total, start = 0.0, 0
    while start < cols:
        at = start + tl.arange(0, BLOCK)
        limit = min(start + BLOCK, cols) if start >= 0 or has_bias else 0
        x = tl.load(x_ptr + row * cols + at, mask=at < limit, other=0.0)
        total += tl.sum(x, 0)
        start += max(1, larger_step(cols, BLOCK))
    factors = [1.0, 2.0]
    factors = [factor * 0.5 for factor in factors]
    if inside:
        tl.store(out_ptr + row, total * (factors[1] if TWICE is False else 1.0))


def row_sum(x):
    rows, cols = x.shape
    out = torch.empty(rows, dtype=x.dtype, device=x.device)
    row_sum_kernel[(rows,)](x, out, None, rows, cols, BLOCK=32, TWICE=False)
    return out
