"""What a kernel function's decorator and annotations say about its parameters, read from the source as data.

The clean module (`kernels.source`) has neither decorators nor foreign annotations, but Triton specialises and types
arguments by them. Dropped are options that change nothing about a launch (`repr`, `version`, `launch_metadata`), and
`debug`, which the tracer refuses. Not covered: types and lists of names that the candidate computes.
"""

import ast
import re
from collections.abc import Mapping

from sandbox.kernels.syntax import walk
from sandbox.types import Record

DROPPED_OPTIONS = frozenset(["fn", "version", "repr", "launch_metadata", "debug"])
PYTHON_TYPES = frozenset(["int", "float", "bool"])
"""Triton takes them for i32, fp32 and u1."""
_WRITTEN_TYPE = re.compile(r"(?:const )?\*?k?[a-z][a-z0-9_]*\*?")


class Signature(Record):
    """One kernel function."""

    parameters: dict[str, str]
    """Name → what its annotation says, in order: `constexpr`, a type as Triton spells it (`int64`, `*fp32`), `const`,
    or nothing."""
    do_not_specialize: tuple[int | str, ...] = ()
    """Parameters by name or position that are not specialised by value."""
    do_not_specialize_on_alignment: tuple[int | str, ...] = ()
    noinline: bool = False


def signature(function: ast.FunctionDef, given: list[ast.keyword], known: Mapping[str, str]) -> Signature:
    """Args:
        given: what `jit_options` says of functions of that name; its own decorators say more.
        known: names for Triton's language, as `kernels.source.aliases` gives them.

    Raises:
        ValueError: an option of `triton.jit` is unknown, or no literal.
    """
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs]
    parameters = {argument.arg: _annotation(argument.annotation, known) for argument in named if argument}
    options: dict[str, tuple[int | str, ...] | bool] = {}
    decorators = [d for d in function.decorator_list if isinstance(d, ast.Call) and last_name(d.func) == "jit"]
    for keyword in [*(keyword for decorator in decorators for keyword in decorator.keywords), *given]:
        if keyword.arg not in DROPPED_OPTIONS:
            options |= _option(keyword, function.name)
    return Signature.model_validate({"parameters": parameters, **options})


def jit_options(tree: ast.Module) -> dict[str, list[ast.keyword]]:
    """Function name → keywords of every call of `jit` that makes a kernel of it, other than as its decorator."""
    found: dict[str, list[ast.keyword]] = {}

    def note(name: str, call: ast.expr) -> None:
        if isinstance(call, ast.Call) and last_name(call.func) == "jit":
            found.setdefault(name, []).extend(call.keywords)

    for node in walk(tree):
        if isinstance(node, ast.Call) and len(node.args) == 1 and (name := last_name(node.args[0])):
            note(name, node)
            note(name, node.func)
    return found


def path_of(node: ast.AST) -> list[str]:
    """`a.b.c` as its parts; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def _is_constexpr(node: ast.expr, known: dict[str, str]) -> bool:
    path = path_of(node)
    full = [known.get(path[0], path[0]).replace(":", "."), *path[1:]] if path else []
    return ".".join(full) == "triton.language.constexpr"


def is_literal(node: ast.expr, known: dict[str, str]) -> bool:
    """Python computes it from numbers, texts and names, which are checked as they are used."""
    if isinstance(node, ast.Attribute):
        dotted = path_of(node)
        return bool(dotted) and dotted[0] in known
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords and _is_constexpr(node.func, known):
        return is_literal(node.args[0], known)
    if isinstance(node, ast.Call):  # float("-inf")
        return not node.keywords and is_name(node.func, "float") and all(map(_is_text, node.args))
    parts = (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
    known_kind = isinstance(node, ast.Constant | ast.Name | ast.Tuple | ast.UnaryOp | ast.BinOp)
    return known_kind and all(is_literal(part, known) for part in parts)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_name(node: ast.AST, name: str) -> bool:
    """Nothing is written out for it: of a chain of calls, each is called by all before it."""
    return isinstance(node, ast.Name) and node.id == name


def last_name(node: ast.AST) -> str:
    """`c` of `a.b.c`; empty for anything that is no name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _option(keyword: ast.keyword, name: str) -> dict[str, tuple[int | str, ...] | bool]:
    if keyword.arg == "noinline" and isinstance(keyword.value, ast.Constant):
        return {"noinline": bool(keyword.value.value)}
    if keyword.arg in ("do_not_specialize", "do_not_specialize_on_alignment"):
        value = keyword.value
        items = value.elts if isinstance(value, ast.List | ast.Tuple | ast.Set) else []
        given = [item.value for item in items if isinstance(item, ast.Constant)]
        literal = isinstance(value, ast.Constant) and value.value is None
        if (items or literal or _is_empty(value)) and len(given) == len(items):
            return {keyword.arg: tuple(x for x in given if isinstance(x, int | str) and not isinstance(x, bool))}
    raise ValueError(
        f"kernel {name}: option {keyword.arg or '**'} of triton.jit is unknown or not a literal; write lists of "
        "parameter names out, or leave it out"
    )


def _is_empty(value: ast.expr) -> bool:
    return isinstance(value, ast.List | ast.Tuple | ast.Set) and not value.elts


def _annotation(node: ast.expr | None, known: Mapping[str, str]) -> str:
    """Annotations that say nothing to Triton are left out."""
    if node is None:
        return ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value.strip().removeprefix("tl.")
        if text.split(".")[-1] == "constexpr":
            return "constexpr"
        return text if _WRITTEN_TYPE.fullmatch(text) else ""
    parts = path_of(node)
    if not parts:
        return ""
    if parts[-1] == "constexpr":
        return "constexpr"
    if len(parts) == 1 and parts[0] in PYTHON_TYPES:
        return parts[0]
    return ".".join([known[parts[0]].replace(":", "."), *parts[1:]]).split(".")[-1] if parts[0] in known else ""
