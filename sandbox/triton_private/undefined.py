"""Triton's private interfaces: integers that nobody promises, interpreted, and floats at their limits.

NumPy has an answer to a division by zero, to that of the least number by -1 and to a shift by more bits than there are.
A compiler may take any, and a GPU has others. So each comes out here (`open_answers`): who uses it is wrong, and who
masks it out is not.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from sandbox.interpreting.open_answers import ANSWER, noise_like

NAN_BITS = {"fp16": 0x7FFF, "bf16": 0x7FFF, "fp32": 0x7FFFFFFF}
"""Those of a NaN that an NVIDIA GPU computes (PTX ISA, section on floating-point instructions)."""
INFINITY_BITS = {"fp16": 0x7C00, "bf16": 0x7F80, "fp32": 0x7F800000}


def mend_undefined() -> None:
    """For good, in this process."""
    for names, where, on_gpu in (
        (("create_sdiv", "create_udiv"), _by_zero, lambda one, other: np.where(other == 0, ~np.zeros_like(one), one)),
        (("create_srem", "create_urem"), _by_zero, lambda one, other: np.where(other == 0, one, 0)),
        (("create_shl", "create_lshr"), _too_far, lambda one, other: np.zeros_like(one)),
        (("create_ashr",), _too_far, lambda one, other: np.where(one < 0, -1, 0)),
    ):
        for name in names:
            setattr(InterpreterBuilder, name, _open(getattr(InterpreterBuilder, name), where, on_gpu))
    for name, function in (
        ("create_minnumf", np.fmin), ("create_maxnumf", np.fmax),  # Triton 3.6 has NaN here, and in clamp
        ("create_minimumf", np.minimum), ("create_maximumf", np.maximum),
    ):  # fmt: skip
        setattr(InterpreterBuilder, name, _best(function))
    InterpreterBuilder.create_clampf, InterpreterBuilder.create_frem = _clamp, _remainder
    for name in (
        "create_exp2", "create_sqrt", "create_rsqrt", "create_floor", "create_ceil", "create_sin", "create_erf",
    ):  # fmt: skip
        setattr(InterpreterBuilder, name, _flushing(getattr(InterpreterBuilder, name)))
    bitcast, store = InterpreterBuilder.create_bitcast, InterpreterBuilder.create_masked_store

    def create_bitcast(self: Any, src: Any, kind: Any) -> Any:
        return bitcast(self, _any_nan(src), kind)

    def create_masked_store(self: Any, pointers: Any, value: Any, *rest: Any) -> Any:
        return store(self, pointers, _any_nan(value), *rest)

    InterpreterBuilder.create_bitcast, InterpreterBuilder.create_masked_store = create_bitcast, create_masked_store


def _flushing(method: Any) -> Any:
    """Of float32 Triton makes `ex2.approx.ftz` and the like, to which numbers below the least normal one are zeros."""

    def flushed(handle: Any) -> Any:
        data = np.asarray(handle.data)
        if data.dtype != np.float32 or handle.dtype.scalar != tl.float32:
            return handle
        return TensorHandle(without_subnormals(data), handle.dtype)

    return lambda self, handle: flushed(method(self, flushed(handle)))


def without_subnormals(data: Any) -> Any:
    """Zeros instead of float32 numbers below the least normal one, with their signs."""
    if data.dtype != np.float32:
        return data
    return np.where(np.abs(data) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), data), data)


def with_or_without_subnormals(function: Callable[..., Any], arrays: list[Any]) -> Any:
    """What a function of libdevice makes of arrays: Triton takes most of them, or a part, with `ftz`."""
    made, given = function(*arrays), [without_subnormals(array) for array in arrays]
    alike = all(one.tobytes() == other.tobytes() for one, other in zip(arrays, given, strict=True))
    flushed = without_subnormals(made if alike else function(*given))
    if made.tobytes() == flushed.tobytes():
        return made
    return ANSWER.among(flushed, flushed, made)


def _any_nan(handle: Any) -> Any:
    """A NaN has the bits that the processor gives it, or those that an NVIDIA GPU does."""
    data, kind = np.asarray(handle.data), handle.dtype.scalar.name
    if kind not in NAN_BITS:
        return handle
    bits = data.view(f"u{data.itemsize}")
    nan = (bits & NAN_BITS[kind]) > INFINITY_BITS[kind]
    if not nan.any():
        return handle
    usual = np.where(nan, bits.dtype.type(NAN_BITS[kind]), bits)
    return TensorHandle(ANSWER.among(bits, usual, bits).view(data.dtype), handle.dtype)


def _clamp(self: Any, one: Any, low: Any, high: Any, propagate: Any) -> Any:
    """Where bounds are constants and opposite, a GPU has the sign of `one * high` and the lesser of both sizes."""
    every = propagate != tl.PropagateNan.NONE
    least, most = (self.create_maximumf, self.create_minimumf) if every else (self.create_maxnumf, self.create_minnumf)
    made = most(least(one, low), high)
    value, lower, upper = np.broadcast_arrays(*(np.asarray(handle.data) for handle in (one, low, high)))
    undefined = ~(lower <= upper) | (np.isnan(value) & (lower == -upper) & (not every))
    if not undefined.any():
        return made
    data = np.broadcast_to(made.data, value.shape)
    sign = np.copysign(1, np.where(np.isnan(value), 1, value)) * np.copysign(1, upper)  # of a GPU's NaN
    on_gpu = np.copysign(np.fmin(np.abs(value), np.abs(upper)), sign).astype(data.dtype)
    found = ANSWER.among(noise_like(data), on_gpu, data)
    return TensorHandle(np.where(undefined, found, data), made.dtype)


def _remainder(self: Any, one: Any, other: Any) -> Any:
    """What is left of a rounded quotient, as LLVM has it for NVIDIA: of a large one that is anything."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        quotient = TensorHandle(-np.trunc(one.data / other.data), one.dtype)
        made = self.create_fma(quotient, other, one)
    return TensorHandle(np.where(np.isinf(other.data), one.data, made.data), made.dtype)


def _open(method: Any, where: Any, on_gpu: Any) -> Any:
    def call(self: Any, one: Any, other: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            made = method(self, one, other)
        undefined = where(np.asarray(one.data), np.asarray(other.data))
        if not undefined.any():
            return made
        data, operands = np.array(made.data), np.broadcast_arrays(one.data, other.data)
        found = ANSWER.among(noise_like(data), on_gpu(*operands).astype(data.dtype), data)
        return TensorHandle(np.where(undefined, found, data), made.dtype)

    return call


def _best(function: Any) -> Any:
    """-0 is less than 0 (PTX ISA, sections on min and max); NumPy takes the first of two zeros."""

    def best(one: Any, other: Any) -> Any:
        zero = one + other if function in (np.fmax, np.maximum) else -(-one - other)
        return np.where((one == 0) & (other == 0), zero, function(one, other))

    def call(self: Any, one: Any, other: Any) -> Any:
        with np.errstate(invalid="ignore", over="ignore"):
            return self.binary_op(one, other, best)

    return call


def _by_zero(one: Any, divisor: Any) -> Any:
    """Or a quotient that is one more than the largest number."""
    least = np.iinfo(one.dtype).min if one.dtype.kind == "i" else 1
    return (divisor == 0) | ((one == least) & (divisor == -1) if least < 0 else False)


def _too_far(one: Any, distance: Any) -> Any:
    return (distance < 0) | (distance >= 8 * distance.itemsize)
