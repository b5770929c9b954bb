"""Triton's private interfaces: whether anything of Triton's own has been replaced, found without touching it.

To read a name is to count a reference, which writes to the object. In a forked child each first write to a page copies
it, and Triton's two thousand names lie on half of all pages that a child writes to.
"""

import ctypes
import functools
import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

OWN_MODULES = ("triton.language", "triton.compiler", "triton.runtime.jit", "triton.runtime.autotuner")
"""What makes of a kernel's source what it does."""

_next_entry = ctypes.pythonapi.PyDict_Next
_next_entry.argtypes = (ctypes.c_void_p,) * 4


class PatchedTritonError(Exception):
    """A candidate has changed Triton; it is judged, and must work, with Triton as it is."""


def own_names() -> Callable[[], None]:
    """A check of all names that Triton's modules and classes have now, for a candidate's sake: its kernels are compiled
    elsewhere, where what it has replaced is as it was.

    The check raises `PatchedTritonError` where one of them has another value. Names that are new do not matter.
    """
    known = [(name, address, list(_entries(address))) for name, address in _places()]

    def check() -> None:
        for name, address, entries in known:
            found = _entries(address)
            for entry in entries:
                if (now := next(found, (0, 0))) != entry:  # a name that is gone must not be read
                    which = f".{ctypes.cast(now[0], ctypes.py_object).value}" if now[0] == entry[0] else ""
                    raise PatchedTritonError(f"Triton's own {name}{which} may not be replaced")

    return check


@functools.cache
def _places() -> tuple[tuple[str, int], ...]:
    """Names and addresses of the dictionaries of Triton's modules and their classes, which live as long as this
    process. Asked once, before a warm process forks.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    for module in [m for name, m in sorted(sys.modules.items()) if name.startswith(OWN_MODULES)]:
        found.append((module.__name__, vars(module)))
        classes = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
        found += [(c.__name__, d) for c in classes for d in gc.get_referents(vars(c)) if isinstance(d, dict)]
    _kept.extend(names for _, names in found)
    return tuple((name, id(names)) for name, names in found)


_kept: list[dict[str, Any]] = []


def _entries(address: int) -> Iterator[tuple[int, int]]:
    """Addresses of a dictionary's keys and values, in their order."""
    at, key, value = ctypes.c_ssize_t(0), ctypes.c_void_p(), ctypes.c_void_p()
    places = ctypes.byref(at), ctypes.byref(key), ctypes.byref(value)
    while _next_entry(address, *places):
        yield key.value or 0, value.value or 0
