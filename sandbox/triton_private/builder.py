"""Triton's private interfaces: what interpreted kernels compute with and reach memory by, for those that watch them."""

from collections.abc import Callable
from typing import Any, TypeVar

from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, ReduceScanOpInterface, TensorHandle, interpreter_builder

__all__ = ["InterpreterBuilder", "ReduceScanOpInterface", "TensorHandle", "interpreter_builder", "put_before_memory"]

Memory = TypeVar("Memory")


def put_before_memory(make: Callable[[Any], Memory]) -> Memory:
    """Put between this process's kernels and memory what `make` makes of the module that loads and stores. For good."""
    interpreter._interpreter = make(interpreter._interpreter)
    return interpreter._interpreter  # type: ignore[no-any-return]
