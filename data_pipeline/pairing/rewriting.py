"""A definition of a package with its names as another file calls them, without what only serves the package."""

import ast
import builtins
import copy
import re
from typing import TYPE_CHECKING

from data_pipeline.pairing.namespace import FUNCTIONS, External, Inside, Meaning, Package, SourceModule

if TYPE_CHECKING:
    from data_pipeline.pairing.slicing import Slice

KEPT_DECORATORS = re.compile(
    r"^(staticmethod|classmethod|property|(dataclasses\.)?dataclass\b|(functools\.)?(lru_)?cache\b)"
)
TUNING = ("configs", "key", "prune_configs_by", "reset_to_zero", "restore_value")
VERSION = re.compile(r"(torch|triton|version)[\w.]*\.?(__version__|parse\()|[Vv]ersion\(")
"""Comparisons of versions: this is the newest."""
DEVICE = re.compile(r"device|nullcontext|\bctx\b|torch\.no_grad|autocast")
CHATTER = re.compile(r"^(_?log(ger|ging)?|warnings|_?LOG(GER)?)\.|^(print|warn|rank_zero_warn|log_once)\(")


class UnsliceableError(ValueError):
    """The function cannot stand alone; the message names what keeps it."""


class Rewriter(ast.NodeTransformer):
    """A definition with its names as they are called in the slice."""

    def __init__(self, slice: "Slice", module: SourceModule, node: ast.stmt) -> None:
        self.slice, self.module = slice, module
        self.node = copy.deepcopy(node)
        self.jitted = isinstance(node, ast.FunctionDef) and is_jit(slice.package, module, node)
        if isinstance(self.node, ast.ClassDef) and any(
            ast.unparse(b).endswith("autograd.Function") for b in self.node.bases
        ):
            self.node.body = [n for n in self.node.body if isinstance(n, ast.FunctionDef) and n.name == "forward"]
        self.local_imports: dict[str, tuple[str, str]] = {}
        for child in ast.walk(self.node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                self.local_imports |= module.import_names(child)
        is_scope = isinstance(node, (*FUNCTIONS, ast.ClassDef))
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
        return ast.copy_location(ast.Constant(False) if name == "False" else ast.Name(name, ast.Load()), node)

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
        if called.endswith(("autotune", "tuner")):
            node.keywords = [k for k in node.keywords if k.arg in TUNING]
        self.generic_visit(node)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        ordering = len(node.ops) == 1 and isinstance(node.ops[0], ast.Gt | ast.GtE | ast.Lt | ast.LtE)
        if ordering and VERSION.search(ast.unparse(node)):
            return ast.copy_location(ast.Constant(isinstance(node.ops[0], ast.Gt | ast.GtE)), node)
        self.generic_visit(node)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        """`False and …` needs no more."""
        first = self.visit(node.values[0])
        if isinstance(node.op, ast.And) and isinstance(first, ast.Constant) and first.value is False:
            return first
        node.values = [first, *(self.visit(value) for value in node.values[1:])]
        return node

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt]:
        """A branch that is never taken needs nothing."""
        node.test = self.visit(node.test)
        if isinstance(node.test, ast.Constant) and node.test.value is False:
            node.body = [ast.Pass()]
            self.generic_visit(node)
            return node.orelse or ast.copy_location(ast.Pass(), node)
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
        if not self._plain(node.annotation) and "constexpr" not in ast.unparse(node.annotation):
            plain = ast.copy_location(ast.Assign([node.target], node.value or ast.Constant(None)), node)
            self.generic_visit(plain)
            return plain
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
        elif isinstance(child, (*FUNCTIONS, ast.ClassDef, ast.ExceptHandler)) and child.name:
            found.add(child.name)
    return found


def _without_needless_pass(body: list[ast.stmt]) -> list[ast.stmt]:
    kept = [node for node in body if not isinstance(node, ast.Pass)]
    return kept or [ast.Pass()]
