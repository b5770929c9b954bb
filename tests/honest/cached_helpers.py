"""functools.lru_cache, a dataclass and collections on the host side to choose launch settings.

family: ordinary Python helpers
task: axpy
"""

from __future__ import annotations

import functools
from collections import namedtuple
from dataclasses import dataclass
from typing import Optional

import torch
import triton
import triton.language as tl

Grid = namedtuple("Grid", ["x"])


@dataclass(frozen=True)
class Settings:
    block: int
    warps: int = 4
    note: Optional[str] = None


@functools.lru_cache(maxsize=None)
def settings_for(n: int) -> Settings:
    return Settings(block=max(16, min(256, triton.next_power_of_2(n))))


@triton.jit
def axpy_kernel(alpha, x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    tl.store(out_ptr + at, alpha * tl.load(x_ptr + at, mask=keep) + tl.load(y_ptr + at, mask=keep), mask=keep)


def axpy(alpha, x, y):
    chosen = settings_for(x.numel())
    out = torch.empty_like(x)
    grid = Grid(triton.cdiv(x.numel(), chosen.block))
    axpy_kernel[grid](alpha, x, y, out, x.numel(), BLOCK=chosen.block, num_warps=chosen.warps)
    return out
