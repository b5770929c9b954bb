"""An operator's call as a person would write it: its public name, keywords, the names of its parameters, in words."""

import inspect
import keyword
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from data_pipeline.opdb.template import Call, Hole, Trailing

NAMES = {"input": "x", "self": "x", "other": "y", "tensor": "x", "tensors": "x", "indices": "index"}
OTHERS = "xyzuvwabcdefgh"
MAX_NAME = 44
SWAPPED = ("einsum", "polygamma", "where", "nn.functional.embedding")
"""OpInfo passes their first two arguments the other way round than they are called."""


class Parameter(NamedTuple):
    name: str
    default: Any
    """`inspect.Parameter.empty` if there is none."""


class Text(NamedTuple):
    """One call in words and code."""

    function: str
    """`torch.softmax`, `F.conv2d`."""
    expression: str
    inputs: tuple[str, ...]
    """Names of the tensors, by the number of their hole."""
    entry_point: str


def public(name: str) -> tuple[str, Callable[..., Any]] | None:
    """What a person writes for OpInfo's `name`, and the function that it names; None if there is no such thing."""
    short = name.removeprefix("nn.functional.")
    text = f"F.{short}" if short != name else f"torch.{name}"
    value: Any = torch.nn.functional if short != name else torch
    for part in short.split("."):
        value = getattr(value, part, None)
        if value is None:
            return None
    return (text, value) if callable(value) else None


def parameters(name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> list[Parameter]:
    """The parameters of the overload that takes these arguments; [] where torch does not tell."""
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        found = {}.values()
    if found and not any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in found):
        return [Parameter(p.name, p.default) for p in found]
    operator = name.removeprefix("nn.functional.").replace(".", "_")
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{operator}"):
        if all(_takes(str(a.type), value) for a, value in zip(schema.arguments, args, strict=False)) and (
            len(args) <= len(schema.arguments) and set(kwargs) <= {a.name for a in schema.arguments}
        ):
            empty = inspect.Parameter.empty
            return [Parameter(a.name, a.default_value if a.has_default_value() else empty) for a in schema.arguments]
    return []


def simplified(call: Call, known: Sequence[Parameter]) -> Call:
    """The same call with literals as keywords where they have a name, and without those that are the default."""
    kwargs = dict(call.kwargs)
    args = list(call.args)
    while 1 < len(args) <= len(known) and not holes(args[-1]) and known[len(args) - 1].name not in NAMES:
        kwargs = {known[len(args) - 1].name: args.pop()} | kwargs
    defaults = {p.name: p.default for p in known}
    return Call(
        call.function, tuple(args), {n: v for n, v in kwargs.items() if not _same(defaults.get(n), v, defaults)}
    )


def write(name: str, call: Call, known: Sequence[Parameter]) -> Text | None:
    """The call in code; None if an argument has no literal."""
    found = public(name)
    if found is None:
        return None
    function = found[0]
    names = _input_names(call, known)
    try:
        parts = [literal(value, names) for value in call.args]
        parts += [f"{key}={literal(value, names)}" for key, value in call.kwargs.items()]
    except ValueError:
        return None
    expression = f"{function}({', '.join(parts)})"
    return Text(function, expression, names, entry_name(name, call, known))


def holes(value: Any) -> list[int]:
    """Numbers of the holes in a structure, in order."""
    if isinstance(value, Hole):
        return [value.number]
    if isinstance(value, list | tuple) and not isinstance(value, Trailing):
        return [number for item in value for number in holes(item)]
    if isinstance(value, dict):
        return [number for item in value.values() for number in holes(item)]
    return []


def literal(value: Any, names: Sequence[str]) -> str:
    """Python text of an argument.

    Raises:
        ValueError: there is none.
    """
    match value:
        case Hole():
            return names[value.number]
        case Trailing():
            return f"{names[0]}.shape[-{value.axes}:]"
        case bool() | int() | str() | None:
            return repr(value).replace("'", '"')
        case float() if math.isfinite(value):
            return repr(value)
        case float():
            return f'float("{value}")'
        case torch.dtype():
            return str(value)
        case torch.Size():
            return literal(tuple(value), names)
        case list():
            return f"[{', '.join(literal(item, names) for item in value)}]"
        case tuple():
            return f"({', '.join(literal(item, names) for item in value)}{',' * (len(value) == 1)})"
    raise ValueError(f"{value!r} has no literal")


def entry_name(name: str, call: Call, known: Sequence[Parameter]) -> str:
    """`softmax_dim1`, `max_pool2d_kernel_size3_stride2`: the operator and the literals that make the program."""
    base = name.removeprefix("nn.functional.").replace(".", "_").strip("_")
    places = [p.name for p in known] + [""] * len(call.args)
    given = [(places[i], value) for i, value in enumerate(call.args) if not holes(value)]
    parts = [_suffix(key, value) for key, value in [*given, *call.kwargs.items()] if not holes(value)]
    text = base
    for part in parts:
        if part and len(text) + len(part) < MAX_NAME:
            text += f"_{part}"
    text = re.sub(r"\W+", "_", text).strip("_").lower()
    return f"{text}_op" if keyword.iskeyword(text) else text


def summary(function: Callable[..., Any]) -> str:
    """The first sentence of the operator's own documentation if it reads as plain text, else empty."""
    text = inspect.getdoc(function) or ""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    chosen = next((p for p in paragraphs if p and "->" not in p and not p.startswith((".. ", "See ", "Alias"))), "")
    plain = re.sub(r":\w+:`~?(?:[^`<]*<)?(?:torch\.)?([^`>]*)>?`", r"\1", chosen).replace("``", "")
    sentence = re.split(r"(?<=[a-z)\]])\.(?:\s|$)", plain)[0].strip()
    sentence = sentence.rstrip(".")
    if (
        not re.match(r"[A-Z][\w-]* \w", sentence)
        or len(sentence) > 260
        or any(mark in sentence for mark in ("\\", "`", "::", "{", "__", ".. "))
    ):
        return ""
    renamed = re.sub(r"\binput\b", "x", re.sub(r"\bother\b", "y", sentence))
    return renamed.replace(" x x ", " x ") + "."


def _suffix(key: str, value: Any) -> str:
    match value:
        case bool():
            return key if value else f"no_{key}"
        case int():
            return "last_dim" if (key, value) == ("dim", -1) else f"{key}{value}".replace("-", "_minus")
        case float():
            whole = value.is_integer() if math.isfinite(value) else False
            return f"{key}{value:g}".replace("-", "_minus") if whole or not math.isfinite(value) else ""
        case str():
            return re.sub(r"\W+", "_", value) if value.isidentifier() else ""
        case torch.dtype():
            return str(value).removeprefix("torch.")
        case list() | tuple() if value and all(isinstance(item, int) for item in value):
            return f"{key}{'x'.join(str(item) for item in value)}".replace("-", "_minus")
    return ""


def _input_names(call: Call, known: Sequence[Parameter]) -> tuple[str, ...]:
    names: dict[int, str] = {}
    places = [p.name for p in known] + ["x"] * len(call.args)
    for place, value in [*zip(places, call.args, strict=False), *call.kwargs.items()]:
        wanted = [NAMES.get(place, place)] if isinstance(value, Hole) or place in NAMES else []
        for number in holes(value):
            free = (name for name in [*wanted, *OTHERS] if name not in names.values())
            names[number] = next(free)
    return tuple(names[number] for number in sorted(names))


def _takes(kind: str, value: Any) -> bool:
    if isinstance(value, Hole):
        return kind in ("Tensor", "Optional[Tensor]")
    if isinstance(value, list | tuple) and holes(value):
        return "List[" in kind and "Tensor" in kind
    if isinstance(value, bool):
        return "bool" in kind
    if isinstance(value, int):
        return any(word in kind for word in ("int", "float", "number"))
    if isinstance(value, float):
        return "float" in kind or "number" in kind
    return (value is None and "Optional" in kind) or "Tensor" not in kind


def _same(default: Any, value: Any, defaults: dict[str, Any]) -> bool:
    if holes(value):
        return False
    return type(default) is type(value) and bool(default == value) and defaults != {}
