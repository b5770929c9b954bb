"""Formats that NumPy lacks, on NumPy's arrays: bfloat16 and float8 as bits, and what tensor cores make of float32.

Conversions are those of an NVIDIA GPU. Arrays are those of Triton's interpreter, `TensorHandle`s.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from sandbox.interpreting.open_answers import ANSWER

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
PRODUCTS_AT_A_TIME = 16
"""By `mma` and `wgmma` of float16."""


def rounded(handle: Any, kind: Any, toward_zero: bool = False) -> Any:
    """float32 → a narrow format, to nearest even unless `toward_zero`. float8 as by `cvt.rn.satfinite`: what is too
    large, infinity included, becomes the largest finite number, and every NaN the positive one (PTX ISA, section on
    cvt). Toward zero, float8e5 is the upper byte of what `cvt.rz.f16` makes, which has infinity.
    """
    narrow, signed, unsigned = NARROW[kind]
    wide = torch.from_numpy(np.array(handle.data, np.float32, ndmin=1))
    if narrow.itemsize == 1:
        largest = torch.finfo(narrow).max
        bits = wide.clamp(-largest, largest).to(narrow).view(signed)
        bits[wide.isnan()] = _NAN_BITS
        if toward_zero:
            bits[wide.isinf()] = wide[wide.isinf()].to(narrow).view(signed)
    else:
        bits = wide.to(narrow).view(signed)
    if toward_zero:  # codes of one sign are in order
        bits -= (bits.view(narrow).float().abs() > wide.abs()).to(signed)
    return TensorHandle(bits.numpy().view(unsigned).reshape(np.shape(handle.data)), kind)


def add_bfloat16(native: Any, pointers: Any, value: Any, lanes: Any) -> Any:
    """What an atomic addition of bfloat16 numbers finds, one lane after the other. Values are bits, as in memory."""
    found, always, nothing = np.zeros(pointers.shape, np.uint16), np.ones(1, bool), np.zeros(1, np.uint16)
    values = np.broadcast_to(value, pointers.shape)
    for lane in zip(*np.nonzero(lanes), strict=True):
        at = pointers[lane].reshape(1)
        old = native.load(at, always, nothing, nothing.dtype)
        total = torch.from_numpy(np.stack([old[0], values[lane]]).view(np.int16)).view(torch.bfloat16)
        new = (total[0] + total[1]).reshape(1).view(torch.int16).numpy().view(np.uint16)
        native.store(at, new, always)
        found[lane] = old[0]
    return found


def truncated(wide: Any, near: Any) -> Any:
    """The nearest number of a narrower format of NumPy's → the next one toward zero: never infinity."""
    too_far = np.abs(near.data.astype(np.float64)) > np.abs(wide.data.astype(np.float64))
    return TensorHandle(np.where(too_far, np.nextafter(near.data, near.data.dtype.type(0)), near.data), near.dtype)


def single(handle: Any) -> Any:
    """Any number → float32, to the odd one of the two beside it, so that rounding it again rounds once in all."""
    with np.errstate(over="ignore", invalid="ignore"):
        exact = np.asarray(handle.data).astype(np.longdouble)
        near = exact.astype(np.float32)
        other = np.nextafter(near, np.where(exact > near, np.inf, -np.inf).astype(np.float32))
    even = (near.view(np.uint32) & 1) == 0
    return TensorHandle(np.where((near != exact) & even & np.isfinite(near), other, near), tl.float32)


def widened(handle: Any) -> Any:
    """A narrow format → float32, exactly."""
    narrow, signed, unsigned = NARROW[handle.dtype.scalar]
    bits = np.array(handle.data, unsigned, ndmin=1).view(np.int16 if signed is torch.int16 else np.int8)
    return TensorHandle(torch.from_numpy(bits).view(narrow).float().numpy().reshape(np.shape(handle.data)), tl.float32)


def round_to_tf32(handle: Any) -> Any:
    """float32 with the 10 bits of mantissa that tensor cores keep. Triton gives them all bits, and nobody promises what
    becomes of the others: tensor cores that there are cut them off, and a conversion would round to nearest.
    """
    data = np.array(handle.data, np.float32)
    bits = data.view(np.uint32)
    cut, near = (((bits + np.uint32(half)) & np.uint32(0xFFFFE000)).view(np.float32) for half in (0, 0x1000))
    usual = np.isfinite(data)
    cut, near = np.where(usual, cut, data), np.where(usual, near, data)
    alike = cut.tobytes() == near.tobytes() == data.tobytes()
    return TensorHandle(data if alike else ANSWER.among(cut, cut, near), tl.float32)


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
    """Integers made of the numbers in `wide`: the nearest where a number is too large, and for NaN 0 or the upper bit
    alone (PTX ISA, section on cvt). Those of 8 bits are the lower half of 16, as LLVM makes them. NumPy makes of them
    what the processor does.
    """
    made, given = np.asarray(handle.data), np.asarray(wide.data)
    if given.dtype.kind != "f" or made.dtype.kind not in "iu":
        return handle
    limits = np.iinfo(f"{made.dtype.kind}{max(2, made.dtype.itemsize)}")
    least, most = np.array([limits.min, limits.max], limits.dtype).astype(made.dtype)
    data = made.copy()
    data[given >= float(limits.max)] = most
    data[given < float(limits.min)] = least
    data[np.isnan(given)] = of_nan(given.dtype, limits).astype(made.dtype)
    return TensorHandle(data, handle.dtype)


def _summed_in_half(a: Any, b: Any, d: Any) -> Any:
    """A matrix product as tensor cores sum it up in float16: so many products are added at a time."""
    left, right, total = a.data.astype(np.float32), b.data.astype(np.float32), np.asarray(d.data)
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, left.shape[-1], PRODUCTS_AT_A_TIME):
            part = slice(first, first + PRODUCTS_AT_A_TIME)
            total = (left[..., part] @ right[..., part, :] + total).astype(np.float16)
    return TensorHandle(total, tl.float16)


def _mend_scaled() -> None:
    """Scales and what they make of numbers are of the format in which is multiplied; for Triton's interpreter, float32.
    Numbers without a scale are as they are; that interpreter makes float16 of all of them. Triton 3.6 interprets no
    `tl.dot_scaled`.
    """
    scale_of, prepare = interpreter._dot_scaled_scale_to_f32, interpreter._prepare_dot_scaled_operand
    decode = interpreter._mxfp_value_handle_to_float32

    def decoded(handle: Any) -> Any:
        if handle.dtype.scalar in NARROW:
            return widened(handle).data
        return handle.data.astype(np.float32) if handle.dtype.scalar == tl.float16 else decode(handle)

    def rounded_to(kind: Any, data: Any) -> Any:
        with np.errstate(over="ignore"):
            if kind == tl.float16:
                return data.astype(np.float16).astype(np.float32)
            return widened(rounded(TensorHandle(data, tl.float32), tl.bfloat16)).data

    def scale(handle: Any, kind: Any) -> Any:
        return rounded_to(kind, scale_of(handle, kind))

    def operand(value: Any, scale: Any, form: Any, pack: Any, kind: Any, is_rhs: bool) -> Any:
        made = prepare(value, scale, form, pack, kind, is_rhs)
        return made if scale is None else rounded_to(kind, made)

    interpreter._dot_scaled_scale_to_f32, interpreter._prepare_dot_scaled_operand = scale, operand
    interpreter._mxfp_value_handle_to_float32 = decoded


def of_nan(source: Any, limits: Any) -> Any:
    """The integer within `limits` that a NaN of format `source` becomes."""
    return limits.dtype.type(0 if source.itemsize < 8 and limits.bits < 64 else limits.min or 1 << limits.bits - 1)


def mend_products() -> None:
    """Matrix products of narrow formats, in TF32 and of bfloat16 parts, masks made of scalars, constants. For good.

    Constants of float16 are float32 first, as in compiled kernels.

    Nor does arithmetic find out whether it overflows: nobody is told without `debug`, and it takes most of the time.
    """
    dot, splat = InterpreterBuilder.create_dot, InterpreterBuilder.create_splat
    options = interpreter.interpreter_builder.options
    precisions = dict.fromkeys([*options.allowed_dot_input_precisions, *(name.lower() for name in PART_PRODUCTS)])
    interpreter.interpreter_builder.options = replace(
        options, allowed_dot_input_precisions=tuple(precisions), sanitize_overflow=False
    )

    def create_dot(self: Any, a: Any, b: Any, d: Any, precision: Any, *rest: Any) -> Any:
        a, b = (widened(handle) if handle.dtype.scalar in NARROW else handle for handle in (a, b))
        name = str(precision).split(".")[-1].upper()
        if name == "TF32" and a.dtype.scalar == tl.float32:
            a, b = round_to_tf32(a), round_to_tf32(b)
        if d.dtype.scalar == tl.float16:
            return _summed_in_half(a, b, d)
        if name not in PART_PRODUCTS or a.dtype.scalar != tl.float32:
            return dot(self, a, b, d, precision, *rest)
        left, right = in_parts(a), in_parts(b)
        small = TensorHandle(np.zeros_like(d.data), d.dtype)
        for i, j in PART_PRODUCTS[name]:
            small = dot(self, left[i], right[j], small, precision, *rest)
        small = TensorHandle(np.where(np.isnan(small.data), 0, small.data), d.dtype)  # parts of infinity are none
        whole = dot(self, left[0], right[0], small, precision, *rest)
        return TensorHandle(whole.data + d.data, d.dtype)

    def create_splat(self: Any, kind: Any, arg: Any) -> Any:
        made = splat(self, kind, arg)  # a comparison keeps its operands' dtype, so its splat would be no mask
        return TensorHandle(made.data.astype(np.bool_), made.dtype) if arg.data.dtype == np.bool_ else made

    def get_fp16(self: Any, value: Any) -> Any:
        with np.errstate(over="ignore"):
            return TensorHandle(np.array([value], np.float32).astype(np.float16), tl.float16)

    if hasattr(InterpreterBuilder, "create_dot_scaled"):
        _mend_scaled()
    InterpreterBuilder.create_dot, InterpreterBuilder.create_splat = create_dot, create_splat
    InterpreterBuilder.get_fp16 = get_fp16
