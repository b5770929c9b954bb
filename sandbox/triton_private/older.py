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

from sandbox.interpreting.open_answers import ANSWER


def mend_older() -> None:
    """Arguments `True` and `False`, numbers beside bfloat16, `~` of unsigned integers, `x.exp()`, products and
    sums rounded once, upper halves of products. For good, and idle in later versions.
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
        InterpreterBuilder.create_fma, InterpreterBuilder.create_umulhi = _fused, _upper_half


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


def _upper_half(self: Any, one: Any, other: Any) -> Any:
    """Of a product of unsigned numbers, as the bits of signed ones are taken for, too."""
    width = one.data.itemsize * 8
    left, right = (np.asarray(handle.data).view(f"u{width // 8}").astype(object) for handle in (one, other))
    made = np.asarray((left * right) >> width).astype(f"u{width // 8}")
    return TensorHandle(made.view(one.data.dtype), one.dtype.scalar)


def _fused(self: Any, x: Any, y: Any, z: Any) -> Any:
    return TensorHandle(fused(x.data, y.data, z.data), z.dtype.scalar)


def fused(x: Any, y: Any, z: Any) -> Any:
    """x · y + z of arrays of floats, rounded once."""
    kind = z.dtype
    if kind == np.float64:
        return np.asarray(_exactly(x, y, z)).astype(kind)
    with np.errstate(over="ignore", invalid="ignore"):
        product, other = np.multiply(x, y, dtype=np.float64), z.astype(np.float64)  # exact
        total = product + other
        back = total - product
        lost = (product - (total - back)) + (other - back)
        # what is lost makes the last bit odd, so that rounding once more rounds the exact sum
        even = (np.atleast_1d(total).view(np.int64).reshape(np.shape(total)) & 1) == 0
        odd = np.where((lost != 0) & even & np.isfinite(lost), np.nextafter(total, np.copysign(np.inf, lost)), total)
        return odd.astype(kind)


def of_libm(name: str, count: int) -> Any:
    """The C library's function of `count` float64 numbers, on arrays; makes arrays of Python's numbers."""
    function = getattr(ctypes.CDLL(None), name)
    function.restype, function.argtypes = ctypes.c_double, [ctypes.c_double] * count
    return np.frompyfunc(function, count, 1)


_exactly = of_libm("fma", 3)
