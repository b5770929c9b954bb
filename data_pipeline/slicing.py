"""One function of a package as a file of its own: with the helpers, constants and imports that it needs, and no others.

Differs from copying text in these ways:
1. names are followed through the package's imports; what is defined elsewhere is brought along;
2. what only serves the package is dropped: logging, warnings, its own decorators, the backward pass of autograd
   functions, switches in the environment (their defaults hold), questions about other vendors' hardware (answer: no);
3. decorators of Triton stay; an autotuner of the package's own becomes Triton's.
A function whose text did not change keeps its comments.
"""

import ast
import builtins
import copy
import re
from collections.abc import Callable, Iterable

from data_pipeline.namespace import FUNCTIONS, Definition, External, Inside, Meaning, Package, SourceModule

CANDIDATE_IMPORTS = frozenset(
    ["torch", "triton", "math", "typing", "functools", "dataclasses", "collections", "itertools", "numpy", "__future__"]
)
"""As `sandbox.screen` allows."""
REFERENCE_IMPORTS = CANDIDATE_IMPORTS - {"triton"}
MAX_DEFINITIONS = 80
USUAL_NAMES = {"triton.language": "tl", "torch.nn.functional": "F", "numpy": "np"}
KEPT_DECORATORS = re.compile(
    r"^(staticmethod|classmethod|property|(dataclasses\.)?dataclass\b|(functools\.)?(lru_)?cache\b)"
)
TUNING = ("configs", "key", "prune_configs_by", "reset_to_zero", "restore_value")
SWITCH = re.compile(r"^_*(is|has|use|supports?|allow|enable)_|_(available|supported|enabled)$", re.I)
"""Names of host questions that are answered with no where their definition cannot come along."""
VERSION = re.compile(r"(torch|triton|version)[\w.]*\.?(__version__|parse\()|[Vv]ersion\(")
"""Comparisons of versions: this is the newest."""
DEVICE = re.compile(r"device|nullcontext|\bctx\b|torch\.no_grad|autocast")
CHATTER = re.compile(r"^(_?log(ger|ging)?|warnings|_?LOG(GER)?)\.|^(print|warn|rank_zero_warn|log_once)\(")
REARRANGE = '''
def {name}(tensor, pattern, **sizes):
    """einops.{name}, for one tensor."""

    def groups(side):
        found, inside = [], False
        for token in side.replace("(", " ( ").replace(")", " ) ").split():
            if token in "()":
                inside = token == "("
                found += [[]] if inside else []
            elif inside:
                found[-1].append(token)
            else:
                found.append([] if token == "1" else [token])
        return found

    left, right = map(groups, pattern.split("->"))
    spare = [f"_{{n}}" for n in range(tensor.dim() - len(left) + 1)]
    left = [g for group in left for g in ([[s] for s in spare] if group == ["..."] else [group])]
    right = [g for group in right for g in ([[s] for s in spare] if group == ["..."] else [group])]
    right = [[n for name in group for n in (spare if name == "..." else [name])] for group in right]
    for group, size in zip(left, tensor.shape):
        unknown = [name for name in group if name not in sizes]
        for name in unknown:
            sizes[name] = size // math.prod(sizes[other] for other in group if other != name)
    order = [name for group in left for name in group]
    tensor = tensor.reshape([sizes[name] for name in order])
    for name in (n for group in right for n in group):
        if name not in order:
            tensor = tensor.unsqueeze(-1).expand(*tensor.shape, sizes[name])
            order.append(name)
    tensor = tensor.permute([order.index(name) for group in right for name in group])
    return tensor.reshape([math.prod(sizes[name] for name in group) for group in right])
'''
SUBSTITUTES = {
    External("einops", "rearrange"): "import math\n\n" + REARRANGE.format(name="rearrange"),
    External("einops", "repeat"): "import math\n\n" + REARRANGE.format(name="repeat"),
    External("operator", "mul"): "def mul(a, b):\n    return a * b",
    External("numbers", "Number"): "Number = (int, float)",
}
"""Small things of modules that a candidate may not import."""


class UnsliceableError(ValueError):
    """The function cannot stand alone; the message names what keeps it."""


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
        self.emitted: set[int] = set()
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
            usual = USUAL_NAMES.get(what.module, what.module if "." not in what.module else what.module.split(".")[-1])
            head, _, tail = what.module.rpartition(".")
            plain = f"import {what.module}" if not head else f"import {what.module} as {usual}"
            return self.bind(
                usual,
                f"import numpy as np"
                if what.module == "numpy"
                else plain
                if usual in ("tl", "F") or not head
                else f"from {head} import {tail}",
            )
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
        saved = (list(self.statements), dict(self.imports), dict(self.names), set(self.emitted), set(self.substituted))
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
        self.emitted.add(id(found.node))
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


class Rewriter(ast.NodeTransformer):
    """A definition with its names as they are called in the slice."""

    def __init__(self, slice: Slice, module: SourceModule, node: ast.stmt) -> None:
        self.slice, self.module = slice, module
        self.node = copy.deepcopy(node)
        self.jitted = isinstance(node, ast.FunctionDef) and is_jit(slice.package, module, node)
        if isinstance(self.node, ast.ClassDef) and any(
            ast.unparse(b).endswith("autograd.Function") for b in node.bases
        ):
            self.node.body = [n for n in self.node.body if isinstance(n, ast.FunctionDef) and n.name == "forward"]
        self.local_imports: dict[str, tuple[str, str]] = {}
        for child in ast.walk(self.node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                self.local_imports |= module.import_names(child)
        is_scope = isinstance(node, FUNCTIONS + (ast.ClassDef,))
        self.bound = {name for name in _bound(self.node) if is_scope or name not in module.definitions}
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            self.bound.discard(node.name)

    def rewritten(self) -> ast.stmt:
        node = self.visit(self.node)
        assert isinstance(node, ast.stmt)
        return ast.fix_missing_locations(node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Store) or node.id in self.bound:
            return node
        meaning = self._meaning(node.id)
        if meaning is None and (hasattr(builtins, node.id) or node.id == "__name__"):
            return node
        return ast.copy_location(ast.Name(self.slice.of(meaning, node.id), node.ctx), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        inside = self._inside(node.value)
        if inside is None:
            self.generic_visit(node)
            return node
        name = self.slice.need(inside.dotted, node.attr)
        return ast.copy_location(ast.Name(name, ast.Load()), node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        called = ast.unparse(node.func)
        if called in ("os.environ.get", "os.getenv", "environ.get", "getenv"):
            default = node.args[1] if len(node.args) > 1 else ast.Constant(None)
            return ast.copy_location(default, node)
        if called.endswith("compare_version"):
            return ast.copy_location(ast.Constant(True), node)
        if self.slice.table is not None and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
            entry = self.slice.table(self.slice, called, str(node.args[0].value))
            if entry is not None:
                self.bound |= {"triton"}
                return ast.copy_location(entry, node)
        if called.endswith("autotune") or called.endswith("tuner"):
            node.keywords = [k for k in node.keywords if k.arg in TUNING]
        self.generic_visit(node)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        if len(node.ops) == 1 and VERSION.search(ast.unparse(node)):
            if isinstance(node.ops[0], ast.Gt | ast.GtE | ast.Lt | ast.LtE):
                return ast.copy_location(ast.Constant(isinstance(node.ops[0], ast.Gt | ast.GtE)), node)
        self.generic_visit(node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        if isinstance(node.value, ast.Call) and CHATTER.match(ast.unparse(node.value)):
            return ast.copy_location(ast.Pass(), node)
        self.generic_visit(node)
        return node

    def visit_With(self, node: ast.With) -> ast.stmt | list[ast.stmt]:
        """Choosing a device is the caller's business; everything lies on one."""
        node.items = [item for item in node.items if not DEVICE.search(ast.unparse(item.context_expr))]
        self.generic_visit(node)
        return node if node.items else node.body

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        return ast.copy_location(ast.Pass(), node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        return ast.copy_location(ast.Pass(), node)

    def visit_Global(self, node: ast.Global) -> ast.stmt:
        raise UnsliceableError(f"keeps state in the global {node.names[0]}")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        jitted = self.jitted and node is self.node
        node.decorator_list = [
            d for d in map(self._decorator if jitted else _kept, node.decorator_list) if d is not None
        ]
        if not jitted:
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg) and not self._plain(argument.annotation):
                    argument.annotation = None
            if not self._plain(node.returns):
                node.returns = None
        self.generic_visit(node)
        node.body = _without_needless_pass(node.body)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if not self._plain(node.annotation) and isinstance(node.target, ast.Name) and node.value is not None:
            if "constexpr" not in ast.unparse(node.annotation):
                plain = ast.Assign(targets=[node.target], value=node.value, type_comment=None)
                return self.generic_visit(ast.copy_location(plain, node)) or plain  # type: ignore[return-value]
        self.generic_visit(node)
        return node

    def _decorator(self, node: ast.expr) -> ast.expr | None:
        """Of a kernel: Triton's own stay; of the package's own, one with configurations becomes Triton's autotuner."""
        target = node.func if isinstance(node, ast.Call) else node
        root = target
        while isinstance(root, ast.Attribute):
            root = root.value
        meaning = self._meaning(root.id) if isinstance(root, ast.Name) else None
        if isinstance(meaning, External) and meaning.module.split(".")[0] == "triton":
            return node
        if isinstance(node, ast.Call) and any(k.arg == "configs" for k in node.keywords):
            triton = ast.Name(self.slice.of(External("triton", ""), "triton"), ast.Load())
            self.bound.add(triton.id)
            keywords = [k for k in node.keywords if k.arg in TUNING]
            return ast.Call(ast.Attribute(triton, "autotune", ast.Load()), [], keywords)
        return None

    def _plain(self, annotation: ast.expr | None) -> bool:
        """Whether an annotation needs nothing but torch, typing and builtins."""
        if annotation is None:
            return True
        for node in ast.walk(annotation):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                return False
            if isinstance(node, ast.Name) and not hasattr(builtins, node.id):
                meaning = self._meaning(node.id)
                if not (isinstance(meaning, External) and meaning.module.split(".")[0] in ("torch", "typing")):
                    return False
        return True

    def _meaning(self, name: str) -> Meaning:
        if name in self.local_imports:
            return self.slice.package.imported(*self.local_imports[name])
        return self.slice.package.resolve(self.module.dotted, name)

    def _inside(self, node: ast.expr) -> Inside | None:
        """The module of the package that an expression stands for."""
        if isinstance(node, ast.Name) and node.id not in self.bound:
            meaning = self._meaning(node.id)
            return meaning if isinstance(meaning, Inside) else None
        if isinstance(node, ast.Attribute):
            outer = self._inside(node.value)
            if outer is not None:
                meaning = self.slice.package.resolve(outer.dotted, node.attr)
                return meaning if isinstance(meaning, Inside) else None
        return None


def is_jit(package: Package, module: SourceModule, node: ast.stmt) -> bool:
    """Whether a function is a Triton kernel, however its file spells the decorator."""
    if not isinstance(node, ast.FunctionDef):
        return False
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        text = ast.unparse(target)
        if text.endswith("triton.jit"):
            return True
        if isinstance(target, ast.Name):
            meaning = package.resolve(module.dotted, target.id)
            if isinstance(meaning, External) and meaning.module.startswith("triton") and meaning.name == "jit":
                return True
    return False


def _kept(decorator: ast.expr) -> ast.expr | None:
    return decorator if KEPT_DECORATORS.match(ast.unparse(decorator)) else None


def _bound(node: ast.AST) -> set[str]:
    """Every name that is local to a definition, nested scopes included."""
    found = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store | ast.Del):
            found.add(child.id)
        elif isinstance(child, ast.arg):
            found.add(child.arg)
        elif isinstance(child, FUNCTIONS + (ast.ClassDef,)):
            found.add(child.name)
        elif isinstance(child, ast.ExceptHandler) and child.name:
            found.add(child.name)
    return found


def _without_needless_pass(body: list[ast.stmt]) -> list[ast.stmt]:
    kept = [node for node in body if not isinstance(node, ast.Pass)]
    return kept or [ast.Pass()]


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
