"""Executes the torch operators of a plan, on whatever device its views live: the CPU interpreter and the GPU replayer.

Covered: only operators of `aten_names`, called through `torch.ops` with arguments that the plan spells out; shapes and
dtypes of results are found out on `meta` tensors before anything is allocated; an operator that writes to an argument
must return it. Not covered: out-of-range indices, which fault on a GPU as they do in any kernel.
"""

from collections.abc import Callable
from typing import Any

import torch

from sandbox.plans.aten_names import allowed
from sandbox.plans.plan import (
    DtypeArgument,
    ListArgument,
    TensorArgument,
    TorchArgument,
    TorchCall,
    View,
    decode_number,
)
from sandbox.plans.recurrent import STAND_INS

ViewOf = Callable[[View], torch.Tensor]


def _batch_norm(*arguments: Any, **keywords: Any) -> Any:
    """With cuDNN where `torch.nn.functional.batch_norm` would choose it: a plan is recorded where there is none."""
    return torch.ops.aten._batch_norm_impl_index(*arguments, **keywords, cudnn_enabled=torch.backends.cudnn.enabled)[:3]


_AS_EAGER: dict[str, Callable[..., Any]] = {"aten::native_batch_norm": _batch_norm}
"""What PyTorch would run in place of an operator of a plan, on the device at hand."""


def check(call: TorchCall) -> None:
    """Whether the call is what it claims to be, without any memory.

    Raises:
        ValueError: the operator is not allowed or unknown, or its results have other shapes or dtypes than recorded, or
            it writes to an argument that it does not return.
    """
    operator = _operator(call)
    values = {}
    for argument, given in _given(operator, call).items():
        values[argument.name] = getattr(given, "value", None)
        written = argument.alias_info is not None and argument.alias_info.is_write
        if written and not (isinstance(given, TensorArgument) and given.view in call.results):
            raise ValueError(f"{call.name} changes {argument.name!r}, which is not among its results")
    if values.get("dropout_p") or (values.get("dropout") and values.get("train")):
        raise ValueError(f"{call.name} with dropout draws random numbers; call .eval(), or set it to 0")
    try:
        found = _called(STAND_INS.get(operator.overloadpacket.__name__, operator), call, _on_meta)
    except (RuntimeError, NotImplementedError, IndexError, TypeError) as error:
        raise ValueError(f"{call.name} cannot be called so: {error}"[:300]) from error
    for view, result in zip(call.results, found, strict=True):
        compare(call, view, result)


def run(call: TorchCall, view_of: ViewOf) -> list[torch.Tensor]:
    """Call the operator once; returns what it returns, one tensor for each of `call.results`.

    Args:
    view_of: the tensor, in memory of the plan, for a view.

    Raises:
        ValueError: the operator is not allowed or unknown.
    """
    operator = _operator(call)
    return _called(operator, call, view_of, _AS_EAGER.get(call.name, operator))


def _called(
    operator: Any, call: TorchCall, view_of: ViewOf, function: Callable[..., Any] | None = None
) -> list[torch.Tensor]:
    arguments = [_value(argument, view_of) for argument in call.arguments]
    keywords = {name: _value(argument, view_of) for name, argument in call.keywords.items()}
    if any(argument.name == "device" for argument in operator._schema.arguments):
        keywords["device"] = view_of(call.results[0]).device
    result = (function or operator)(*arguments, **keywords)
    tensors = [result] if isinstance(result, torch.Tensor) else list(result)
    if len(tensors) != len(call.results):
        raise ValueError(f"{call.name} returns {len(tensors)} tensors, not {len(call.results)}")
    return tensors


def execute(call: TorchCall, view_of: ViewOf) -> None:
    """`run`, with functional results copied to where the plan wants them. Call `check` once before.

    Raises:
        ValueError: a result has another shape or dtype than recorded.
    """
    for view, result in zip(call.results, run(call, view_of), strict=True):
        compare(call, view, result)
        target = view_of(view)
        if target.numel() and result.data_ptr() != target.data_ptr():  # in-place operators return the target itself
            target.copy_(result)


def compare(call: TorchCall, view: View, result: torch.Tensor) -> None:
    """What was recorded as empty may be anything: nothing can be read from it.

    Raises:
        ValueError: a result has another shape or dtype than recorded.
    """
    recorded = (view.shape, getattr(torch, view.dtype))
    if 0 not in view.shape and recorded != (list(result.shape), result.dtype):
        found = f"{result.dtype}{list(result.shape)}"
        raise ValueError(f"{call.name} returns {found}, recorded is {view.dtype}{view.shape}")


def _operator(call: TorchCall) -> Any:
    if not allowed(call.name, call.overload):
        raise ValueError(f"torch operator {call.name}.{call.overload} is not allowed")
    packet = getattr(torch.ops.aten, call.name.removeprefix("aten::"))
    overload = call.overload or "default"
    if overload not in packet.overloads():
        raise ValueError(f"torch operator {call.name} has no overload {call.overload!r}")
    operator = getattr(packet, overload)
    if not all("Tensor" in str(value.type) for value in operator._schema.returns):
        raise ValueError(f"torch operator {call.name}.{call.overload} returns something that is no tensor")
    return operator


def _given(operator: Any, call: TorchCall) -> dict[Any, TorchArgument]:
    """The schema's arguments with what the call gives for them."""
    schema = operator._schema.arguments
    if len(call.arguments) > len(schema):
        raise ValueError(f"{call.name} takes at most {len(schema)} arguments")
    given = dict(zip(schema, call.arguments, strict=False))
    return given | {argument: call.keywords[argument.name] for argument in schema if argument.name in call.keywords}


def _value(argument: TorchArgument, view_of: ViewOf) -> Any:
    if isinstance(argument, TensorArgument):
        return view_of(argument.view)
    if isinstance(argument, ListArgument):
        return [_value(item, view_of) for item in argument.items]
    if isinstance(argument, DtypeArgument):
        return getattr(torch, argument.name)
    value = argument.value
    return decode_number(value) if isinstance(value, str) and value.startswith("float:") else value


def _on_meta(view: View) -> torch.Tensor:
    return torch.empty_strided(view.shape, view.strides, dtype=getattr(torch, view.dtype), device="meta")
