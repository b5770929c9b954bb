"""Values that a candidate passes to kernels and torch operators, as the plan writes them. Runs in the tracer.

`view` is the recorder's function that turns a tensor into data and numbers its memory.
"""

from collections.abc import Callable
from typing import Any

import torch

from sandbox.plans.plan import encode_number
from sandbox.triton_private import trace as triton_trace
from sandbox.triton_private.globals import of_language

Data = dict[str, Any]
ViewOf = Callable[[torch.Tensor], Data]
DROPPED_KEYWORDS = frozenset(["device", "layout", "pin_memory", "memory_format", "generator"])
"""Results have their memory and strides in the plan, and where they lie is the replayer's concern; random operators are
never replayed."""
TORCH_NAMES = {
    "fp8e4nv": "float8_e4m3fn",
    "fp8e5": "float8_e5m2",
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp32": "float32",
    "fp64": "float64",
    "int1": "bool",
}


class UnwritableError(Exception):
    """A torch operator got something that the plan has no words for."""


def kernel_argument(value: Any, kind: Any, view: ViewOf) -> Data:
    """One argument of a launch.

    Args:
    kind: its entry in Triton's signature: a type, `constexpr`, or a tuple of them.

    Raises:
        TypeError: no kernel can have that.
    """
    value = _plain(getattr(value, "value", value) if type(value).__name__ == "constexpr" else value)
    constexpr = kind == "constexpr"
    if isinstance(value, torch.Tensor):
        return {"kind": "pointer", "view": view(value)}
    if isinstance(value, tuple | list):
        kinds = kind if isinstance(kind, tuple | list) else [kind] * len(value)
        items = [kernel_argument(item, k, view) for item, k in zip(value, kinds, strict=True)]
        return {"kind": "tuple", "items": items, "fields": [str(name) for name in getattr(value, "_fields", ())]}
    if ":" in (path := of_language(value)):
        return {"kind": "language", "name": path}
    if triton_trace.is_jit_function(value):
        return {"kind": "function", "name": value.fn.__name__}
    if type(value).__name__ == "dtype" and not isinstance(value, torch.dtype):
        return {"kind": "dtype", "name": value.name}
    if type(value).__name__ == "TensorDescriptor":
        return _descriptor(value, view)
    if type(value).__name__ == "TensorWrapper":  # triton.reinterpret: same memory, other dtype
        return {"kind": "pointer", "view": {**view(value.base), "dtype": _torch_name(value.dtype)}}
    number = value is None or type(value) in (bool, int, float, str)
    if not number and not hasattr(value, "__index__"):
        raise TypeError(f"a kernel argument of type {type(value).__name__} is not supported")
    plain = encode_number(value) if number else int(value)
    return {"kind": "scalar", "value": plain, "constexpr": constexpr, "type": "" if constexpr else str(kind)}


def _plain(value: Any) -> Any:
    """What numpy's float64 and members of a `str` enumeration are to Triton: an ordinary float, and their text."""
    if isinstance(value, float):
        return float(value)
    return str.__str__(value) if isinstance(value, str) else value


def module_constant(name: str, value: Any, view: ViewOf) -> Data | None:
    """Module values that kernels read: numbers, strings, constexprs, dtypes, and the file's kernel functions under
    another name; modules and other functions are not data.
    """
    if triton_trace.is_jit_function(value):
        known = value.fn.__name__ == name or value.fn.__module__.startswith("triton.")
        return None if known else kernel_argument(value, "constexpr", view)
    constexpr = type(value).__name__ == "constexpr"
    value = getattr(value, "value", value) if constexpr else value
    plain = value is None or type(value) in (bool, int, float, str, tuple) or type(value).__name__ == "dtype"
    return kernel_argument(value, "constexpr", view) if plain and not isinstance(value, torch.dtype) else None


def torch_call(operator: Any, args: Any, kwargs: dict[str, Any], results: list[torch.Tensor], view: ViewOf) -> Data:
    """A call of a torch operator; with its name alone where it cannot be written."""
    step: Data = {"kind": "torch", "name": operator._schema.name, "overload": operator._schema.overload_name}
    if operator._schema.name == _CPU_ATTENTION:  # what a CPU does for an operator that every device has
        step |= {"name": "aten::scaled_dot_product_attention", "overload": ""}
        given = dict(zip(("dropout_p", "is_causal"), args[3:], strict=False))
        given |= {"enable_gqa": True} if args[0].shape[-3] != args[1].shape[-3] else {}
        args, kwargs, results = args[:3], {**given, **kwargs}, results[:1]
    if operator.namespace == "recurrent":
        step |= {"name": operator.name().replace("recurrent::", "aten::"), "overload": "input"}
    try:
        keywords = {k: _torch_argument(v, view) for k, v in kwargs.items() if k not in DROPPED_KEYWORDS}
        written = {"arguments": [_torch_argument(value, view) for value in args], "keywords": keywords}
    except UnwritableError:
        return step
    return {**step, **written, "results": [view(result) for result in results]}


_CPU_ATTENTION = "aten::_scaled_dot_product_flash_attention_for_cpu"


def _torch_argument(value: Any, view: ViewOf) -> Data:
    if isinstance(value, torch.Tensor):
        return {"kind": "tensor", "view": view(value)}
    if value is None or type(value) in (bool, int, float, str):
        return {"kind": "value", "value": encode_number(value)}
    if isinstance(value, torch.dtype):
        return {"kind": "dtype", "name": str(value).removeprefix("torch.")}
    if isinstance(value, tuple | list):
        return {"kind": "list", "items": [_torch_argument(item, view) for item in value]}
    raise UnwritableError(f"a value of type {type(value).__name__}")


def _descriptor(value: Any, view: ViewOf) -> Data:
    base = value.base.as_strided([int(n) for n in value.shape], [int(n) for n in value.strides])
    return {
        "kind": "descriptor",
        "view": view(base),
        "block_shape": [int(n) for n in value.block_shape],
        "padding": str(getattr(value, "padding", "zero")),
        "round_to_tf32": bool(getattr(value, "round_f32_to_tf32", False)),
    }


def _torch_name(dtype: Any) -> str:
    return TORCH_NAMES.get(dtype.name, str(dtype.name))
