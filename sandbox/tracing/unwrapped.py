"""Seen through: what torch wraps around a candidate's own functions. Runs in the tracer.

`torch.compile` would make kernels that nobody has checked, and custom operators hide what they do. Neither changes what
is computed, so the functions behind them are called, and what they ask for is recorded.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch._library import triton as triton_operators
from torch._library.custom_ops import OPDEFS

_registered: dict[str, Callable[..., Any]] = {}
"""What `torch.library.Library` was told to call on a GPU."""


def unwrap() -> None:
    """`torch.compile` leaves functions as they are, `wrap_triton` kernels, and a `Library` tells us what it gets. For
    good, in this process.
    """
    library: Any = torch.library.Library
    register = library.impl

    def impl(self: Any, name: Any, function: Any, dispatch_key: str = "", **options: Any) -> Any:
        key, operator = dispatch_key or self.dispatch_key, getattr(name, "_schema", None)
        path = name if operator is None else operator.name
        path = path if "::" in path else f"{self.ns}::{path}"
        known = key in ("CUDA", "CompositeExplicitAutograd") and not options.get("with_keyset")
        if known and (key == "CUDA" or path not in _registered):
            _registered[path] = function
        return register(self, name, function, dispatch_key, **options)

    torch.compile = _compile
    triton_operators.wrap_triton_enabled.value = False
    library.impl = impl


def _compile(model: Any = None, **options: Any) -> Any:
    return (lambda function: function) if model is None else model


def implementation(name: str) -> Callable[..., Any] | None:
    """What the candidate's operator `name` does on a GPU, if it is one of its own."""
    if name not in OPDEFS:
        return _registered.get(name)
    operator: Any = OPDEFS[name]
    known = operator._backend_fns
    found: Callable[..., Any] = known.get("cuda") or known.get(None) or operator._init_fn
    return found
