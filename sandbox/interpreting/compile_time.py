"""Functions that Python evaluates while a kernel compiles (`triton.constexpr_function`), for the interpreter.

Triton hands them numbers, types and text, whose operators are Python's; so `range` and `min` are Python's here as well.
"""

from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

import triton.language as tl


def _on_constants(function: Any, namespace: dict[str, Any]) -> Callable[..., Any]:
    """A function that is evaluated while the kernel compiles: plain Python, and nothing of run time gets in."""
    python = FunctionType(function.__code__, namespace, function.__name__, function.__defaults__)
    python.__kwdefaults__ = function.__kwdefaults__

    def call(*args: Any, **keywords: Any) -> Any:
        if any(isinstance(value, tl.tensor) for value in (*args, *keywords.values())):
            raise TypeError(f"{function.__name__} is evaluated while the kernel compiles, and got a run-time value")
        return python(*args, **keywords)

    return call


def evaluated(
    names: Iterable[str], namespace: dict[str, Any], allowed: dict[str, Any]
) -> dict[str, Callable[..., Any]]:
    """Those functions of a module, each seeing the others. `allowed`: the builtins of kernels, as Python has them."""
    plain = {**namespace, "__builtins__": allowed}
    plain |= {name: _on_constants(namespace[name], plain) for name in names}
    return {name: _for_kernels(plain[name]) for name in names}


def _for_kernels(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **keywords: Any) -> Any:
        return _tuples(function(*map(_given, args), **{name: _given(value) for name, value in keywords.items()}))

    return call


def _given(value: Any) -> Any:
    """Tuples are Triton's own, which do not compare and repeat as Python's do."""
    if type(value) is not tuple:
        return value
    items = [_given(item) for item in value]
    return tl.tuple(items, tl.core.tuple_type([getattr(i, "type", tl.core.constexpr_type(i)) for i in items]))


def _tuples(value: Any) -> Any:
    """Kernels have no lists."""
    return tuple(_tuples(item) for item in value) if type(value) in (list, tuple) else value
