"""What a kernel may not say because Python and Triton's compiler understand it differently, and
`triton_private.python` cannot make one of the other.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType

from sandbox.kernels.scopes import assigned, inside, variables
from sandbox.kernels.signature import last_name
from sandbox.kernels.syntax import walk
from sandbox.kernels.text import Function, KernelError

ASSERTION = "static_assert"
DTYPE = re.compile(r"(int|uint|float|bfloat)\d+\w*")


def check_understood(function: Function, known: Mapping[str, str]) -> None:
    """Args:
        known: names for Triton's language in the file, as `kernels.source.aliases`.

    Raises:
        KernelError: the kernel asks whether two things are one object, declares a variable without a value, assigns by
            `:=` where that may not come to pass, or comes at another time, or says something else that Triton passes
            over.
    """
    where = f"kernel {function.name}, line"
    if function.args.posonlyargs:
        raise KernelError(f"{where} {function.lineno}: Triton does not count parameters before `/`; leave it out")
    own = assigned(function)
    for node, sometimes in _nodes(function):
        line = getattr(node, "lineno", "?")
        if isinstance(node, ast.Compare) and not all(_is_plain(*pair) for pair in _compared(node)):
            raise KernelError(f"{where} {line}: `is` may only ask for None, True, False or a dtype; compare by ==")
        if isinstance(node, ast.AnnAssign) and node.value is None:
            raise KernelError(f"{where} {line}: a variable may not be declared without a value")
        if isinstance(node, ast.NamedExpr) and sometimes:
            raise KernelError(f"{where} {line}: := may only stand where always evaluated, and in order; assign before")
        if isinstance(node, ast.For | ast.While) and node.orelse:
            raise KernelError(f"{where} {line}: a loop may have no else; write what follows behind it")
        if isinstance(node, ast.stmt) and (taken := _taken(own, node)):
            raise KernelError(f"{where} {line}: a comprehension assigns {taken!r} to Triton; use a name of its own")
    for call in _assertions(function, known):
        if any(map(_acts, [*call.args[1:], *call.keywords])):
            raise KernelError(f"{where} {call.lineno}: the message of a static_assert may hold no calls; write a text")


def _nodes(function: Function) -> Iterator[tuple[ast.AST, bool]]:
    """All of the body, each with whether it may be evaluated or not, at another time, or is of a scope of its own."""
    queue: list[tuple[ast.AST, bool, frozenset[str]]] = [(statement, False, frozenset()) for statement in function.body]
    while queue:
        node, sometimes, read = queue.pop()
        yield node, sometimes or (isinstance(node, ast.NamedExpr) and node.target.id in read)
        chained = isinstance(node, ast.Compare) and len(node.ops) > 1
        sometimes = sometimes or chained or isinstance(node, ast.BoolOp | ast.IfExp | ast.ListComp)
        late = [] if sometimes else _late(node)
        if isinstance(node, ast.Call):  # what keywords assign comes to Triton before these are read
            read |= {inner.id for part in late for inner in walk(part) if isinstance(inner, ast.Name)}
        ids = set(map(id, late))
        queue += [(child, sometimes or id(child) in ids, read) for child in ast.iter_child_nodes(node)]


def _taken(own: set[str], statement: ast.stmt) -> str:
    """One of the kernel's `own` variables that a comprehension has too, where it may be read before it is set again."""
    parts = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.expr)]
    nodes = [node for part in parts for node in walk(part)]
    found = {name.id: name for node in nodes if isinstance(node, ast.ListComp) for name in variables(node)}
    if not found:
        return ""
    within = set(inside(parts))
    read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and id(n) not in within}
    risky = found.keys() & read if isinstance(statement, ast.Assign) else found.keys()
    return min(risky & own, default="")


def _late(node: ast.AST) -> Sequence[ast.AST]:
    """What is computed again, or after what follows it."""
    if isinstance(node, ast.While):
        return [node.test]
    if isinstance(node, ast.For):
        return [node.iter]
    return node.args if isinstance(node, ast.Call) and node.keywords else []


def _assertions(function: Function, known: Mapping[str, str]) -> Iterator[ast.Call]:
    """Calls of `static_assert`, whose message Triton computes only if it fails.

    Raises:
        KernelError: it is something else than called.
    """
    nodes = [node for statement in function.body for node in walk(statement)]
    calls = {id(node.func): node for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if ASSERTION in (last_name(node), known.get(last_name(node), "").rpartition(":")[2]):
            if id(node) not in calls:
                raise KernelError(f"kernel {function.name}: {ASSERTION} may only be called, and by its name")
            yield calls[id(node)]


def _acts(node: ast.AST) -> bool:
    return any(isinstance(inner, ast.Call | ast.NamedExpr) for inner in walk(node))


def _compared(node: ast.Compare) -> Iterator[tuple[ast.cmpop, ast.expr, ast.expr]]:
    return zip(node.ops, [node.left, *node.comparators], node.comparators, strict=False)


def _is_plain(operator: ast.cmpop, left: ast.expr, right: ast.expr) -> bool:
    return not isinstance(operator, ast.Is | ast.IsNot) or any(map(_is_one_object, (left, right)))


def _is_one_object(side: ast.expr) -> bool:
    """What there is once, for Python and Triton alike; nothing but the language has attributes of these names."""
    if isinstance(side, ast.Attribute):
        return DTYPE.fullmatch(side.attr) is not None
    return isinstance(side, ast.Constant) and type(side.value) in (NoneType, bool)
