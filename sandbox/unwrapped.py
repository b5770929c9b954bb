"""Seen through: what torch wraps around a candidate's own functions. Runs in the tracer.

`torch.compile` would make kernels that nobody has checked, and custom operators hide what they do. Neither changes what
is computed, so the functions behind them are called, and what they ask for is recorded.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch._library import triton as triton_operators
from torch._library.custom_ops import OPDEFS


def unwrap_compiled() -> None:
    """`torch.compile` leaves functions as they are, `wrap_triton` kernels. For good, in this process."""
    torch.compile = _compile
    triton_operators.wrap_triton_enabled.value = False


def _compile(model: Any = None, **options: Any) -> Any:
    return (lambda function: function) if model is None else model


def implementation(name: str) -> Callable[..., Any] | None:
    """What the candidate's operator `name` does on a GPU, if that is one of `torch.library.custom_op`."""
    if name not in OPDEFS:
        return None
    operator: Any = OPDEFS[name]
    known = operator._backend_fns
    found: Callable[..., Any] = known.get("cuda") or known.get(None) or operator._init_fn
    return found
