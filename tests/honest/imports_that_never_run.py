"""Imports for type checkers alone, and in functions that are for people; constants by modules of Python's.

family: imports
task: gelu
"""

from __future__ import annotations

import datetime
import gc
import hashlib
import struct
import typing
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from jaxtyping import Float

HALF_ROOT = struct.unpack("<f", bytes.fromhex("f304353f"))[0]
__version__ = f"{datetime.date(2025, 1, 31):%Y.%m}+{hashlib.sha256(b'gelu').hexdigest()[:8]}"


@triton.jit
def gelu_kernel(x_ptr, out_ptr, n, half_root, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, 0.5 * x * (1.0 + tl.erf(x * half_root)), mask=at < n)


def gelu(x: Float[torch.Tensor, "rows cols"]) -> Float[torch.Tensor, "rows cols"]:
    out = torch.empty_like(x)
    gelu_kernel[(triton.cdiv(x.numel(), 128),)](x, out, x.numel(), HALF_ROOT, BLOCK=128)
    return out


def plot(times: dict[str, list[float]], path: str) -> None:
    import matplotlib.pyplot as plt
    import pandas as pd

    gc.collect()
    pd.DataFrame(times).plot()
    plt.savefig(path)


def test_gelu() -> None:
    import pytest

    with pytest.raises(typing.cast(type, AttributeError)):
        gelu(None)
