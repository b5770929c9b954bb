"""Triton's private interfaces: places of elements that Triton leaves open, interpreted.

Triton's interpreter keeps elements in order where the compiler need not (`can_reorder`), and counts negative indices
from the end, as NumPy does. A kernel that relies on either is right in an interpreter alone.
"""

from typing import Any

from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from sandbox.interpreting.open_answers import ANSWER


def mend_order() -> None:
    """For good, in this process."""
    cat, gather = InterpreterBuilder.create_cat, InterpreterBuilder.create_gather

    def create_cat(self: Any, one: Any, other: Any) -> Any:
        return _shuffled(cat(self, one, other))

    def create_reshape(self: Any, given: Any, shape: Any, allow_reorder: bool) -> Any:
        made = TensorHandle(given.data.reshape(shape), given.dtype.scalar)
        return _shuffled(made) if allow_reorder and made.data.shape != given.data.shape else made

    def create_gather(self: Any, source: Any, indices: Any, axis: int) -> Any:
        """Raises:
        IndexError: an index is negative.
        """
        if bool((indices.data < 0).any()):
            raise IndexError("tl.gather with a negative index: indices count from 0, never from the end")
        return gather(self, source, indices, axis)

    InterpreterBuilder.create_cat, InterpreterBuilder.create_reshape = create_cat, create_reshape
    InterpreterBuilder.create_gather = create_gather


def _shuffled(handle: Any) -> Any:
    """In an order that nobody knows."""
    flat = handle.data.ravel()
    return TensorHandle(flat[ANSWER.order(flat.size)].reshape(handle.data.shape), handle.dtype)
