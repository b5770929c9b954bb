"""Recurrent layers of torch as one operator each, as a plan has them, where torch itself takes steps apart.

On a CPU, fake or `meta`, torch runs a GRU as some thousand operators; on a GPU it is one call of cuDNN. So the tracer
calls stand-ins with the same arguments that know nothing but shapes, and `sandbox.plans.aten` checks with them too.
"""

from functools import partial
from typing import Any

import torch

_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
_torch_library: Any = torch.library  # typed only in part
_library = _torch_library.Library("recurrent", "DEF")


def _results(
    gates: int, x: torch.Tensor, hx: Any, params: list[torch.Tensor], has_biases: bool, num_layers: int, dropout: float,
    train: bool, bidirectional: bool, batch_first: bool,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """Output [T, B, D·H] (or [B, T, D·H], as the input), and the last states, [layers·D, B, H] as the first ones.

    Raises:
        RuntimeError: weights or states have other shapes than such a layer's, or another dtype than its input.
    """
    states = [hx] if isinstance(hx, torch.Tensor) else list(hx)
    directions, hidden = 1 + bidirectional, states[0].shape[-1]
    wanted: list[tuple[int, ...]] = [(num_layers * directions, x.shape[0 if batch_first else 1], hidden)] * len(states)
    for layer in range(min(num_layers, len(params))):
        rows, width = gates * hidden, directions * hidden if layer else x.shape[-1]
        wanted += directions * [(rows, width), (rows, hidden), *[(rows,)] * (2 * has_biases)]
    if x.dim() != 3 or num_layers < 1 or [tuple(tensor.shape) for tensor in (*states, *params)] != wanted:
        raise RuntimeError("weights or states have other shapes than the layer's (projections are not supported)")
    if any(tensor.dtype != x.dtype for tensor in (*states, *params)):
        raise RuntimeError("weights or states have another dtype than the input")
    return x.new_empty((*x.shape[:2], directions * hidden)), *(torch.empty_like(state) for state in states)


for _name, _gates in _GATES.items():
    _schema = str(getattr(torch.ops.aten, _name).input._schema)
    _library.define(_schema.replace(f"aten::{_name}.input", _name))
    _library.impl(_name, partial(_results, _gates), "Meta")

STAND_INS: dict[str, Any] = {name: getattr(torch.ops.recurrent, name).default for name in _GATES}
"""By the name of the function in `torch`, for its overload `input`; packed sequences have none."""
_FUNCTIONS = {getattr(torch, name): stand_in for name, stand_in in STAND_INS.items()}


def stand_in(function: Any, arguments: Any) -> Any:
    """What to call on fake tensors instead of a torch function: itself, if it is no recurrent layer."""
    packed = len(arguments) < 4 or not isinstance(arguments[3], bool)
    return function if packed else _FUNCTIONS.get(function, function)
