"""Triton's private interfaces: atomics, interpreted as a GPU has them.

Triton's interpreter knows nothing of scopes and volatile loads, serves lanes in order, takes atomic loads and stores
for plain ones, adds the bits of bfloat16 numbers, and exchanges no floats.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from triton._C.libtriton import ir
from triton.runtime.interpreter import InterpreterBuilder

from sandbox.interpreting.open_answers import ANSWER
from sandbox.interpreting.pipelines import LOOPS
from sandbox.triton_private.floats import add_bfloat16
from sandbox.triton_private.undefined import without_subnormals

Array = npt.NDArray[Any]
_ACCESSES = ("create_atomic_load", "create_atomic_store", "create_atomic_poll")
_DESCRIBED = ("create_descriptor_load", "create_descriptor_store", "create_descriptor_reduce")
_UPDATES = ("create_atomic_rmw", "create_atomic_cas")
STORES_UNSEEN = not hasattr(InterpreterBuilder, "create_atomic_load")
"""Triton 3.6: after a store by a tensor descriptor it waits for shared memory to be free (`wait_group.read`)."""


def listen(watch: Any, builder: Any) -> None:
    """Tell a `MemoryWatch` what is volatile, by tensor descriptors, atomic, and atomic to one program only, which is
    plain to others. For good.
    """
    for name in _DESCRIBED:
        setattr(builder, name, _described(watch, getattr(builder, name)))
    builder.create_masked_load = _told(watch, builder.create_masked_load)
    for name in _ACCESSES:
        if hasattr(builder, name):  # Triton 3.6 has none of them
            setattr(builder, name, _atomically(watch, getattr(builder, name)))
    for name in _UPDATES:
        setattr(builder, name, _within_scope(watch, getattr(builder, name)))


def _atomically(watch: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        if _of_one_program(args[-1]):
            return method(*args)
        LOOPS.update()
        watch.overtake()
        watch.atomic, watch.relaxed = True, args[-2] == ir.MEM_SEMANTIC.RELAXED
        try:
            return method(*args)
        finally:
            watch.atomic = watch.relaxed = False

    return call


def _told(watch: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **named: Any) -> Any:
        watch.volatile = bool(named["is_volatile"] if "is_volatile" in named else args[-1])
        return method(*args, **named)

    return call


def _described(watch: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **named: Any) -> Any:
        watch.described = True
        try:
            return method(*args, **named)
        finally:
            watch.described = False

    return call


def _within_scope(watch: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        if not watch.described:
            LOOPS.update()
        watch.overtake()
        watch.alone = _of_one_program(args[-1])
        return method(*args)

    return call


def _of_one_program(scope: Any) -> bool:
    return bool(scope == ir.MEM_SYNC_SCOPE.CTA)


def in_any_order(atomic: Callable[..., Array], operands: tuple[Array, ...], known: bool) -> Array:
    """What an atomic of many lanes finds: nobody knows which lane comes first. `known`: somebody looks at that."""
    shape, size = operands[0].shape, operands[0].size
    if size < 2:
        return atomic(*operands)
    order = ANSWER.order(size) if known else np.random.default_rng().permutation(size)
    served = atomic(*(np.broadcast_to(operand, shape).ravel()[order] for operand in operands))
    found = np.empty_like(served)
    found[order] = served
    return found.reshape(shape)


def updated(native: Any, operation: Any, semantics: Any) -> Callable[..., Array]:
    """An atomic, of pointers, values and lanes. A sum of float32 below the least normal number is zero in a GPU's
    memory (PTX ISA, section on atom).
    """
    adds = operation == native.RMW_OP.FADD

    def update(pointers: Array, value: Array, lanes: Array) -> Array:
        if adds and value.dtype == np.uint16:
            return np.asarray(add_bfloat16(native, pointers, value, lanes))
        if operation == native.RMW_OP.XCHG:
            bits = value.view(f"i{value.dtype.itemsize}")
            return np.asarray(native.atomic_rmw(operation, pointers, bits, lanes, semantics)).view(value.dtype)
        found: Array = native.atomic_rmw(operation, pointers, value, lanes, semantics)
        if adds and value.dtype == np.float32:
            sums = native.load(pointers, lanes, np.zeros(pointers.shape, np.float32), np.dtype(np.float32))
            flushed = without_subnormals(sums)
            if flushed.tobytes() != sums.tobytes():
                native.store(pointers, ANSWER.among(flushed, flushed, sums), lanes)
        return found

    return update
