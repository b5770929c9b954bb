"""Triton's private interfaces: integers that nobody promises, interpreted, and numbers that are none.

NumPy has an answer to a division by zero, to that of the least number by -1 and to a shift by more bits than there are.
A compiler may take any, and a GPU has others. So any comes out here: who uses it is wrong, and who masks it out is not.
"""

from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle


def mend_undefined() -> None:
    """For good, in this process."""
    for name in ("create_sdiv", "create_udiv", "create_srem", "create_urem"):
        setattr(InterpreterBuilder, name, _open(getattr(InterpreterBuilder, name), _by_zero))
    for name in ("create_shl", "create_lshr", "create_ashr"):
        setattr(InterpreterBuilder, name, _open(getattr(InterpreterBuilder, name), _too_far))
    for name, function in (("create_minnumf", np.fmin), ("create_maxnumf", np.fmax)):
        setattr(InterpreterBuilder, name, _the_number(function))  # Triton 3.6 has NaN here, and in clamp
    clamp = InterpreterBuilder.create_clampf

    def create_clampf(self: Any, one: Any, low: Any, high: Any, propagate: Any) -> Any:
        if propagate != tl.PropagateNan.NONE:
            return clamp(self, one, low, high, propagate)
        return self.create_minnumf(self.create_maxnumf(one, low), high)

    InterpreterBuilder.create_clampf = create_clampf


def _open(method: Any, where: Any) -> Any:
    def call(self: Any, one: Any, other: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            made = method(self, one, other)
        undefined = where(np.asarray(one.data), np.asarray(other.data))
        if not undefined.any():
            return made
        data = np.array(made.data)
        noise = np.frombuffer(np.random.default_rng().bytes(data.nbytes), data.dtype).reshape(data.shape)
        return TensorHandle(np.where(undefined, noise, data), made.dtype)

    return call


def _the_number(function: Any) -> Any:
    def call(self: Any, one: Any, other: Any) -> Any:
        return self.binary_op(one, other, function)

    return call


def _by_zero(one: Any, divisor: Any) -> Any:
    """Or a quotient that is one more than the largest number."""
    least = np.iinfo(one.dtype).min if one.dtype.kind == "i" else 1
    return (divisor == 0) | ((one == least) & (divisor == -1) if least < 0 else False)


def _too_far(one: Any, distance: Any) -> Any:
    return (distance < 0) | (distance >= 8 * distance.itemsize)
