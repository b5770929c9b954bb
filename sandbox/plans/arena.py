"""One piece of memory per case, on the CPU or on a GPU: inputs, scratch and outputs, each between guard bands.

The judge lays it out, fills it and checks it afterwards; the process that runs kernels only maps it. Scratch and
outputs start poisoned (`sandbox.judging.exam`).
"""

import fcntl
import mmap
import os
import secrets
from collections.abc import Sequence

import torch

from sandbox.types import Record

GUARD_BYTES = 256
ALIGNMENT = 256
TMA_BYTES = 16
"""What the tensor memory accelerator writes at a time: the end of a tensor of one dimension it keeps to no closer than
this (seen on an H200; behind the end, stores write what the block holds, and reductions add it)."""
_F_ADD_SEALS, _SEALS = 1033, 0x1 | 0x2 | 0x4  # seal against sealing, shrinking, growing


class Slot(Record):
    """Where a buffer lies."""

    offset: int
    nbytes: int


class Layout(Record):
    """Offsets of all buffers of a plan, and the size of the whole."""

    slots: tuple[Slot, ...]
    nbytes: int


def layout(sizes: Sequence[int], spread: int = 1) -> Layout:
    """Buffers one after the other, aligned as CUDA aligns, a guard band before and after each.

    With `spread` above 1 the bands are 1 to `spread` units long, drawn in secret, so that no fixed distance leads from
    one buffer to another.
    """
    slots, end = [], GUARD_BYTES
    for size in sizes:
        slots.append(Slot(offset=end, nbytes=size))
        end = _align(end + size) + GUARD_BYTES * (1 + secrets.randbelow(spread))
    return Layout(slots=tuple(slots), nbytes=max(_align(end), ALIGNMENT))


def create(nbytes: int) -> tuple[int, torch.Tensor]:
    """Anonymous shared memory: its descriptor, and its bytes as a uint8 tensor of shape (nbytes,).

    The size is sealed, so that nobody can make the other side fault by shrinking it.
    """
    fd = os.memfd_create("arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, nbytes)
    fcntl.fcntl(fd, _F_ADD_SEALS, _SEALS)
    return fd, attach(fd, nbytes)


def attach(fd: int, nbytes: int) -> torch.Tensor:
    """Map shared memory as a uint8 tensor of shape (nbytes,)."""
    return torch.frombuffer(mmap.mmap(fd, nbytes), dtype=torch.uint8)


def guards(arena: torch.Tensor, where: Layout, unit: int = 1) -> list[torch.Tensor]:
    """The bytes that belong to no buffer; `arena` is (nbytes,) or, with several sets of buffers, (sets, nbytes). A
    buffer has the last `unit` bytes that it begins to itself.
    """
    found, start = [], 0
    for slot in where.slots:
        found.append(arena[..., start : slot.offset])
        start = -(-(slot.offset + slot.nbytes) // unit) * unit
    return [*found, arena[..., start:]]


def strided(
    arena: torch.Tensor, slot: Slot, dtype: torch.dtype, shape: Sequence[int], strides: Sequence[int], offset: int
) -> torch.Tensor:
    """A tensor inside a buffer; `strides` and `offset` in elements."""
    usable = slot.nbytes - slot.nbytes % dtype.itemsize
    flat = arena[slot.offset : slot.offset + usable].view(dtype)
    return flat.as_strided(tuple(shape), tuple(strides), flat.storage_offset() + offset)


def _align(n: int) -> int:
    return -(-n // ALIGNMENT) * ALIGNMENT
