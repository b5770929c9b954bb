"""Triton kernels out of Python files: every `@triton.jit` function with its helpers and the Python that launches it.

Purely syntactic: sources are parsed, never imported. A harvested kernel is SFT text (`kind="text"`): nothing here
invents a reference for it. What the text lacks (a constant from another module, a helper imported from elsewhere)
stays lacking; the record says where it came from, precisely enough to look. Where `pairing` made a task of a function
that launches it, and the sandbox passed it, it is `paired`.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from data_pipeline.archives import python_sources
from data_pipeline.pairing.namespace import dotted_name
from data_pipeline.pairing.settle import settled
from data_pipeline.sources import Checks, Proposal
from data_pipeline.task import Kernel, Provenance
from sandbox.kernels.syntax import parsed

Function = ast.FunctionDef | ast.AsyncFunctionDef


def harvest(files: Iterable[tuple[str, str]], source: Provenance, label: str) -> list[Kernel]:
    """All Triton kernels of (path, text) pairs, sorted by file and line; equal code counts once.

    Args:
        files: of one package or repository, by path.
        source: where they are from; `path` is filled in here.
        label: what the ids of the kernels begin with.
    """
    modules = []  # with kernels; of the others only the text of what may launch one is kept
    launchers: dict[tuple[str, str], list[str]] = {}
    for path, text in files:
        if "[" not in text or ("triton" not in text and "kernel" not in text):
            continue  # parsing is what takes the time
        try:
            module = _Module(path, text, parsed(text))
        except (SyntaxError, ValueError):
            continue  # a template, or Python of another version
        for function in module.others:
            for launched in sorted(_launched(module, function.node)):
                launchers.setdefault(launched, []).append(function.text)
        if module.jitted:
            modules.append(module)
    kernels: dict[str, Kernel] = {}
    for module in modules:
        for function in module.jitted:
            found = launchers.get((module.dotted, function.node.name), [])
            kernel = _kernel(module, function, tuple(dict.fromkeys(found)), source, label)
            kernels.setdefault(kernel.id, kernel)
    return list(kernels.values())


def harvest_archive(path: Path, source: Provenance, label: str, checks: Checks | None) -> list[Proposal]:
    """The kernels of an archive, and the tasks that pairing makes of them.

    Args:
        checks: what pairing may ask; None: kernels alone.
    """
    kernels = harvest(python_sources(path), source, label)
    if checks is None:
        return list(kernels)
    tasks: list[Proposal] = []
    used: set[tuple[str, str]] = set()
    for outcome in settled(path, source, f"pair-{label}", checks):
        if outcome.task is not None:
            tasks.append((outcome.task, outcome.solution))
        if outcome.solution:  # else nothing shows that the kernel computes what the task asks for
            used |= outcome.pair.launcher.kernels
    for position, kernel in enumerate(kernels):
        if (dotted_name(kernel.source.path.rpartition(":")[0]), kernel.name) in used:
            kernels[position] = kernel.model_copy(update={"kind": "paired"})
    return [*kernels, *tasks]


class _Scoped(NamedTuple):
    node: Function
    text: str
    """Source with decorators, dedented."""
    qualified: str
    """`Class.method`, or the plain name."""


class _Module:
    """What one file defines: jit functions, module constants, other functions."""

    def __init__(self, path: str, source: str, tree: ast.Module) -> None:
        self.path = path
        self.dotted = dotted_name(path)
        self.imported = _imported(tree, self.dotted, is_package=path.endswith("/__init__.py"))
        self.lines = source.splitlines(keepends=True)
        self.jit_names = _names_of_jit(tree)
        functions = list(self._functions(tree, ""))
        self.jitted = [f for f in functions if self._is_jitted(f.node)]
        self.others = [f for f in functions if not self._is_jitted(f.node)]
        self.by_name = {function.node.name: function for function in self.jitted}
        self.constants = {name: node for node in _statements(tree) for name in _constant_names(node)}

    def segment(self, node: ast.stmt) -> str:
        """Source of a statement with its decorators, dedented by its own indentation."""
        decorators = node.decorator_list if isinstance(node, (*_FUNCTIONS, ast.ClassDef)) else []
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        lines = self.lines[first - 1 : node.end_lineno]
        indent = len(lines[0]) - len(lines[0].lstrip())
        kept = [line[indent:] if not line[:indent].strip() else line for line in lines]
        return "".join(kept).rstrip() + "\n"

    def _functions(self, node: ast.AST, prefix: str) -> Iterator[_Scoped]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _FUNCTIONS):
                yield _Scoped(child, self.segment(child), prefix + child.name)
                yield from self._functions(child, prefix + child.name + ".")
            elif isinstance(child, ast.ClassDef):
                yield from self._functions(child, prefix + child.name + ".")
            else:
                yield from self._functions(child, prefix)

    def _is_jitted(self, function: Function) -> bool:
        targets = (d.func if isinstance(d, ast.Call) else d for d in function.decorator_list)
        return any(_dotted(target) in self.jit_names for target in targets)


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _kernel(module: _Module, function: _Scoped, launchers: tuple[str, ...], source: Provenance, label: str) -> Kernel:
    used = [function, *_called(module, function)]
    constants = _constants_used(module, used)
    code = "\n\n".join([*(["".join(constants)] if constants else []), *(item.text for item in [*used[1:], function])])
    digest = hashlib.sha256(code.encode()).hexdigest()[:16]
    return Kernel(
        id=f"{label}-{digest}",
        name=function.qualified,
        source=source.model_copy(update={"path": f"{module.path}:{function.node.lineno}"}),
        code=code,
        launchers=launchers,
        kind="text",
    )


def _called(module: _Module, function: _Scoped) -> list[_Scoped]:
    """Jit functions of the same file that it uses, directly or not, in the order of the file."""
    found: dict[str, _Scoped] = {}
    queue = [function]
    while queue:
        for name in _loaded_names(queue.pop().node):
            helper = module.by_name.get(name)
            if helper is not None and name != function.node.name and name not in found:
                found[name] = helper
                queue.append(helper)
    return sorted(found.values(), key=lambda item: item.node.lineno)


def _constants_used(module: _Module, functions: list[_Scoped]) -> list[str]:
    """Source of the module constants that the functions read, each once, in the order of the file."""
    names = {name for function in functions for name in _loaded_names(function.node)}
    nodes: dict[int, ast.stmt] = {}
    queue = sorted(names & module.constants.keys())
    while queue:
        node = module.constants[queue.pop()]
        if id(node) not in nodes:
            nodes[id(node)] = node
            queue += sorted(_loaded_names(node) & module.constants.keys())
    return [module.segment(node) for node in sorted(nodes.values(), key=lambda node: node.lineno)]


def _launched(module: _Module, function: Function) -> set[tuple[str, str]]:
    """(module, kernel) of every `kernel[grid](…)` in the function's own body, not in functions nested in it.

    Kernels imported by name from another file count, and so do aliases within the function, one step.
    """
    aliases: dict[str, set[str]] = {}
    for node in _own_nodes(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Name, ast.IfExp)):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    aliases.setdefault(target.id, set()).update(_loaded_names(node.value))
    found = set()
    for node in _own_nodes(function):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Subscript)
            and isinstance(node.func.value, ast.Name)
        ):
            name = node.func.value.id
            for original in {name, *aliases.get(name, ())}:
                found.add((module.dotted, original) if original in module.by_name else module.imported.get(original))
    return {kernel for kernel in found if kernel is not None}


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    queue: list[ast.AST] = list(function.body)
    while queue:
        node = queue.pop()
        yield node
        queue += [child for child in ast.iter_child_nodes(node) if not isinstance(child, (*_FUNCTIONS, ast.ClassDef))]


def _imported(tree: ast.Module, dotted: str, is_package: bool) -> dict[str, tuple[str, str]]:
    """Local name → (module, name there) of everything imported by `from … import …`."""
    names: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            here = dotted.split(".") if is_package else dotted.split(".")[:-1]
            base = here[: len(here) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names |= {alias.asname or alias.name: (origin, alias.name) for alias in node.names}
    return names


def _names_of_jit(tree: ast.Module) -> set[str]:
    """How this file spells `triton.jit`: `triton.jit`, `tr.jit`, `jit`, …, by its imports."""
    names = {"triton.jit", "triton.runtime.jit.jit", "triton.runtime.jit"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {f"{alias.asname}.jit" for alias in node.names if alias.name == "triton" and alias.asname}
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")
            for alias in node.names:
                if alias.name == "jit" and "triton" in module:
                    names.add(alias.asname or "jit")
                if alias.name == "triton":  # re-exported, as in `from package.compat import triton`
                    names.add(f"{alias.asname or 'triton'}.jit")
    return names


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Statements at module level, those inside `if`, `try` and `with` included."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from _statements(child)


def _constant_names(node: ast.stmt) -> list[str]:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def _loaded_names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of a chain of attributes; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""
