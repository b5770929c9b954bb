"""One function of a package as a file of its own: with the helpers, constants and imports that it needs, and no others.

Differs from copying text in these ways:
1. names are followed through the package's imports; what is defined elsewhere is brought along;
2. what only serves the package is dropped: logging, warnings, its own decorators, the backward pass of autograd
   functions, switches in the environment (their defaults hold), questions about other vendors' hardware (answer: no);
3. decorators of Triton stay; an autotuner of the package's own becomes Triton's.
A function whose text did not change keeps its comments.
"""

import ast
import copy
import re
from collections.abc import Callable, Iterable

from data_pipeline.pairing.namespace import FUNCTIONS, Definition, External, Meaning, Package
from data_pipeline.pairing.rewriting import Rewriter, UnsliceableError
from data_pipeline.pairing.substitutes import SUBSTITUTES

CANDIDATE_IMPORTS = frozenset(
    ["torch", "triton", "math", "typing", "functools", "dataclasses", "collections", "itertools", "numpy", "__future__"]
)
"""As `sandbox.screen` allows."""
REFERENCE_IMPORTS = CANDIDATE_IMPORTS - {"triton"}
MAX_DEFINITIONS = 80
USUAL_NAMES = {"triton.language": "tl", "torch.nn.functional": "F", "numpy": "np"}
SWITCH = re.compile(r"(^|_)(is|has|use|supports?|allow|enable)_|_(available|supported|enabled)$", re.I)
"""Names of host questions that are answered with no where their definition cannot come along."""


class Slice:
    """A file in the making: `need` brings in a definition of the package and says under which name."""

    def __init__(
        self, package: Package, allowed: frozenset[str],
        special: Callable[["Slice", Definition], list[ast.stmt] | None] = lambda slice, definition: None,
        table: Callable[["Slice", str, str], ast.expr | None] | None = None, reserved: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """Args:
        special: may give other statements for a definition (a package's own idiom written out).
        table: what stands in place of a call (its text, its only argument) that reads a table of the package.
        reserved: names that nothing brought in may have.
        """
        self.package, self.allowed, self.special, self.table = package, allowed, special, table
        self.statements: list[str] = []
        self.imports: dict[str, str] = {}
        """Local name → import statement."""
        self.names: dict[tuple[str, str], str] = {("", name): name for name in reserved}
        self.emitted: dict[int, ast.stmt] = {}
        self.substituted: set[External] = set()

    def text(self) -> str:
        """The file so far."""
        imports = sorted(set(self.imports.values()), key=lambda line: (line.startswith("from"), line))
        return "\n\n\n".join(["\n".join(imports), *self.statements]).strip() + "\n"

    def need(self, dotted: str, name: str) -> str:
        """Bring in what `name` means in a module; returns what it is called here.

        Raises:
            UnsliceableError: it cannot stand alone.
        """
        meaning = self.package.resolve(dotted, name)
        return self.of(meaning, f"{dotted}.{name}")

    def of(self, meaning: Meaning, wanted: str) -> str:
        """As `need`, of a name that was resolved already."""
        if isinstance(meaning, Definition):
            return self._define(meaning)
        if isinstance(meaning, External):
            return self._import(meaning)
        if meaning is None and SWITCH.search(wanted.rpartition(".")[2]) and wanted.rpartition(".")[2].isupper():
            return "False"
        raise UnsliceableError(f"nothing in the package says what {wanted} is")

    def bind(self, local: str, statement: str) -> str:
        """A name for an import, `local` if it is free."""
        name = local
        while self.imports.get(name, statement) != statement or name in self.names.values():
            name += "_"
        if name != local:
            statement = f"{statement.split(' as ')[0]} as {name}"
        self.imports[name] = statement
        return name

    def _import(self, what: External) -> str:
        if what in SUBSTITUTES:
            if what not in self.substituted:
                self.substituted.add(what)
                self.statements.append(SUBSTITUTES[what])
            return what.name
        if what.module.split(".")[0] not in self.allowed:
            raise UnsliceableError(f"needs {what.module}")
        if not what.name:
            head, _, tail = what.module.rpartition(".")
            usual = USUAL_NAMES.get(what.module, tail)
            if what.module in USUAL_NAMES or not head:
                return self.bind(usual, f"import {what.module}" + (f" as {usual}" if usual != what.module else ""))
            return self.bind(usual, f"from {head} import {tail}")
        if f"{what.module}.{what.name}" in USUAL_NAMES:
            return self._import(External(f"{what.module}.{what.name}", ""))
        return self.bind(what.name, f"from {what.module} import {what.name}")

    def _define(self, found: Definition) -> str:
        key = (found.module.dotted, found.name)
        if key in self.names:
            return self.names[key]
        if len(self.names) > MAX_DEFINITIONS:
            raise UnsliceableError(f"needs more than {MAX_DEFINITIONS} definitions")
        name = found.name
        while name in self.names.values() or name in self.imports:
            name += "_"
        saved = (list(self.statements), dict(self.imports), dict(self.names), dict(self.emitted), set(self.substituted))
        self.names[key] = name
        try:
            self._emit(found, name)
        except UnsliceableError:
            self.statements, self.imports, self.names, self.emitted, self.substituted = saved
            if not SWITCH.search(found.name):
                raise
            self.names[key] = name
            yes = re.search("nvidia|cuda", found.name, re.I) and not re.search(
                r"hopper|blackwell|sm_?\d", found.name, re.I
            )
            is_function = isinstance(found.node, FUNCTIONS)
            answer = f"def {name}(*args):\n    return {bool(yes)}" if is_function else f"{name} = {bool(yes)}"
            self.statements.append(answer)
        return name

    def _emit(self, found: Definition, name: str) -> None:
        if id(found.node) in self.emitted:
            return
        self.emitted[id(found.node)] = found.node
        instead = self.special(self, found)
        if instead is not None:
            for node in instead:
                if isinstance(node, ast.FunctionDef) and node.name == found.name:
                    node.name = name
                self.statements.append(ast.unparse(ast.fix_missing_locations(_renamed(node, found.name, name))))
            return
        node = Rewriter(self, found.module, found.node).rewritten()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.name = name
        elif name != found.name:
            node = _renamed(node, found.name, name)
        self.statements.append(_source(found, node))


def _renamed(node: ast.stmt, old: str, new: str) -> ast.stmt:
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and child.id == old:
            child.id = new
    return node


def _source(found: Definition, node: ast.stmt) -> str:
    """The statement's own text, with its comments, where only its decorators changed."""
    if not isinstance(node, ast.FunctionDef) or not isinstance(found.node, ast.FunctionDef):
        return ast.unparse(node)
    if _bare(node) != _bare(found.node):
        return ast.unparse(node)
    lines = found.module.lines[found.node.lineno - 1 : found.node.end_lineno]
    if not re.match(rf"\s*def {re.escape(node.name)}\b", lines[0]):  # a function that was renamed
        return ast.unparse(node)
    indent = len(lines[0]) - len(lines[0].lstrip())
    text = "".join(line[indent:] if not line[:indent].strip() else line for line in lines).rstrip()
    return "".join(f"@{ast.unparse(d)}\n" for d in node.decorator_list) + text


def _bare(node: ast.FunctionDef) -> str:
    plain = copy.copy(node)
    plain.decorator_list = []
    return ast.dump(plain)
