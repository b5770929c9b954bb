"""Broadcasts and casts that change nothing, by what is known of each value: its dimensions, and if it is float32."""

import ast

from data_pipeline.inductor.rewrite import REDUCTIONS, is_number, map_blocks, names_in, stored
from sandbox.kernels.signature import path_of

BLOCKS = {"XBLOCK": "x", "YBLOCK": "y", "ZBLOCK": "z", "R0_BLOCK": "r"}
KEEP_FLOAT = frozenset(
    "sum max min exp exp2 log log2 sqrt rsqrt sin cos abs maximum minimum erf sigmoid floor ceil broadcast_to "
    "tanh log1p expm1 pow".split()
)
"""Functions whose result is float32 where their first argument is."""


class Superfluous(ast.NodeTransformer):
    """Leaves them out of statements that it visits in the order of the program."""

    def __init__(self, types: dict[str, str]) -> None:
        self.pointers = {parameter for parameter, kind in types.items() if kind == "*fp32"}
        self.sizes = {parameter for parameter, kind in types.items() if not kind.startswith("*")}
        self.floating = {parameter for parameter, kind in types.items() if kind.startswith(("*fp", "*bf"))}
        self.dimensions: dict[str, frozenset[str]] = {name: frozenset(d) for name, d in BLOCKS.items()}
        self.floats: set[str] = set()

    def over(self, body: list[ast.stmt]) -> None:
        for statement in body:
            map_blocks(statement.body if isinstance(statement, ast.For) else [], self._statement)
            if not isinstance(statement, ast.For):
                self._statement(statement)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        self._match_literals(node)
        if ast.unparse(node.func) == "tl.broadcast_to":
            wanted = self._dimensions(node.args[1])
            return node.args[0] if wanted and self._dimensions(node.args[0]) >= wanted else node
        if isinstance(node.func, ast.Attribute) and node.func.attr == "to":
            same = ast.unparse(node.args[0]) == "tl.float32" and self._is_float32(node.func.value)
            return node.func.value if same else node
        return node

    def _match_literals(self, node: ast.Call) -> None:
        """`0` beside float32 is `0.0`, and the other way round where integers are loaded."""
        name = ast.unparse(node.func)
        if name in ("tl.where", "tl.maximum", "tl.minimum") and any(self._is_float32(arg) for arg in node.args):
            node.args = [_as_float(argument) for argument in node.args]
        if name == "tl.load" and not set(names_in(node.args[0])) & self.floating:
            for keyword in node.keywords:
                if keyword.arg == "other":
                    keyword.value = ast.Constant(0)

    def _statement(self, statement: ast.stmt) -> ast.stmt:
        self.visit(statement)
        if isinstance(statement, ast.Assign):
            found, text = self._dimensions(statement.value), ast.unparse(statement.value)
            if any(f"tl.{name}(" in text for name in REDUCTIONS) and "keep_dims" not in text:
                found -= {"r"}
            for name in stored(statement):
                self.dimensions[name] = found
                if self._is_float32(statement.value):
                    self.floats.add(name)
                else:
                    self.floats.discard(name)
        return statement

    def _dimensions(self, node: ast.AST) -> frozenset[str]:
        return frozenset(d for name in names_in(node) for d in self.dimensions.get(name, ()))

    def _is_float32(self, node: ast.expr) -> bool:
        """Whether the value certainly is."""
        match node:
            case ast.Name(id=name):
                return name in self.floats
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._is_float32(operand)
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), left=left, right=right):
                sides = [self._is_float32(side) for side in (left, right)]
                neutral = [is_number(side) or set(names_in(side)) <= self.sizes for side in (left, right)]
                return any(sides) and all(a or b for a, b in zip(sides, neutral, strict=True))
            case ast.Subscript(value=value):
                return self._is_float32(value)
            case ast.Call(func=ast.Attribute(attr=name), args=args):
                if name in ("to", "full"):
                    return ast.unparse(args[-1]) == "tl.float32"
                if name == "load":
                    return bool(set(names_in(args[0])) & self.pointers)
                if name == "where":
                    return all(self._is_float32(arg) or is_number(arg) for arg in args[1:])
                return name in KEEP_FLOAT and path_of(node.func)[:1] != [] and self._is_float32(args[0])
        return False


def _as_float(node: ast.expr) -> ast.expr:
    whole = isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool)
    return ast.Constant(float(ast.unparse(node))) if whole else node
