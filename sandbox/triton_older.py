"""Triton's private interfaces: what compiled kernels have and the interpreter of Triton 3.6 lacks.

Not covered: `tl.dot_scaled`, which that interpreter has not at all; it says so, and the job is `Broken`.
"""

import inspect
from typing import Any

import numpy as np
import triton.language as tl
from triton.language import core
from triton.language.semantic import TritonSemantic
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle


def mend_older() -> None:
    """Arguments `True` and `False`, numbers beside bfloat16, `~` of unsigned integers, `x.exp()`. For good, and idle in
    later versions.
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
