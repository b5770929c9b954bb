"""Where Python and Triton read one syntax differently: clean kernel source is rewritten for the interpreter.

To Triton a block has no truth of its own: `and`, `or` and `not` go element by element, and both sides are evaluated
unless the first is a compile-time constant that decides. `min` and `max` go element by element too. A number becomes a
tensor, with its methods, as soon as a name is given to it or a run-time condition chooses it.
"""

import ast
import builtins
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import TensorHandle

_TEMPORARY = "__operand"
"""Names that no candidate can give, these and those of `OPERATIONS`."""


def rewritten(source: str, compile_time: Collection[str]) -> str:
    """Equal source but for what `OPERATIONS` does, which must be among its names. The functions in `compile_time` are
    Python's.
    """
    module = ast.parse(source)
    constants = {name: _Values() for name in compile_time}
    body = [constants.get(getattr(node, "name", ""), _Rewriter()).visit(node) for node in module.body]
    return ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))


class _Values(ast.NodeTransformer):
    """`BLOCK.value` of a constexpr, which the interpreter hands over as a plain number."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return _call("__plain_value", node.value) if node.attr == "value" else node


class _Rewriter(_Values):
    def __init__(self) -> None:
        self.temporaries = 0

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        """Goes over a tuple that is known at compile time, and Python allows no `:=` there."""
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """`a and b` → `a' if __decides_and(a' := a) else __and(a', b)`; so `b` may be of no use where `a` decides."""
        self.generic_visit(node)
        word = "and" if isinstance(node.op, ast.And) else "or"
        found = node.values[0]
        for value in node.values[1:]:
            name = self._temporary()
            test = _call(f"__decides_{word}", ast.NamedExpr(ast.Name(name, ast.Store()), found))
            found = ast.IfExp(test, _load(name), _call(f"__{word}", _load(name), value))
        return found

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return _call("__not", node.operand) if isinstance(node.op, ast.Not) else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        name = self._temporary()
        test = ast.NamedExpr(ast.Name(name, ast.Store()), node.test)
        return ast.IfExp(test, *(_call("__chosen", _load(name), value) for value in (node.body, node.orelse)))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        self.generic_visit(node)
        return ast.NamedExpr(node.target, _call("__named", node.value))

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """Triton's interpreter does it for single names."""
        self.generic_visit(node)
        if any(isinstance(target, ast.Tuple | ast.List) for target in node.targets):
            node.value = _call("__named", node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.target, ast.Name):
            return node
        return ast.Assign([node.target], ast.BinOp(_load(node.target.id), node.op, node.value))

    def _temporary(self) -> str:
        self.temporaries += 1
        return f"{_TEMPORARY}{self.temporaries}"


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(_load(name), list(arguments), [])


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def plain(constant: Any) -> Any:
    return getattr(constant, "value", constant)


def _and(left: Any, right: Any) -> Any:
    """Where `left` does not decide: it is a tensor, or a constant that is true."""
    if not isinstance(left, tl.tensor):
        return right
    if not isinstance(right, tl.tensor):
        return left if right else right
    return left.logical_and(right)


def _or(left: Any, right: Any) -> Any:
    if not isinstance(left, tl.tensor):
        return right
    if not isinstance(right, tl.tensor):
        return right if right else left
    return left.logical_or(right)


def _not(operand: Any) -> Any:
    return operand.__not__() if isinstance(operand, tl.tensor) else not operand


def _named(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_named(item) for item in value)
    return interpreter.interpreter_semantic.to_tensor(value, False)


def _least(*values: Any) -> Any:
    return _folded(tl.minimum, values) if _tensors(values) else builtins.min(*values)


def _largest(*values: Any) -> Any:
    return _folded(tl.maximum, values) if _tensors(values) else builtins.max(*values)


def _folded(function: Any, values: tuple[Any, ...]) -> Any:
    found = values[0]
    for value in values[1:]:
        found = function(found, value)
    return found


def _tensors(values: tuple[Any, ...]) -> bool:
    return len(values) > 1 and any(isinstance(value, tl.tensor) for value in values)


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
    for number in range(*(int(plain(b)) for b in (*bounds, 1 if step is None else step))):
        yield tl.tensor(TensorHandle(np.array([number], array), dtype), dtype)


OPERATIONS = {
    "__plain_value": plain,
    "__decides_and": lambda value: not isinstance(value, tl.tensor) and not value,
    "__decides_or": lambda value: not isinstance(value, tl.tensor) and bool(value),
    "__and": _and,
    "__or": _or,
    "__not": _not,
    "__named": _named,
    "__chosen": lambda condition, value: _named(value) if isinstance(condition, tl.tensor) else value,
}
"""By the name that rewritten source calls it."""

BUILTINS = {"min": _least, "max": _largest, "range": counted}
"""What Triton has its own of."""
