"""Functions that Python evaluates while a kernel compiles (`triton.constexpr_function`), for the interpreter.

Triton hands them numbers, types and text, whose operators are Python's; so `range` is Python's here as well.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import triton.language as tl


def on_constants(function: Any, namespace: dict[str, Any]) -> Callable[..., Any]:
    """A function that is evaluated while the kernel compiles: plain Python, and nothing of run time gets in."""
    python = FunctionType(function.__code__, namespace, function.__name__, function.__defaults__)
    python.__kwdefaults__ = function.__kwdefaults__

    def call(*args: Any, **keywords: Any) -> Any:
        if any(isinstance(value, tl.tensor) for value in (*args, *keywords.values())):
            raise TypeError(f"{function.__name__} is evaluated while the kernel compiles, and got a run-time value")
        return python(*args, **keywords)

    return call
