"""Triton's private interfaces: what interpreted kernels compute with and reach memory by, for those that watch them."""

from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, ReduceScanOpInterface, TensorHandle, interpreter_builder

__all__ = ["InterpreterBuilder", "ReduceScanOpInterface", "TensorHandle", "interpreter_builder", "put_before_memory"]

Memory = TypeVar("Memory")
KERNELS = "kernels"
"""The module that functions of a candidate say they are of."""


def put_before_memory(make: Callable[[Any], Memory]) -> Memory:
    """Put between this process's kernels and memory what `make` makes of the module that loads and stores. For good."""
    interpreter._interpreter = make(interpreter._interpreter)
    return interpreter._interpreter  # type: ignore[no-any-return]


def variables(frame: FrameType | None) -> Iterator[Any]:
    """Where each kernel function stands that is called from here, and what its variables hold; hashable."""
    while frame is not None:
        if frame.f_globals.get("__name__") == KERNELS:
            yield frame.f_lasti
            yield from map(_held, frame.f_locals.values())
        frame = frame.f_back


def _held(value: Any) -> Any:
    if isinstance(value, tl.tensor):
        return str(value.dtype), value.handle.data.tobytes()
    return tuple(map(_held, value)) if isinstance(value, tuple | list) else repr(value)
