"""Frames between our processes: a length, JSON text, and file descriptors beside it. Never pickle."""

import json
import os
import socket
import struct
from math import isfinite
from typing import Any

_HEADER = struct.Struct("<Q")
MAX_FRAME = 64 << 20
"""Between our own processes; what a candidate may send is capped far lower, where it is read."""
_MAX_FDS = 16


class WireError(Exception):
    """The other side is gone, or what it sent is no frame."""


def dumps(message: Any) -> bytes:
    """JSON without NaN: what cannot be said in JSON must not travel.

    Raises:
        ValueError: `message` holds NaN, infinity, or text that is no valid Unicode.
    """
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode()


def loads(data: bytes) -> Any:
    """Inverse of `dumps`.

    Raises:
        ValueError: no JSON, or NaN or infinity in it, which Python's reader would let through.
    """
    return json.loads(data, parse_constant=_finite, parse_float=_finite)


def loads_foreign(data: bytes) -> Any:
    """`loads` of what a candidate may have written: text too is what others can write down, without lone surrogates.

    Raises:
        ValueError: no JSON, or no valid Unicode in it.
    """
    found = loads(data)
    if b"\\ud" in data.lower():
        json.dumps(found, ensure_ascii=False).encode()
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):  # "NaN", "Infinity", but "1e999" too
        raise ValueError(f"{text} is no number in JSON")
    return number


def send(channel: socket.socket, message: Any, fds: tuple[int, ...] = ()) -> None:
    """Send one frame with `fds`.

    Raises:
        WireError: the other side is gone.
    """
    body = dumps(message)
    try:
        if fds:
            socket.send_fds(channel, [_HEADER.pack(len(body))], fds)
        else:
            channel.sendall(_HEADER.pack(len(body)))
        channel.sendall(body)
    except OSError as error:
        raise WireError(f"cannot send: {error}") from error


def receive(channel: socket.socket) -> tuple[Any, list[int]]:
    """Wait for one frame; the caller owns the descriptors.

    Raises:
        WireError: the other side is gone, or sent no frame.
    """
    try:
        head, fds, _, _ = socket.recv_fds(channel, _HEADER.size, _MAX_FDS)
        head += _read(channel, _HEADER.size - len(head)) if head else b""
        if len(head) < _HEADER.size:
            raise WireError("the other process has ended")
        (size,) = _HEADER.unpack(head)
        if size > MAX_FRAME:
            raise WireError(f"frame of {size} bytes exceeds {MAX_FRAME}")
        body = _read(channel, size)
    except OSError as error:
        raise WireError(f"cannot receive: {error}") from error
    if len(body) < size:
        raise WireError("the other process ended in the middle of a frame")
    try:
        return loads(body), fds
    except ValueError as error:
        raise WireError(f"no JSON: {error}") from error


def _read(channel: socket.socket, size: int) -> bytes:
    parts = []
    while size > 0:
        part = channel.recv(min(size, 1 << 20))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    """Write everything to a pipe, however slowly the other side reads."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
