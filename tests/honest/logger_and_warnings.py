"""A file as libraries have them: a logger, a warning, an enumeration, a context, a clock that nobody reads.

family: helpers of the standard library
task: softmax
"""

import contextlib
import enum
import logging
import time
import warnings

import torch
import triton
import triton.language as tl

logger = logging.getLogger(__name__)


class Layout(enum.Enum):
    ROWS = 0


@triton.jit
def softmax_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    keep = column < cols
    x = tl.load(x_ptr + row * cols + column, mask=keep, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * cols + column, e / tl.sum(e, axis=0), mask=keep)


def softmax(x, layout=Layout.ROWS):
    started = time.perf_counter()
    if layout is not Layout.ROWS:
        warnings.warn("only rows are supported", stacklevel=2)
    with contextlib.nullcontext():
        out = torch.empty_like(x)
        softmax_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    logger.debug("launched after %.3f s", time.perf_counter() - started)
    return out
