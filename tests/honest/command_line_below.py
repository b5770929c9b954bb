"""A command line for measuring stands below the kernel, with what it imports at the top.

family: imports
task: axpy
"""

from __future__ import annotations

import argparse
import json
import pathlib
import threading
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from collections.abc import Sequence

_lock = threading.Lock()


@triton.jit
def axpy_kernel(alpha, x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, tl.fma(x, alpha, tl.load(y_ptr + at, mask=at < n)), mask=at < n)


def axpy(alpha: float, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    with _lock:
        axpy_kernel[(triton.cdiv(x.numel(), 128),)](alpha, x, y, out, x.numel(), 128)
    return out


def main(line: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args(line)
    x = torch.randn(1 << 20, device="cuda")
    print(json.dumps({"out": str(options.out), "ms": triton.testing.do_bench(lambda: axpy(2.0, x, x))}))


if __name__ == "__main__":
    main()
