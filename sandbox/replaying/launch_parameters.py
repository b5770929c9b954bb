"""Run-time parameters of a launch as the driver wants them: raw bytes, checked against what the kernel really takes.

A plan says what the candidate's Python passed; the compiler says what the kernel's parameters are. Where they disagree
the launch is refused: an integer passed as a pointer would be an address of the candidate's choice.
"""

import re
import struct
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sandbox.plans.plan import Scalar, decode_number

SCRATCH_PARAMETERS = 2
"""Triton's trailing pointers: global scratch and profile scratch."""
_FLOATS = {"fp64": "<d", "fp32": "<f", "f32": "<f", "fp16": "<e"}
_KINDS: tuple[tuple[str, "Kind"], ...] = (
    (r"!tt\.ptr<.*", "pointer"),
    (r"!tt\.tensordesc<.*", "descriptor"),
    (r"i\d+", "integer"),
    (r"b?f\d+\w*", "float"),
)

Kind = Literal["pointer", "descriptor", "integer", "float"]


class ParameterError(Exception):
    """The launch does not fit the kernel: the candidate's fault. One sentence."""


class Value(NamedTuple):
    """One run-time parameter."""

    kind: Kind
    value: int | float | bytes
    type: str = ""
    """Triton's name for the type of a float."""


def scalar(argument: Scalar) -> Value:
    """A number that the candidate passed.

    Raises:
        ParameterError: it is no number.
    """
    value = decode_number(argument.value) if isinstance(argument.value, str) else argument.value
    if value is None:
        raise ParameterError("None is no run-time argument")
    if argument.type in _FLOATS or argument.type == "bf16":
        return Value("float", float(value), argument.type)
    return Value("integer", int(value))


def pack(symbol: str, values: Sequence[Value], types: Sequence[str], sizes: Sequence[int]) -> list[bytes]:
    """Raw little-endian bytes of each parameter.

    Args:
        symbol: the kernel, for messages.
        types: MLIR types of the kernel's parameters, from the compiler.
        sizes: bytes of each, from the driver, the two of `SCRATCH_PARAMETERS` included.

    Raises:
        ParameterError: number, kind or size of the arguments is not the kernel's.
    """
    if not len(values) == len(types) == len(sizes) - SCRATCH_PARAMETERS:
        raise ParameterError(f"kernel {symbol} takes {len(types)} arguments, the launch has {len(values)}")
    packed = []
    for number, (value, kind, size) in enumerate(zip(values, types, sizes, strict=False)):
        if value.kind != _kind(kind):
            raise ParameterError(f"argument {number} of kernel {symbol} is a {value.kind}, the kernel takes {kind}")
        packed.append(_raw(value, size))
        if len(packed[-1]) != size:
            raise ParameterError(f"argument {number} of kernel {symbol} has {len(packed[-1])} bytes, not {size}")
    return packed


def _kind(mlir_type: str) -> Kind:
    for pattern, kind in _KINDS:
        if re.fullmatch(pattern, mlir_type, re.DOTALL):
            return kind
    raise ParameterError(f"parameters of type {mlir_type} are not supported")


def _raw(value: Value, size: int) -> bytes:
    if isinstance(value.value, bytes):
        return value.value
    if isinstance(value.value, int):
        return (value.value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    if value.type == "bf16":
        return struct.pack("<f", value.value)[2:]
    try:
        return struct.pack(_FLOATS[value.type], value.value)
    except OverflowError as error:
        raise ParameterError(f"argument {value.value} does not fit {value.type}") from error
