"""What templates return: kernels as data, and the host's lines before them. `launch` writes them down in a style."""

from typing import NamedTuple


class Constant(NamedTuple):
    """A `tl.constexpr` argument."""

    value: str
    """Of the host: a number, or an expression in the kernel's sizes."""
    tuned: tuple[int, ...] = ()
    """Other values that are right too, for `@triton.autotune`."""


class Kernel(NamedTuple):
    name: str
    tensors: tuple[str, ...]
    """Host names, in the order of the arguments."""
    sizes: dict[str, str]
    """Further arguments: name in the kernel → expression on the host."""
    constants: dict[str, Constant]
    grid: tuple[str, ...]
    """Expressions in sizes of the host and constants."""
    body: tuple[str, ...]
    helpers: tuple[str, ...] = ()
    """Device functions."""


class Lowered(NamedTuple):
    """A program as Triton code."""

    host: tuple[str, ...]
    """Lines before the launches: sizes and allocations."""
    kernels: tuple[Kernel, ...]
    result: str
