"""What a kernel may not say because Python and Triton's compiler understand it differently, and `triton_python` cannot
make one of the other.
"""

import ast
import re
from collections.abc import Iterator
from types import NoneType

from sandbox.kernel_text import Function, KernelError

DTYPE = re.compile(r"(int|uint|float|bfloat)\d+\w*")


def check_understood(function: Function) -> None:
    """Raises:
    KernelError: the kernel asks whether two things are one object, declares a variable without a value, or assigns by
        `:=` where that may not come to pass.
    """
    for node, sometimes in _nodes(function):
        where = f"kernel {function.name}, line {getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.Compare) and not all(_is_plain(*pair) for pair in _compared(node)):
            raise KernelError(f"{where}: `is` may only ask for None, True, False or a dtype; compare by ==")
        if isinstance(node, ast.AnnAssign) and node.value is None:
            raise KernelError(f"{where}: a variable may not be declared without a value")
        if isinstance(node, ast.NamedExpr) and sometimes:
            raise KernelError(f"{where}: := may only stand where it is always evaluated; assign before")


def _nodes(function: Function) -> Iterator[tuple[ast.AST, bool]]:
    """All of the body, each with whether it may be evaluated or not, or is of a scope of its own."""
    queue: list[tuple[ast.AST, bool]] = [(statement, False) for statement in function.body]
    while queue:
        node, sometimes = queue.pop()
        yield node, sometimes
        chained = isinstance(node, ast.Compare) and len(node.ops) > 1
        sometimes = sometimes or chained or isinstance(node, ast.BoolOp | ast.IfExp | ast.ListComp)
        queue += [(child, sometimes) for child in ast.iter_child_nodes(node)]


def _compared(node: ast.Compare) -> Iterator[tuple[ast.cmpop, ast.expr, ast.expr]]:
    return zip(node.ops, [node.left, *node.comparators], node.comparators, strict=False)


def _is_plain(operator: ast.cmpop, left: ast.expr, right: ast.expr) -> bool:
    return not isinstance(operator, ast.Is | ast.IsNot) or any(map(_is_one_object, (left, right)))


def _is_one_object(side: ast.expr) -> bool:
    """What there is once, for Python and Triton alike; nothing but the language has attributes of these names."""
    if isinstance(side, ast.Attribute):
        return DTYPE.fullmatch(side.attr) is not None
    return isinstance(side, ast.Constant) and type(side.value) in (NoneType, bool)
