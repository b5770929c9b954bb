"""Triton's private interfaces: which interpreted values come from early loads (`sandbox.interpreting.pipelines`).

A compiler follows every operand of a product back to loads, through whatever is computed on the way. Here a load marks
what it has made, and every operation hands on the marks of what it is given. It costs nothing where no load is early.
"""

from collections.abc import Iterator
from typing import Any

from sandbox.interpreting.pipelines import ALONE, LOOPS, Early
from sandbox.interpreting.races import RaceError
from sandbox.triton_private.builder import InterpreterBuilder, ReduceScanOpInterface, TensorHandle

WARP = 32
"""Threads that do not run apart."""
PRODUCTS = ("create_dot", "create_dot_scaled")
"""They end the search: what is added to a product is not loaded ahead for it, its factors are asked for."""


def follow() -> None:
    """Mark what kernels compute in this process. For good."""
    for name in dir(InterpreterBuilder):
        if name.startswith("create_") and name not in PRODUCTS:
            setattr(InterpreterBuilder, name, _followed(getattr(InterpreterBuilder, name)))
    ReduceScanOpInterface.apply = _followed(ReduceScanOpInterface.apply)


def marks(given: Any) -> Early:
    """Of all values in what an operation is given."""
    return frozenset[tuple[int, str]]().union(*(getattr(handle, "early", ()) for handle in _handles(given)))


def decide(test: Any) -> None:
    """Raises:
    RaceError: a condition is not the same to all threads.
    """
    if LOOPS.hits and (0, ALONE) in marks(test):
        raise RaceError(ALONE)


def _followed(method: Any) -> Any:
    def call(*given: Any, **named: Any) -> Any:
        before = LOOPS.hits
        made = method(*given, **named)
        if LOOPS.hits:
            early = marks([given, list(named.values())])
            if LOOPS.hits != before:
                early |= LOOPS.latest
            for handle in _handles(made) if early else ():
                handle.early = early
                if (0, ALONE) in early and handle.data.size > WARP:
                    raise RaceError(ALONE)
        return made

    return call


def _handles(value: Any) -> Iterator[Any]:
    if isinstance(value, TensorHandle):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _handles(item)
    elif isinstance(getattr(value, "handle", None), TensorHandle):
        yield value.handle
