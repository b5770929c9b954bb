"""Triton's private interfaces: tensor descriptors and block pointers, interpreted: atomics, and padding by NaN."""

from typing import Any

import numpy as np
from triton._C.libtriton import ir
from triton.runtime.interpreter import InterpreterBuilder

from sandbox.triton_private.floats import NARROW
from sandbox.triton_private.undefined import NAN_BITS


def mend_descriptors() -> None:
    """For good, in this process."""

    def reduce(self: Any, kind: Any, descriptor: Any, value: Any, offsets: list[Any]) -> None:
        name = str(kind).rpartition(".")[2]
        if name == "ADD" and value.dtype.scalar.is_floating():
            name = "FADD"
        if name in ("MIN", "MAX") and value.dtype.scalar.is_int_unsigned():
            name = f"U{name}"
        pointers, mask = descriptor.materialize_pointers(offsets)
        relaxed, scope = ir.MEM_SEMANTIC.RELAXED, ir.MEM_SYNC_SCOPE.GPU
        self.create_atomic_rmw(getattr(ir.ATOMIC_OP, name), pointers, value, mask, relaxed, scope)

    InterpreterBuilder.create_descriptor_reduce = reduce
    for name in ("create_descriptor_load", "create_tensor_pointer_load"):
        if hasattr(InterpreterBuilder, name):  # Triton 3.9 has no block pointers
            setattr(InterpreterBuilder, name, _padded(getattr(InterpreterBuilder, name)))


def _padded(method: Any) -> Any:
    """What lies outside is NaN where that is asked for; of bits as integers NumPy makes none."""

    def load(self: Any, pointer: Any, where: Any, *rest: Any) -> Any:
        made = method(self, pointer, where, *rest)
        nan = ir.PADDING_OPTION.PAD_NAN in (getattr(pointer, "padding", None), *rest)
        if nan and made.dtype.scalar in NARROW:
            _, inside = pointer.materialize_pointers(where)
            bits = NAN_BITS.get(made.dtype.scalar.name, 0x7F)
            made.data = np.where(inside.data, made.data, made.data.dtype.type(bits))
        return made

    return load
