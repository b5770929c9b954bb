"""Triton's private interfaces: loops over `range`, interpreted as they are compiled.

A loop's variable is a number of the type that bounds and step have together, to which they are cast, and compared with
sign whatever that type is. Of a single bound Triton's frontend makes code twice. After the loop the variable is
nothing: a compiler may make anything of it, and of all that depends on it, so it may not be used.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import reduce
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import TensorHandle

from sandbox.interpreting.pipelines import LOOPS
from sandbox.triton_private.slices import decide
from sandbox.triton_private.values import value_of


def counted(
    first: Any, last: Any = None, step: Any = 1, num_stages: Any = None, loop_unroll_factor: Any = None,
    disallow_acc_multi_buffer: Any = False, flatten: Any = False, **options: Any,
) -> Iterator[Any]:  # fmt: skip
    """`tl.range` as a compiled kernel has it: the variable is a tensor of one number, with its methods, its width and
    its overflow. Triton's interpreter hands out Python's numbers, which have neither.

    Raises:
        ValueError: the loop would count down, by a step that is not known at compile time: compiled, it ends at once.
            Or it counts beyond the variable's type.
        RaceError: it has loaded what its own tensor descriptors store, or its bounds are not the same to all threads.
    """
    if isinstance(step, tl.tensor) and int(step) <= 0:
        raise ValueError("a range counts down by a constant step only; make the step a tl.constexpr")
    semantic = interpreter.interpreter_semantic
    given = (0, first, 1 if step is None else step) if last is None else (first, last, 1 if step is None else step)
    decide(given)
    bounds = [semantic.to_tensor(bound) for bound in given]
    dtype = reduce(semantic.integer_promote_impl, [bound.dtype for bound in bounds])
    array = interpreter._get_np_dtype(dtype)
    numbers = range(*(_cast(bound, array) for bound in bounds))
    limits = np.iinfo(f"i{array.itemsize}")
    if numbers and not limits.min <= numbers[-1] + numbers.step <= limits.max:
        raise ValueError(f"a range counts beyond {dtype}; give it wider bounds")
    known = not any(isinstance(bound, tl.tensor) for bound in given)
    with LOOPS.entered(value_of(num_stages), bool(value_of(flatten)), known) as loop:
        for number in numbers:
            loop.next()
            yield tl.tensor(TensorHandle(np.array([number], f"i{array.itemsize}").view(array), dtype), dtype)


def _cast(bound: Any, array: Any) -> int:
    """As `create_int_cast` to the variable's type, with its sign, as a signed number."""
    data = np.asarray(bound.handle.data).ravel()[:1]
    if data.dtype == np.bool_:
        return -int(data[0]) if array.kind == "i" else int(data[0])
    own = data.view(f"{array.kind}{data.itemsize}")
    return int(own.astype(array).view(f"i{array.itemsize}")[0])


def python_range(*bounds: Any) -> Iterator[Any]:
    """`range` of a kernel."""
    return counted(*bounds)


def bounded(function: Any, bound: Callable[[], Any]) -> Any:
    """`range(bound)`, whose bound is computed twice."""
    found = bound()
    return function(bound() if function is python_range else found)


def turning() -> AbstractContextManager[None]:
    """Around a `while` loop."""
    return LOOPS.turning()


def repeated(test: Any) -> Any:
    """The condition of a `while` loop."""
    decide(test)
    return test


@contextmanager
def branch(test: Any) -> Iterator[Any]:
    """Around a condition: what it asks, and, if a tensor answers, that a branch is gone into."""
    decide(test)
    with LOOPS.branch() if isinstance(test, tl.tensor) else nullcontext():
        yield test


def _use(self: Any, *others: Any) -> Any:
    """Raises:
    NameError: the kernel uses what is nothing.
    """
    raise NameError("a loop's variable is nothing after the loop; keep its last number in another one")


_USES = ("__getattr__", "__bool__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
EndedLoopsVariable = type("EndedLoopsVariable", (), dict.fromkeys(_USES, _use))


def gone() -> Any:
    """What a loop's variable is after the loop."""
    return EndedLoopsVariable()
