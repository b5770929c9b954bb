"""Triton's private interfaces: what compiled kernels have and the interpreter of Triton 3.6 lacks.

Not covered: `tl.dot_scaled`, which that interpreter has not at all; it says so, and the job is `Broken`.
"""

import ctypes
import inspect
from typing import Any

import numpy as np
import triton.language as tl
from triton.language import core
from triton.language.semantic import TritonSemantic
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from sandbox.open_answers import ANSWER


def mend_older() -> None:
    """Arguments `True` and `False`, numbers beside bfloat16, `~` of unsigned integers, `x.exp()`, products and
    sums rounded once. For good, and idle in later versions.
    """
    convert = interpreter._implicit_cvt

    def converted(argument: Any) -> Any:
        if isinstance(argument, bool):
            return tl.tensor(TensorHandle(np.array([argument]), tl.int1), tl.int1)
        return convert(argument)

    def get_all_ones_value(self: Any, kind: Any) -> Any:
        return TensorHandle(np.invert(np.zeros(1, interpreter._get_np_dtype(kind))), kind.scalar)

    def get_bf16(self: Any, value: Any) -> Any:
        return self.cast_impl(self.get_fp32(value), tl.bfloat16)

    def dot_scaled(self: Any, *operands: Any) -> Any:
        raise NotImplementedError("Triton 3.6 interprets no tl.dot_scaled; use a later version or a GPU")

    interpreter._implicit_cvt = converted
    InterpreterBuilder.get_all_ones_value, InterpreterBuilder.get_bf16 = get_all_ones_value, get_bf16
    for method in filter(inspect.isfunction, vars(tl.tensor).values()):
        if "_semantic" in inspect.signature(method).parameters:
            setattr(method, core.TRITON_BUILTIN, True)
    if not hasattr(InterpreterBuilder, "create_dot_scaled"):
        TritonSemantic.dot_scaled = dot_scaled
        _mend_histogram()
    if not hasattr(interpreter._interpreter, "fma_fp32"):
        InterpreterBuilder.create_fma = _fused


def _mend_histogram() -> None:
    """Numbers that have no bin: a GPU counts some of them elsewhere, by their lowest bits."""
    histogram = InterpreterBuilder.create_histogram

    def create_histogram(self: Any, data: Any, bins: int, mask: Any) -> Any:
        outside = (data.data < 0) | (data.data >= bins)
        active = np.ones(data.data.shape, bool) if mask is None else np.asarray(mask.data).astype(bool)
        if not bool((outside & active).any()):
            return histogram(self, data, bins, mask)
        somewhere = np.random.default_rng().integers(0, bins, data.data.shape)
        placed = np.where(outside, ANSWER.among(somewhere, data.data % bins, 0), data.data).astype(data.data.dtype)
        counted = active & ~(outside & ANSWER.among(False, False, True))
        return histogram(self, TensorHandle(placed, data.dtype), bins, TensorHandle(counted, tl.int1))

    InterpreterBuilder.create_histogram = create_histogram


def _fused(self: Any, x: Any, y: Any, z: Any) -> Any:
    """x · y + z, rounded once."""
    kind = z.data.dtype
    if kind == np.float64:
        return TensorHandle(_exactly(x.data, y.data, z.data).astype(kind), z.dtype.scalar)
    with np.errstate(over="ignore", invalid="ignore"):
        product, other = np.multiply(x.data, y.data, dtype=np.float64), z.data.astype(np.float64)  # exact
        total = product + other
        back = total - product
        lost = (product - (total - back)) + (other - back)
        # what is lost makes the last bit odd, so that rounding once more rounds the exact sum
        even = (np.atleast_1d(total).view(np.int64).reshape(np.shape(total)) & 1) == 0
        odd = np.where((lost != 0) & even & np.isfinite(lost), np.nextafter(total, np.copysign(np.inf, lost)), total)
        return TensorHandle(odd.astype(kind), z.dtype.scalar)


def _of_libm() -> Any:
    fma = ctypes.CDLL(None).fma
    fma.restype, fma.argtypes = ctypes.c_double, [ctypes.c_double] * 3
    return np.frompyfunc(fma, 3, 1)


_exactly = _of_libm()
