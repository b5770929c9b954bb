"""Formats that NumPy lacks, on NumPy's arrays: bfloat16 and float8 as bits, and what tensor cores make of float32.

Conversions are those of an NVIDIA GPU. Arrays are those of Triton's interpreter, `TensorHandle`s.
"""

from typing import Any

import numpy as np
import torch
import triton.language as tl
from triton.runtime.interpreter import TensorHandle

NARROW = {
    tl.bfloat16: (torch.bfloat16, torch.int16, np.uint16),
    tl.float8e4nv: (torch.float8_e4m3fn, torch.int8, np.uint8),
    tl.float8e5: (torch.float8_e5m2, torch.int8, np.uint8),
}


"""Formats that numpy lacks, and their bits."""
CONVERTED = {*NARROW, tl.float16, tl.float32, tl.float64}
_NAN_BITS = 0x7F
PART_PRODUCTS = {
    "BF16X3": ((1, 0), (0, 1)),
    "BF16X6": ((2, 0), (0, 2), (1, 1), (1, 0), (0, 1)),
}
"""Products of float32 matrices on bfloat16 tensor cores: which parts of the two are multiplied besides the largest, the
smallest first."""


def rounded(handle: Any, kind: Any, toward_zero: bool = False) -> Any:
    """float32 → a narrow format, to nearest even unless `toward_zero`. float8 as by `cvt.rn.satfinite`: what is too
    large, infinity included, becomes the largest finite number, and every NaN the positive one (PTX ISA, section on
    cvt).
    """
    narrow, signed, unsigned = NARROW[kind]
    wide = torch.from_numpy(np.array(handle.data, np.float32, ndmin=1))
    if narrow.itemsize == 1:
        largest = torch.finfo(narrow).max
        bits = wide.clamp(-largest, largest).to(narrow).view(signed)
        bits[wide.isnan()] = _NAN_BITS
    else:
        bits = wide.to(narrow).view(signed)
    if toward_zero:  # codes of one sign are in order
        bits -= (bits.view(narrow).float().abs() > wide.abs()).to(signed)
    return TensorHandle(bits.numpy().view(unsigned).reshape(np.shape(handle.data)), kind)


def widened(handle: Any) -> Any:
    """A narrow format → float32, exactly."""
    narrow, signed, unsigned = NARROW[handle.dtype.scalar]
    bits = np.array(handle.data, unsigned, ndmin=1).view(np.int16 if signed is torch.int16 else np.int8)
    return TensorHandle(torch.from_numpy(bits).view(narrow).float().numpy().reshape(np.shape(handle.data)), tl.float32)


def round_to_tf32(handle: Any) -> Any:
    """float32 with the 10 bits of mantissa that tensor cores keep, to nearest."""
    bits = np.array(handle.data, np.float32).view(np.uint32)
    return TensorHandle(((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32), tl.float32)


def in_parts(handle: Any) -> list[Any]:
    """float32 as a sum of three numbers that bfloat16 has, the largest first."""
    rest, found = np.array(handle.data, np.float32), []
    for _ in range(3):
        part = widened(rounded(TensorHandle(rest, tl.float32), tl.bfloat16))
        found.append(part)
        with np.errstate(invalid="ignore"):
            rest = rest - part.data
    return found


def saturated(handle: Any, wide: Any) -> Any:
    """Integers made of the numbers in `wide`: the nearest where a number is too large, and 0 for NaN (PTX ISA, section
    on cvt). Those of 8 bits are the lower half of 16, as LLVM makes them. NumPy makes of them what the processor does.
    """
    made, given = np.asarray(handle.data), np.asarray(wide.data)
    if given.dtype.kind != "f" or made.dtype.kind not in "iu":
        return handle
    limits = np.iinfo(f"{made.dtype.kind}{max(2, made.dtype.itemsize)}")
    least, most = np.array([limits.min, limits.max], limits.dtype).astype(made.dtype)
    data = made.copy()
    data[given >= float(limits.max)] = most
    data[given < float(limits.min)] = least
    data[np.isnan(given)] = 0
    return TensorHandle(data, handle.dtype)
