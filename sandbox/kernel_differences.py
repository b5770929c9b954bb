"""What a kernel may not say because Python and Triton's compiler understand it differently, and `triton_python` cannot
make one of the other.
"""

import ast
from collections.abc import Iterator
from types import NoneType

from sandbox.kernel_signature import path_of
from sandbox.kernel_text import Function, KernelError

_SOMETIMES = (ast.BoolOp, ast.IfExp, ast.ListComp)
"""What is inside may be evaluated or not, or is of a scope of its own."""


def check_understood(function: Function) -> None:
    """Raises:
    KernelError: the kernel asks whether two things are one object, declares a variable without a value or as what is no
        name of a type, or assigns by `:=` where that may not come to pass.
    """
    for node in _nodes(function):
        where = f"kernel {function.name}, line {getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.Compare) and not all(_is_plain(*pair) for pair in _compared(node)):
            raise KernelError(f"{where}: `is` may only ask for None, True or False; compare by ==")
        if isinstance(node, ast.AnnAssign) and (node.value is None or not path_of(node.annotation)):
            raise KernelError(f"{where}: a variable's annotation must be the name of a type, and come with a value")
        sometimes = isinstance(node, _SOMETIMES) or (isinstance(node, ast.Compare) and len(node.ops) > 1)
        if sometimes and any(isinstance(inner, ast.NamedExpr) for inner in ast.walk(node)):
            raise KernelError(f"{where}: := may only stand where it is always evaluated; assign before")


def _nodes(function: Function) -> Iterator[ast.AST]:
    for statement in function.body:
        yield from ast.walk(statement)


def _compared(node: ast.Compare) -> Iterator[tuple[ast.cmpop, ast.expr, ast.expr]]:
    return zip(node.ops, [node.left, *node.comparators], node.comparators, strict=False)


def _is_plain(operator: ast.cmpop, left: ast.expr, right: ast.expr) -> bool:
    alone = any(isinstance(side, ast.Constant) and type(side.value) in (NoneType, bool) for side in (left, right))
    return alone or not isinstance(operator, ast.Is | ast.IsNot)
