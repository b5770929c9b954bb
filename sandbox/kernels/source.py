"""Kernel bodies as a closed language: what a `@triton.jit` function may say, and a clean module that says just that.

The interpreter runs kernel bodies as ordinary Python, beside real inputs. So they are rebuilt here, by trusted code
that never executes anything: syntax by allow-list, every name resolved to a parameter, a local, another kernel
function, a recorded constant, a builtin from the table or a public name of `triton.language`. Host code of the
candidate does not get in at all.
"""

import ast
import copy
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256

from sandbox.kernels import waits as kernel_waits
from sandbox.kernels.differences import check_understood
from sandbox.kernels.functions import at_compile_time, first_line, meant
from sandbox.kernels.language import (
    BUILTINS,
    CURES,
    FORBIDDEN,
    LANGUAGE,
    LIBDEVICE,
    LIBDEVICE_MODULES,
    MATH,
    MEMBERS,
    NODES,
    TRITON_MEMBERS,
)
from sandbox.kernels.scopes import bound
from sandbox.kernels.signature import Signature, is_literal, is_name, jit_options, path_of, signature
from sandbox.kernels.syntax import walk
from sandbox.kernels.text import Function, KernelError, written
from sandbox.types import Record

MODULES = (
    "triton.language", "triton.language.math", "triton.language.extra", "triton.language.extra.cuda",
    *LIBDEVICE_MODULES,
)  # fmt: skip
"""Of Triton's language; all else that is imported is an attribute of one."""
PARTS = frozenset(f"triton.language.{name}" for name in ("core", "standard", "random"))
"""Where the names of `triton.language` are defined: an import from there is one from it."""


class KernelModule(Record):
    """Source that the interpreter may execute, and that Triton compiles."""

    source: str
    functions: tuple[str, ...]
    compile_time: tuple[str, ...] = ()
    """Functions that Python evaluates while a kernel compiles (`triton.constexpr_function`)."""
    aliases: dict[str, str]
    """Name in the source → dotted name of a Triton module, or `module:attribute`."""

    synchronises: bool
    """A kernel waits, or uses what an atomic returns: its programs may order themselves."""
    waits: bool
    """A kernel has a loop that ends by what it reads from memory: programs may wait for others."""
    signatures: dict[str, Signature]
    """What decorators and annotations say about each function's parameters; the source does not have them."""

    @cached_property
    def digest(self) -> str:
        """Equal for equal modules."""
        return sha256(json.dumps(self.model_dump()).encode()).hexdigest()


def aliases(tree: ast.Module) -> dict[str, str]:
    """Names for Triton's language in a candidate, and for `math`: `tl` → `triton.language`, `exp` →
    `triton.language:exp`. Of several that one name may stand for, the last that is of the language: which one it is is
    told later.
    """
    found: dict[str, str] = {}
    for node in walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                package = name.name.split(".")[0]
                if name.name == "math" or package == "triton":
                    named = "triton.language" if name.name in PARTS else name.name
                    found[name.asname or package] = named if name.asname else package
        elif (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] == "triton"
            and not node.level
        ):
            for name in node.names:
                _take(found, name.asname or name.name, _imported(node.module, name.name))
    for node in tree.body:  # `exp = tl.math.exp`
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            for value in [node.value.orelse, node.value.body] if isinstance(node.value, ast.IfExp) else [node.value]:
                dotted = path_of(value)
                if dotted and dotted[0] in found and len(dotted) > 1:
                    base = found[dotted[0]].replace(":", ".")
                    _take(found, node.targets[0].id, _imported(".".join([base, *dotted[1:-1]]), dotted[-1]))
    return found


def _take(found: dict[str, str], name: str, target: str) -> None:
    try:
        _check_alias(target, name, "")
    except KernelError:
        found.setdefault(name, target)
    else:
        found[name] = target


def build(
    tree: ast.Module, launched: Mapping[str, int | None], constants: set[str],
    told: Mapping[str, int | str] | None = None, passed: Collection[str] = (),
) -> KernelModule:  # fmt: skip
    """The clean module for the kernels in `launched` (name → first line, where known); `constants` are module constants
    known by value, `told` what names of functions stand for, as `KernelCode.functions`, `passed` functions that
    launches have as arguments.

    Raises:
        KernelError: a kernel is not in the file, or not where it claims to be, or says something outside the language.
    """
    lines = {name: line for name, line in (told or {}).items() if isinstance(line, int)}
    given = {name: path for name, path in (told or {}).items() if isinstance(path, str)}
    defined, unclear = meant(tree, {**launched, **lines})
    known = {name: path for name, path in aliases(tree).items() if name not in lines} | given
    for name, line in launched.items():
        if line is not None and name in defined and name not in unclear and line != first_line(defined[name]):
            raise KernelError(f"kernel {name!r} is not the function of that name in the candidate file")
    wanted, queue = {}, sorted({*launched, *passed})
    while queue:
        name = queue.pop()
        if name in wanted:
            continue
        if name not in defined:
            raise KernelError(f"kernel {name!r} is not a function of the candidate file")
        if name in unclear:
            raise KernelError(f"the file defines {name!r} more than once; give every kernel function a name of its own")
        wanted[name] = defined[name]
        own = bound(defined[name])
        queue += [
            n.id
            for n in _body_nodes(defined[name])
            if isinstance(n, ast.Name) and n.id in defined and n.id not in own and n.id not in given
        ]
    wanted |= {name: _without_defaults(wanted[name]) for name in launched}
    used: dict[str, str] = {"tl": "triton.language"}
    for function in wanted.values():
        used |= check(function, set(wanted), constants, known)
    if used["tl"] != "triton.language":
        raise KernelError("the name `tl` must stand for triton.language")
    source = "\n\n\n".join(written(wanted[name]) for name in sorted(wanted))
    waits = kernel_waits.waits(wanted.values(), known)
    options, compile_time = jit_options(tree), [n for n in sorted(wanted) if at_compile_time(wanted[n])]
    names = [name for name in sorted(wanted) if name not in compile_time]
    if unfit := sorted(launched.keys() & set(compile_time)):
        raise KernelError(f"{unfit[0]!r} is evaluated while kernels compile, and cannot be launched")
    try:
        signatures = {name: signature(wanted[name], options.get(name, []), known) for name in names}
    except ValueError as error:
        raise KernelError(str(error)) from error
    return KernelModule(
        source=source + "\n",
        functions=tuple(names),
        compile_time=tuple(compile_time),
        aliases=used,
        synchronises=waits or any(kernel_waits.uses_atomic_results(function, known) for function in wanted.values()),
        waits=waits,
        signatures=signatures,
    )


def _without_defaults(function: Function) -> Function:
    """A launch gives all arguments, and defaults may have names that are recorded nowhere."""
    found = copy.copy(function)
    found.args = copy.copy(function.args)
    found.args.defaults, found.args.kw_defaults = [], [None] * len(function.args.kwonlyargs)
    return found


def check(function: Function, kernels: set[str], constants: set[str] | None, known: dict[str, str]) -> dict[str, str]:
    """Check one kernel body; returns the Triton aliases that it uses.

    With `constants=None` (before anything ran) unknown names are taken for constants.

    Raises:
        KernelError: it says something outside the language.
    """
    where = f"kernel {function.name}"
    used: dict[str, str] = {}
    for default in [*function.args.defaults, *filter(None, function.args.kw_defaults)]:
        if not is_literal(default, known):
            raise KernelError(f"{where}: default values must be numbers, texts, names, or arithmetic with those")
        used |= _check_nodes(walk(default), set(), kernels, constants, known, where)
    if not at_compile_time(function):
        check_understood(function, known)
    own = bound(function)  # whoever executes the module has names of his own, with underscores
    if taken := next((name for name in sorted({function.name, *own}) if name.startswith("__")), None):
        raise KernelError(f"{where}: {taken} may not be the name of a kernel function, parameter or variable")
    return used | _check_nodes(_body_nodes(function), own, kernels, constants, known, where)


def _check_nodes(
    nodes: Iterable[ast.AST], bound: set[str], kernels: set[str], constants: set[str] | None, known: dict[str, str],
    where: str,
) -> dict[str, str]:  # fmt: skip
    """The Triton aliases that these nodes use, where the names in `bound` are assigned by the kernel itself."""
    used, found = {}, list(nodes)
    asking = {id(node.func) for node in found if isinstance(node, ast.Call) and _asks(node, known)}
    for node in found:
        if type(node).__name__ not in NODES:
            raise KernelError(
                f"{where}, line {getattr(node, 'lineno', '?')}: {type(node).__name__} is not part of Triton's language"
            )
        if isinstance(node, ast.Attribute):
            _check_attribute(node, bound, known, where)
        if id(node) in asking:
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in bound:
            if node.id.startswith("__") or (node.id in FORBIDDEN and node.id not in known):
                raise KernelError(f"{where}: {node.id} may not be used inside a kernel")
            if node.id in known:
                _check_alias(known[node.id], node.id, where)
                used[node.id] = known[node.id]
            elif (
                node.id not in kernels
                and node.id not in BUILTINS
                and constants is not None
                and node.id not in constants
            ):
                raise KernelError(
                    f"{where}: the name {node.id!r} is neither a parameter, a kernel function nor a constant "
                    f"(write a number of the module as {node.id} = tl.constexpr(…); an annotation does not do)"
                )
    return used


def _check_attribute(node: ast.Attribute, bound: set[str], known: dict[str, str], where: str) -> None:
    if not isinstance(node.ctx, ast.Load):
        raise KernelError(f"{where}: attributes may not be assigned")
    dotted = path_of(node)
    if dotted and dotted[0] not in bound and dotted[0] in known:
        root = known[dotted[0]].replace(":", ".")
        check_dotted([*root.split("."), *dotted[1:]], where)
    elif node.attr not in MEMBERS:
        raise KernelError(
            f"{where}: attribute .{node.attr} may not be used inside a kernel; no tensor, dtype or "
            "descriptor of Triton has it (pass each field of a record as an argument of its own; write out in the "
            "file what is a function of another module)"
        )


def _check_alias(target: str, name: str, where: str) -> None:
    module, _, attribute = target.partition(":")
    if attribute:
        check_dotted([*module.split("."), attribute], where)
    elif module not in ("math", "triton", *MODULES):
        raise KernelError(f"{where}: {name} ({module}) may not be used inside a kernel")


def check_dotted(parts: list[str], where: str) -> None:
    """A dotted path from `triton` must lead to a public name of the language, or a method of one."""
    path = ".".join(parts)
    for module in (*LIBDEVICE_MODULES, "triton.language.math"):
        if path == module or module.startswith(path + "."):
            return
        if path.startswith(module + ".") and not parts[module.count(".") + 1].startswith("_"):
            name, *members = parts[module.count(".") + 1 :]
            if name in (LIBDEVICE if module in LIBDEVICE_MODULES else LANGUAGE) and not members:
                return
    if parts[:2] == ["triton", "language"] and len(parts) > 2:
        name, *members = parts[2:]
        if name in LANGUAGE and all(member in MEMBERS for member in members):
            return
    if len(parts) == 2 and parts[1] in {"triton": TRITON_MEMBERS, "math": MATH}.get(parts[0], ()):
        return
    cure = f"; {CURES[parts[-1]]}" if parts[-1] in CURES else ""
    raise KernelError(
        f"{where}: {path} is not part of the public Triton language, or not allowed in a sandboxed kernel{cure}"
    )


def _body_nodes(function: Function) -> Iterator[ast.AST]:
    for statement in function.body:
        yield from walk(statement)


def _asks(node: ast.Call, known: dict[str, str]) -> bool:
    """`isinstance(x, tl.tensor_descriptor)`: the one kind of value that Triton and its interpreter call the same."""
    if not is_name(node.func, "isinstance") or len(node.args) != 2 or node.keywords:
        return False
    root, *rest = path_of(node.args[1]) or [""]
    return ".".join([known.get(root, "").replace(":", "."), *rest]) == "triton.language.tensor_descriptor"


def _imported(module: str, name: str) -> str:
    """`from triton import language` names a module, `from triton.language import exp` an attribute of one."""
    path = f"{module}.{name}"
    if path in PARTS:
        return "triton.language"
    whole = "triton.language" if module in PARTS else module
    return path if path in MODULES else f"{whole}:{name}"
