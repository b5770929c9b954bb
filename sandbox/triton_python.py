"""Kernels as Triton's compiler reads them, for an interpreter that would read them as Python.

To the compiler `and` has no order where its operands are tensors; `not`, a choice by a tensor, and what is assigned are
tensors, in tuples too; a list is a tuple, and an f-string has no formats. A kernel that can tell may work where it is
interpreted and idle where it is compiled. So its text is rewritten before Triton's interpreter gets it. What cannot be
rewritten is refused by `kernel_differences`.

Not covered: a function that returns equal numbers, differently written, in both branches of a condition on tensors.
"""

import ast
import builtins
import functools
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import FunctionRewriter, TensorHandle

Operand = Callable[[], Any]
_PREFIX = "__as_compiled"
"""No candidate can give a name that begins so."""
_SEEN = f"{_PREFIX}_seen"


def rewritten(source: str, as_python: Collection[str]) -> str:
    """A clean module's text. `as_python`: functions that are Python's to the compiler as well."""
    tree = ast.parse(source)
    for function in tree.body:
        assert isinstance(function, ast.FunctionDef)
        rewriter = _Values() if function.name in as_python else _AsCompiled(function)
        rewriter.generic_visit(function)
        if isinstance(rewriter, _AsCompiled) and rewriter.decides:
            function.body.insert(0, ast.Assign([ast.Name(_SEEN, ast.Store())], ast.Set([ast.Constant(0)])))
    return ast.unparse(ast.fix_missing_locations(tree))


def helpers() -> dict[str, Any]:
    """What the text calls."""
    found = (_value, _plain, _bound, _annotated, _every, _some, _not, _chosen, _noted, _returned, tuple)
    return {_PREFIX + function.__name__: function for function in found}


def readable(line: str) -> str:
    """A line of that text, without what it calls."""
    try:
        tree = _Unwrapped().visit(ast.parse(line.strip()))
    except SyntaxError:  # the head of a loop or a condition
        return re.sub(rf"{_PREFIX}\w+", "", line)
    return re.sub(rf"{_PREFIX}\w+", "", ast.unparse(tree))


class _Unwrapped(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        own = isinstance(node.func, ast.Name) and node.func.id.startswith(_PREFIX)
        return node.args[-1] if own and not isinstance(node.args[-1], ast.Lambda) else node


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
        return _call(_value, node.value) if node.attr == "value" else node


class _AsCompiled(_Values):
    """All the rest, for one function."""

    def __init__(self, function: ast.FunctionDef) -> None:
        returns = [node for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
        self.decides = len({ast.dump(node) for node in returns}) > 1
        """It may return one thing or another."""

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        self.generic_visit(node)
        return ast.FormattedValue(_call(_plain, node.value), node.conversion, None)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """Chains are left to Triton's interpreter; `is` asks for None, True or False."""
        self.generic_visit(node)
        if isinstance(node.ops[0], ast.Is | ast.IsNot):
            node.left = _call(_plain, node.left)
        return node

    def visit_List(self, node: ast.List) -> ast.AST:
        self.generic_visit(node)
        return ast.Tuple(node.elts, node.ctx) if isinstance(node.ctx, ast.Load) else node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        self.generic_visit(node)
        return _call(tuple, node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        return _call(_every if isinstance(node.op, ast.And) else _some, *map(_later, node.values))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return _call(_not, node.operand) if isinstance(node.op, ast.Not) else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        return _call(_chosen, node.test, _later(node.body), _later(node.orelse))

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        node.value = _call(_bound, node.value)
        return node

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        self.generic_visit(node)
        node.value = _call(_bound, node.value)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """A constant stays what it is, if that is what the annotation stands for."""
        self.generic_visit(node)
        if node.value:
            node.value = _call(_annotated, node.annotation, node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        old = ast.parse(ast.unparse(node.target), mode="eval").body
        return ast.Assign([node.target], _call(_bound, ast.BinOp(old, node.op, node.value)))

    def visit_Assert(self, node: ast.Assert) -> list[ast.AST]:
        self.generic_visit(node)
        return [ast.Expr(part) for part in (node.test, node.msg) if part]

    def visit_If(self, node: ast.If) -> ast.AST:
        returns = any(isinstance(inner, ast.Return) for inner in ast.walk(node))
        self.generic_visit(node)
        if self.decides and returns:
            node.test = _call(_noted, ast.Name(_SEEN, ast.Load()), node.test)
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        self.generic_visit(node)
        if self.decides and node.value:
            node.value = _call(_returned, ast.Name(_SEEN, ast.Load()), node.value)
        return node


def _call(function: Callable[..., Any], *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(_PREFIX + function.__name__, ast.Load()), list(arguments), [])


def _later(operand: ast.expr) -> ast.Lambda:
    return ast.Lambda(ast.arguments([], [], None, [], [], None, []), operand)


def _value(constant: Any) -> Any:
    return getattr(constant, "value", constant)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, tl.constexpr) else value


def _bound(value: Any) -> Any:
    """What a name stands for once it is assigned."""
    if isinstance(value, builtins.tuple):
        return interpreter._tuple_create(value, map(_bound, value))
    if isinstance(value, tl.tuple):
        return tl.tuple([_bound(item) for item in value])
    return interpreter.interpreter_semantic.to_tensor(value, False)


def _annotated(kind: Any, value: Any) -> Any:
    return _plain(value) if kind is tl.constexpr else _bound(value)


def _every(*operands: Operand) -> Any:
    return _joined(operands, False, interpreter.interpreter_semantic.logical_and)


def _some(*operands: Operand) -> Any:
    return _joined(operands, True, interpreter.interpreter_semantic.logical_or)


def _joined(operands: tuple[Operand, ...], last: bool, join: Callable[[Any, Any], Any]) -> Any:
    """A constant ends it or does not matter; whatever is no constant has been computed by then."""
    found, value = [], None
    for operand in operands:
        value = operand()
        if isinstance(value, tl.tensor):
            found.append(value)
        elif bool(value) is last:
            return value
    return functools.reduce(lambda right, left: join(left, right), reversed(found)) if found else value


def _not(value: Any) -> Any:
    return interpreter.interpreter_semantic.not_(value) if isinstance(value, tl.tensor) else not value


def _chosen(test: Any, body: Operand, orelse: Operand) -> Any:
    chosen = body() if test else orelse()
    return interpreter.interpreter_semantic.to_tensor(chosen, False) if isinstance(test, tl.tensor) else chosen


def _noted(seen: set[int], test: Any) -> Any:
    """The test of a condition that may end the function; a compiler goes both ways if it is a tensor."""
    if isinstance(test, tl.tensor):
        seen.add(1)
    return test


def _returned(seen: set[int], value: Any) -> Any:
    return _bound(value) if 1 in seen else value


def least(*numbers: Any) -> Any:
    """`min` of a kernel."""
    tensors = any(isinstance(number, tl.tensor) for number in numbers)
    return functools.reduce(tl.minimum, numbers) if tensors else min(*numbers)


def largest(*numbers: Any) -> Any:
    """`max` of a kernel."""
    tensors = any(isinstance(number, tl.tensor) for number in numbers)
    return functools.reduce(tl.maximum, numbers) if tensors else max(*numbers)


def counted(first: Any, last: Any = None, step: Any = 1, **options: Any) -> Iterator[Any]:
    """`range` and `tl.range` as a compiled kernel has them: the variable is a tensor of one number, with its methods,
    its width and its overflow. Triton's interpreter hands out Python's numbers, which have neither.

    Raises:
        ValueError: the loop would count down, by a step that is not known at compile time: compiled, it ends at once.
    """
    if isinstance(step, tl.tensor) and int(step) <= 0:
        raise ValueError("a range counts down by a constant step only; make the step a tl.constexpr")
    bounds = (0, first) if last is None else (first, last)
    wide = any(isinstance(b, tl.tensor) and b.dtype == tl.int64 for b in (*bounds, step))
    array, dtype = (np.int64, tl.int64) if wide else (np.int32, tl.int32)
    for number in range(*(int(_value(b)) for b in (*bounds, 1 if step is None else step))):
        yield tl.tensor(TensorHandle(np.array([number], array), dtype), dtype)


OWN = {"min": least, "max": largest, "range": counted}
"""What kernels have instead of Python's own."""
