"""What a name in a package's file means, across the package's own imports. Sources are parsed, never imported.

Where a file defines a name more than once, by the machine it runs on, the definition for CUDA with everything
installed counts: the body of a `try`, the branch of an `if` that does not ask about another vendor or a variable of the
environment.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
ELSEWHERE = re.compile(
    r"environ|getenv|\b_?(is_|has_)?(hip|amd|rocm|xpu|npu|musa|mlu|ascend|cpu|mps)|TYPE_CHECKING", re.I
)
"""Conditions whose `else` is what holds on an NVIDIA GPU."""
MAX_STEPS = 20
"""Imports followed for one name."""


def dotted_name(path: str) -> str:
    """`src/pkg/ops/__init__.py` → `pkg.ops`."""
    return path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class Definition(NamedTuple):
    """A function, class or assignment of the package."""

    module: "SourceModule"
    name: str
    node: ast.stmt


class External(NamedTuple):
    """What another package provides: a module (`name` empty) or something in it."""

    module: str
    name: str


class Inside(NamedTuple):
    """A module of the package itself."""

    dotted: str


Meaning = Definition | External | Inside | None


class SourceModule:
    """One file: what it defines and imports at its top level."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.source = path, source
        self.is_package = path.endswith("/__init__.py")
        self.dotted = dotted_name(path)
        self.lines = source.splitlines(keepends=True)
        try:
            self.tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            self.tree = ast.parse("")
        self.definitions: dict[str, ast.stmt] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        """Local name → (module, name in it, empty for the module itself)."""
        self.stars: list[str] = []
        self._read(self.tree.body, weak=False)

    def functions(self) -> Iterator[ast.FunctionDef]:
        """Those at the top level, in the order of the file."""
        found = (node for node in self.definitions.values() if isinstance(node, ast.FunctionDef))
        return iter(sorted(found, key=lambda node: node.lineno))

    def import_names(self, node: ast.Import | ast.ImportFrom) -> dict[str, tuple[str, str]]:
        """What an import statement of this file binds, as in `imports`."""
        if isinstance(node, ast.Import):
            return {
                a.asname or a.name.split(".")[0]: (a.name if a.asname else a.name.split(".")[0], "") for a in node.names
            }
        here = self.dotted.split(".") if self.is_package else self.dotted.split(".")[:-1]
        base = here[: len(here) - node.level + 1] if node.level else []
        origin = ".".join([*base, *([node.module] if node.module else [])])
        return {alias.asname or alias.name: (origin, alias.name) for alias in node.names if alias.name != "*"}

    def _read(self, body: list[ast.stmt], weak: bool) -> None:
        """`weak`: only names that are not known yet."""
        for node in body:
            match node:
                case ast.FunctionDef() | ast.ClassDef():
                    self._define(node.name, node, weak)
                case ast.Assign() | ast.AnnAssign():
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    for name in (n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)):
                        if node.value is not None:
                            self._define(name, node, weak)
                case ast.Import() | ast.ImportFrom():
                    for name, meaning in self.import_names(node).items():
                        if not (weak and (name in self.definitions or name in self.imports)):
                            self.imports[name] = meaning
                            self.definitions.pop(name, None)
                    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                        self.stars.append(self.import_names(_unstarred(node))["_"][0])
                case ast.If():
                    first, second = node.body, node.orelse
                    if ELSEWHERE.search(re.sub(r"\bnot [\w.]+", "", ast.unparse(node.test))):
                        first, second = second, first
                    self._read(first, weak)
                    self._read(second, weak=True)
                case ast.Try():
                    self._read(node.body + node.orelse, weak)
                    for handler in node.handlers:
                        self._read(handler.body, weak=True)
                case ast.With():
                    self._read(node.body, weak)

    def _define(self, name: str, node: ast.stmt, weak: bool) -> None:
        if not (weak and (name in self.definitions or name in self.imports)):
            self.definitions[name] = node
            self.imports.pop(name, None)


class Package:
    """All files of a package; each is parsed when it is first asked for."""

    def __init__(self, sources: Iterable[tuple[str, str]], tables: Iterable[tuple[str, str]] = ()) -> None:
        """`sources`: path and text of the Python files; `tables`: of data files that they read."""
        self._sources = {}
        self.tables = dict(tables)
        for path, source in sources:
            self._sources[dotted_name(path)] = (path, source)
        self._parsed: dict[str, SourceModule] = {}
        self.tops = {dotted.split(".")[0] for dotted in self._sources}

    def __contains__(self, dotted: str) -> bool:
        return dotted in self._sources

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def text(self, dotted: str) -> str:
        """Source of a module."""
        return self._sources[dotted][1]

    def path(self, dotted: str) -> str:
        """Path of a module inside the archive."""
        return self._sources[dotted][0]

    def module(self, dotted: str) -> SourceModule:
        """A module, parsed."""
        if dotted not in self._parsed:
            self._parsed[dotted] = SourceModule(*self._sources[dotted])
        return self._parsed[dotted]

    def resolve(self, dotted: str, name: str, steps: int = MAX_STEPS) -> Meaning:
        """What `name` means at the top level of a module; None if nothing says so."""
        if dotted not in self or not steps:
            return None
        module = self.module(dotted)
        if name in module.definitions:
            return Definition(module, name, module.definitions[name])
        if name in module.imports:
            return self.imported(*module.imports[name], steps - 1)
        if f"{dotted}.{name}" in self:
            return Inside(f"{dotted}.{name}")
        found = (self.resolve(star, name, steps - 1) for star in module.stars)
        return next((meaning for meaning in found if meaning is not None), None)

    def imported(self, origin: str, name: str, steps: int = MAX_STEPS) -> Meaning:
        """What `from origin import name` binds, or `import origin` where `name` is empty."""
        if origin.split(".")[0] not in self.tops:
            return External(origin, name)
        if not name:
            return Inside(origin)
        found = self.resolve(self._moved(origin), name, steps)
        return found or (Inside(f"{origin}.{name}") if f"{origin}.{name}" in self else None)

    def _moved(self, origin: str) -> str:
        """Where a module is that an alias at run time stands for: the only one of its name further down."""
        if origin in self:
            return origin
        parent, _, last = origin.rpartition(".")
        found = [dotted for dotted in self if dotted.startswith(f"{parent}.") and dotted.endswith(f".{last}")]
        return found[0] if len(found) == 1 else origin


def _unstarred(node: ast.ImportFrom) -> ast.ImportFrom:
    return ast.ImportFrom(module=node.module, names=[ast.alias(name="_")], level=node.level)
