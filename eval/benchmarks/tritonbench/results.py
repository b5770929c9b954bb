"""What a test leaves in its result variable, as data that can be trusted to be data, and whether two of them agree.

Upstream compares nothing but stdout, so the tolerances are ours, by dtype, on one level with TF32 for float32. The
gold is compared with as if it were the truth. NaN and infinities must stand in the same places.
"""

import mmap
import re
from typing import Literal, NamedTuple

import torch

from sandbox.judging.numerics import compare
from sandbox.types import TOLERANCES, Record

Kind = Literal["dict", "list", "tensor", "float", "integer", "bool", "text", "none", "other"]
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32,
        torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
        torch.float8_e4m3fn, torch.float8_e5m2,
    )
}  # fmt: skip
TOLERANCE_CODES = {torch.float64: "T32", torch.float16: "T16", torch.bfloat16: "TB"}
IN_LIST = re.compile(r"\[\d+\]$")


class Leaf(Record):
    """A value, or a container whose members follow."""

    path: str
    """`['test_case_1'][0]`; "" for all of it."""
    kind: Kind
    """`list`: tuples and shapes too."""
    value: str = ""
    """Members of a container, a float's hex digits, an integer, a text, the name of another type."""
    dtype: str = ""
    shape: tuple[int, ...] = ()
    offset: int = 0
    """Of a tensor's numbers, in bytes."""


class Results(NamedTuple):
    """The results of one run, and the memory that holds its tensors' numbers."""

    leaves: tuple[Leaf, ...]
    memory: mmap.mmap

    def tensor(self, leaf: Leaf) -> torch.Tensor:
        """A tensor's numbers, or a float as one of float32.

        Raises:
            ValueError: what is said about it is not true.
            OverflowError: the float is none.
        """
        if leaf.kind == "float":
            return torch.tensor(float.fromhex(leaf.value), dtype=torch.float32)
        dtype = DTYPES.get(leaf.dtype)
        if dtype is None or min((*leaf.shape, leaf.offset)) < 0 or leaf.offset % dtype.itemsize:
            raise ValueError(f"there is no tensor of {leaf.dtype} {leaf.shape} at {leaf.offset}")
        count = 1
        for size in leaf.shape:
            count *= size
        if leaf.offset + count * dtype.itemsize > len(self.memory):
            raise ValueError(f"a tensor of shape {leaf.shape} does not fit into its memory")
        if not count:
            return torch.empty(leaf.shape, dtype=dtype)
        return torch.frombuffer(self.memory, dtype=dtype, count=count, offset=leaf.offset).view(leaf.shape)


def telling(gold: Results) -> bool:
    """Whether anything in it depends on what was computed: a tensor of numbers, or a number that is no shape's."""
    return any(
        (leaf.kind == "tensor" and leaf.dtype != "bool" and 0 not in leaf.shape)
        or leaf.kind == "float"
        or (leaf.kind == "integer" and not IN_LIST.search(leaf.path))
        for leaf in gold.leaves
    )


def difference(gold: Results, answer: Results) -> str:
    """Where an answer's results are not the gold's, and how; "" where they agree."""
    theirs = {leaf.path: leaf for leaf in answer.leaves}
    for leaf in gold.leaves:
        other = theirs.pop(leaf.path, None)
        if other is None:
            return f"result{leaf.path} is missing"
        reason = _unlike(leaf, other)
        if not reason and leaf.kind in ("tensor", "float"):
            try:
                reason = _numbers(gold.tensor(leaf), answer.tensor(other))
            except (ValueError, OverflowError) as error:
                reason = f"is nothing to compare: {error}"
        if reason:
            return f"result{leaf.path} {reason}"
    return f"result{next(iter(theirs))} is not among the gold's" if theirs else ""


def _unlike(gold: Leaf, answer: Leaf) -> str:
    """What differs but for numbers."""
    if answer.kind != gold.kind:
        return f"is of kind {answer.kind}, not {gold.kind}"
    if gold.kind == "tensor" and (answer.dtype, answer.shape) != (gold.dtype, gold.shape):
        return f"is {answer.dtype} {list(answer.shape)}, not {gold.dtype} {list(gold.shape)}"
    if gold.kind in ("dict", "list") and answer.value != gold.value:
        return f"has {answer.value} members, not {gold.value}"
    if gold.kind not in ("tensor", "float") and answer.value != gold.value:
        return f"is {answer.value[:80]}, not {gold.value[:80]}"
    return ""


def _numbers(gold: torch.Tensor, answer: torch.Tensor) -> str:
    if gold.is_complex():
        gold, answer = torch.view_as_real(gold), torch.view_as_real(answer)
    truth = gold.double() if gold.is_floating_point() else gold
    reason = compare(answer, truth, gold, TOLERANCES[TOLERANCE_CODES.get(gold.dtype, "TT")]).reason
    return reason and f"is {answer.item():g}, not {gold.item():g}" if gold.dim() == 0 else reason
