"""What a function's parameters are: their defaults, and whether they are tensors or numbers."""

import ast
import re

from data_pipeline.pairing.guessed_inputs import Kind

KINDS: tuple[tuple[str, Kind], ...] = (
    (r"[Ll]ist\[.*Tensor", "tensors"), (r"Tensor", "tensor"), (r"\bint\b", "int"), (r"\bfloat\b", "float"),
    (r"\bbool\b", "bool"), (r"^str|dtype|Callable", "other"),
)  # fmt: skip
"""By annotation."""
NUMBER = re.compile(r"^(eps|epsilon|scale|sm_scale|softmax_scale|temperature|p|dropout_p|.*_scale_value|limit|alpha)$")
WHOLE = re.compile(r"^(dim|axis|num_.*|n_.*|.*_size|.*_len|k|chunk|groups?|topk)$")
SWITCH = re.compile(r"^(causal|is_.*|use_.*|reverse|head_first)$")
"""By name, of parameters without annotation and default that nothing shows to be tensors."""


def parameters(node: ast.FunctionDef) -> dict[str, str | None]:
    """Parameter → its default as text, None if it is required."""
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults)) + list(node.args.defaults)
    found = {a.arg: None if d is None else ast.unparse(d) for a, d in zip(positional, defaults, strict=True)}
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        found[argument.arg] = None if default is None else ast.unparse(default)
    return found


def kind_of(name: str, reference: ast.FunctionDef, launcher: ast.FunctionDef, partner: str) -> Kind:
    """Of the parameter that the reference calls `name` and the launcher `partner`."""
    for node, wanted in ((reference, name), (launcher, partner)):
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            if argument.arg == wanted and argument.annotation is not None:
                text = ast.unparse(argument.annotation)
                found = next((kind for pattern, kind in KINDS if re.search(pattern, text)), None)
                if found is not None:
                    return found
    default = parameters(reference)[name] or parameters(launcher)[partner]
    if default is not None and default != "None":
        return _of_literal(default)
    if not _used_as_tensor(name, reference):
        return "float" if NUMBER.match(name) else "int" if WHOLE.match(name) else _switch(name)
    return "tensor"


def _switch(name: str) -> Kind:
    return "bool" if SWITCH.match(name) else "tensor"


def _of_literal(text: str) -> Kind:
    if text in ("True", "False"):
        return "bool"
    if re.fullmatch(r"-?\d+", text):
        return "int"
    return "float" if re.fullmatch(r"-?[\d.]+(e-?\d+)?", text) else "other"


def _used_as_tensor(name: str, node: ast.FunctionDef) -> bool:
    return any(
        isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == name for n in ast.walk(node)
    )
