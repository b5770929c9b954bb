"""Kernels as Triton's compiler reads them, for an interpreter that would read them as Python.

To the compiler `and` has no order where its operands are tensors; `not`, a choice by a tensor, and what is assigned are
tensors, in tuples too; a list is a tuple, and an f-string has no formats. A kernel that can tell may work where it is
interpreted and idle where it is compiled. So its text is rewritten before Triton's interpreter gets it. What cannot be
rewritten is refused by `kernels.differences`.

Not covered: a function that returns equal numbers, differently written, in both branches of a condition on tensors.
"""

import ast
import re
from collections.abc import Callable, Collection
from typing import Any

from triton.compiler.code_generator import CodeGenerator
from triton.runtime.interpreter import FunctionRewriter

from sandbox.kernels.returns import followed
from sandbox.kernels.scopes import assigned, variables
from sandbox.kernels.signature import last_name
from sandbox.kernels.syntax import walk
from sandbox.triton_private import values
from sandbox.triton_private.loops import bounded, branch, gone, python_range, repeated, turning
from sandbox.triton_private.values import largest, least

_PREFIX = "__as_compiled_"
"""No candidate can give a name that begins so."""
_SEEN, _TEST = f"{_PREFIX}seen", f"{_PREFIX}test"
RETURNS_TENSORS = not hasattr(CodeGenerator, "decide_return_type")
"""Triton 3.6: what a function returns is no constant."""


def rewritten(source: str, as_python: Collection[str]) -> str:
    """A clean module's text. `as_python`: functions that are Python's to the compiler as well."""
    tree = ast.parse(source)
    for function in tree.body:
        assert isinstance(function, ast.FunctionDef)
        rewriter = _Values() if function.name in as_python else _AsCompiled(function)
        rewriter.generic_visit(function)
        if isinstance(rewriter, _AsCompiled) and rewriter.returns:
            function.body.insert(0, ast.Assign([ast.Name(_SEEN, ast.Store())], ast.Set([ast.Constant(0)])))
            function.body.append(ast.Expr(_call(values.ended, ast.Name(_SEEN, ast.Load()))))
    return ast.unparse(ast.fix_missing_locations(tree))


def helpers() -> dict[str, Any]:
    """What the text calls."""
    found = (
        values.value_of, values.plain, values.bound, values.annotated, values.every, values.some, values.opposite,
        values.chosen, values.noted, values.returned, values.early, values.ended, values.constant,
        values.called, bounded, branch, gone, repeated, turning, tuple,
    )  # fmt: skip
    return {_PREFIX + function.__name__: function for function in found}


def readable(line: str) -> str:
    """A line of that text, without what it calls."""
    line = re.sub(rf"with {_PREFIX}{branch.__name__}\((.*)\) as {_TEST}:", r"if \1:", line)
    try:
        tree = _Unwrapped().visit(ast.parse(line.strip()))
    except SyntaxError:  # the head of a loop or a condition
        return re.sub(rf"{_PREFIX}\w+", "", line)
    return re.sub(rf"{_PREFIX}\w+", "", ast.unparse(tree))


class _Unwrapped(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == _PREFIX + values.called.__name__:
            function, arguments = node.args
            assert isinstance(arguments, ast.Lambda) and isinstance(arguments.body, ast.Tuple)
            return ast.Call(function, arguments.body.elts, node.keywords)
        if not name.startswith(_PREFIX):
            return node
        return node if isinstance(node.args[-1], ast.Lambda) else node.args[-1]


def mend_rewriter() -> None:
    """Triton's interpreter takes the last line that begins with `def` for a function's first, be it in a text. For
    good.
    """

    def first(self: Any, lines: list[str]) -> int:
        return next(number for number, line in enumerate(lines, 1) if line.lstrip().startswith("def "))

    FunctionRewriter._find_def = first


class _Values(ast.NodeTransformer):
    """`BLOCK.value` of a constexpr, which the interpreter hands over as a plain number."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return _call(values.value_of, node.value) if node.attr == "value" else node


class _AsCompiled(_Values):
    """All the rest, for one function."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self.returns = [node for node in walk(function) if isinstance(node, ast.Return) and node.value]
        self.decides = len({ast.dump(node) for node in self.returns}) > 1
        """It may return one thing or another."""
        self.followed = followed(function)
        self.own = assigned(function)
        self.inside = 0
        """Loops and conditions around."""

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        self.generic_visit(node)
        return ast.FormattedValue(_call(values.plain, node.value), node.conversion, None)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """Chains are left to Triton's interpreter; `is` asks for None, True or False."""
        self.generic_visit(node)
        if any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
            sides: list[ast.expr] = [_call(values.plain, side) for side in (node.left, *node.comparators)]
            node.left, node.comparators = sides[0], sides[1:]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """What is given by name is computed first."""
        self.generic_visit(node)
        if not all(any(map(_calls, side)) for side in (node.args, node.keywords)):
            return node
        call = _call(values.called, node.func, _later(ast.Tuple(node.args, ast.Load())))
        return ast.Call(call.func, call.args, node.keywords)

    def visit_For(self, node: ast.For) -> list[ast.AST]:
        """A `static_range` is known to leave its last number where it stands by itself."""
        called = last_name(node.iter.func) if isinstance(node.iter, ast.Call) else ""
        stays = called == "static_range" and not self.inside
        self._visit_inside(node)
        if called == "range" and isinstance(node.iter, ast.Call) and len(node.iter.args) == 1:
            (bound,) = node.iter.args
            if not node.iter.keywords and _calls(bound):
                node.iter = _call(bounded, node.iter.func, _later(bound))
        return [node] if stays else [node, ast.Assign([node.target], _call(gone))]

    def visit_While(self, node: ast.While) -> ast.AST:
        self._visit_inside(node)
        node.test = _call(repeated, node.test)
        return ast.With([ast.withitem(_call(turning))], [node])

    def _visit_inside(self, node: ast.AST) -> None:
        self.inside += 1
        self.generic_visit(node)
        self.inside -= 1

    def visit_List(self, node: ast.List) -> ast.AST:
        self.generic_visit(node)
        return ast.Tuple(node.elts, node.ctx) if isinstance(node.ctx, ast.Load) else node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        self.generic_visit(node)
        for part in node.generators:
            part.ifs = [_call(values.constant, condition) for condition in part.ifs]
        return _call(tuple, node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        return _call(values.every if isinstance(node.op, ast.And) else values.some, *map(_later, node.values))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return _call(values.opposite, node.operand) if isinstance(node.op, ast.Not) else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        return _call(values.chosen, node.test, _later(node.body), _later(node.orelse))

    def visit_Assign(self, node: ast.Assign) -> list[ast.AST]:
        """A comprehension leaves its variables to the function, if that has them."""
        comprehensions = [inner for inner in walk(node.value) if isinstance(inner, ast.ListComp)]
        left = {name.id for comprehension in comprehensions for name in variables(comprehension)} & self.own
        left -= {inner.id for target in node.targets for inner in walk(target) if isinstance(inner, ast.Name)}
        self.generic_visit(node)
        node.value = _call(values.bound, node.value)
        return [node, *(ast.Assign([ast.Name(name, ast.Store())], _call(gone)) for name in sorted(left))]

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        self.generic_visit(node)
        node.value = _call(values.bound, node.value)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """A constant stays what it is, if that is what the annotation stands for."""
        self.generic_visit(node)
        if node.value:
            node.value = _call(values.annotated, node.annotation, node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        old = ast.parse(ast.unparse(node.target), mode="eval").body
        return ast.Assign([node.target], _call(values.bound, ast.BinOp(old, node.op, node.value)))

    def visit_Assert(self, node: ast.Assert) -> list[ast.AST]:
        self.generic_visit(node)
        return [ast.Expr(part) for part in (node.test, node.msg) if part]

    def visit_If(self, node: ast.If) -> ast.AST:
        """Whatever calls something may come to a loop."""
        returns = any(isinstance(inner, ast.Return) for inner in walk(node))
        calls = any(_calls(part) or _loops(part) for part in (*node.body, *node.orelse))
        self._visit_inside(node)
        if self.returns and returns:
            node.test = _call(values.noted, ast.Name(_SEEN, ast.Load()), node.test)
        if not calls:
            return node
        around = ast.withitem(_call(branch, node.test), ast.Name(_TEST, ast.Store()))
        node.test = ast.Name(_TEST, ast.Load())
        return ast.With([around], [node])

    def visit_Return(self, node: ast.Return) -> ast.AST:
        self.generic_visit(node)
        if not node.value:
            return node
        if RETURNS_TENSORS:
            node.value = _call(values.bound, node.value)
        elif self.decides:
            node.value = _call(values.returned, ast.Name(_SEEN, ast.Load()), node.value)
        if (certain := self.followed.get(node)) is not None:
            node.value = _call(values.bound if certain else values.early, node.value)
        return node


def _call(function: Callable[..., Any], *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(_PREFIX + function.__name__, ast.Load()), list(arguments), [])


def _calls(node: ast.AST) -> bool:
    return any(isinstance(inner, ast.Call) for inner in walk(node))


def _loops(node: ast.AST) -> bool:
    return any(isinstance(inner, ast.For | ast.While) for inner in walk(node))


def _later(operand: ast.expr) -> ast.Lambda:
    return ast.Lambda(ast.arguments([], [], None, [], [], None, []), operand)


OWN: dict[str, Any] = {"min": least, "max": largest, "range": python_range, "isinstance": isinstance}
"""What kernels have instead of Python's own, and what only some may say (`kernels.source`)."""
