"""Triton's private interfaces: what a kernel's text calls, as `python` writes it, to mean what it means compiled."""

import builtins
import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any

import triton.language as tl
from triton.runtime import interpreter

Operand = Callable[[], Any]


def value_of(constant: Any) -> Any:
    return getattr(constant, "value", constant)


def plain(value: Any) -> Any:
    return value.value if isinstance(value, tl.constexpr) else value


def bound(value: Any) -> Any:
    """What a name stands for once it is assigned."""
    if isinstance(value, builtins.tuple):
        return interpreter._tuple_create(value, map(bound, value))
    if isinstance(value, tl.tuple):
        return tl.tuple([bound(item) for item in value])
    return interpreter.interpreter_semantic.to_tensor(value, False)


def annotated(kind: Any, value: Any) -> Any:
    return plain(value) if kind is tl.constexpr else bound(value)


def every(*operands: Operand) -> Any:
    return _joined(operands, False, interpreter.interpreter_semantic.logical_and)


def some(*operands: Operand) -> Any:
    return _joined(operands, True, interpreter.interpreter_semantic.logical_or)


def _joined(operands: tuple[Operand, ...], last: bool, join: Callable[[Any, Any], Any]) -> Any:
    """A constant ends it or does not matter; whatever is no constant has been computed by then."""
    found, value = [], None
    for operand in operands:
        value = operand()
        if isinstance(value, tl.tensor):
            found.append(value)
        elif bool(value) is last:
            return value
    return functools.reduce(lambda right, left: join(left, right), reversed(found)) if found else value


def opposite(value: Any) -> Any:
    return interpreter.interpreter_semantic.not_(value) if isinstance(value, tl.tensor) else not value


def chosen(test: Any, body: Operand, orelse: Operand) -> Any:
    chosen = body() if test else orelse()
    return interpreter.interpreter_semantic.to_tensor(chosen, False) if isinstance(test, tl.tensor) else chosen


def noted(seen: set[int], test: Any) -> Any:
    """The test of a condition that may end the function; a compiler goes both ways if it is a tensor."""
    if isinstance(test, tl.tensor):
        seen.add(1)
    return test


def returned(seen: set[int], value: Any) -> Any:
    return bound(value) if 1 in seen else value


def early(value: Any) -> Any:
    """Raises:
    ValueError: a number is returned where another return may follow: whether it is a constant is hard to tell.
    """
    items = value if isinstance(value, builtins.tuple) else (value,)
    if any(isinstance(plain(item), bool | int | float) for item in items):
        raise ValueError("a function returns a number, and other returns follow it: put those into an else")
    return value


def ended(seen: set[int]) -> None:
    """Raises:
    ValueError: a function of which a condition on tensors may return something has returned nothing.
    """
    if 1 in seen:
        raise ValueError("a function returns something, or ends without, by a condition on tensors: end it by a return")


def constant(value: Any) -> Any:
    """Raises:
    TypeError: this is no constant, but a tensor, which is true to Triton's frontend.
    """
    if isinstance(value, tl.tensor):
        raise TypeError("the condition of a comprehension must be known at compile time")
    return value


def called(function: Any, positional: Operand, /, **named: Any) -> Any:
    return function(*positional(), **named)


def least(*numbers: Any) -> Any:
    """`min` of a kernel."""
    tensors = any(isinstance(number, tl.tensor) for number in numbers)
    return functools.reduce(tl.minimum, numbers) if tensors else min(*numbers)


def largest(*numbers: Any) -> Any:
    """`max` of a kernel."""
    tensors = any(isinstance(number, tl.tensor) for number in numbers)
    return functools.reduce(tl.maximum, numbers) if tensors else max(*numbers)


def mend_constants() -> None:
    """Triton's interpreter makes a constant of what a constant and a tensor come to; compiled, it is a tensor. For
    good, in this process.
    """
    names = [name[2:] for name in vars(operator) if name.startswith("__")]
    for name in [f"__{prefix}{name}" for name in names for prefix in ("", "r")]:
        own = vars(tl.constexpr).get(name)
        if inspect.isfunction(own) and len(inspect.signature(own).parameters) == 2:
            setattr(tl.constexpr, name, _of_constants(own))
    make = tl.constexpr.__init__

    def initialise(self: Any, value: Any) -> None:
        """Raises:
        TypeError: this is no constant, but a tensor; Triton's frontend takes whatever it holds for true.
        """
        if isinstance(value, tl.tensor):
            raise TypeError("a tl.constexpr cannot be made of a tensor")
        make(self, value)

    tl.constexpr.__init__ = initialise


def _of_constants(method: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def call(self: Any, other: Any) -> Any:
        return NotImplemented if isinstance(other, tl.tensor) else method(self, other)

    return call
