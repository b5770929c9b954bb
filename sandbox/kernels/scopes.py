"""Which names a kernel function binds itself. `kernels.source` asks no more about those, so each must stand for nothing
else anywhere in the function: elsewhere it would be a name of the module that executes it.
"""

import ast
from collections.abc import Iterator, Sequence

from sandbox.kernels.syntax import walk
from sandbox.kernels.text import Function, KernelError


def bound(function: Function) -> set[str]:
    """Parameters, and names that the body assigns: what decorators and annotations assign is the module's.

    Raises:
        KernelError: the variable of a comprehension occurs outside it too, where Python does not know it.
    """
    names, targets = assigned(function), _targets(function)
    named = [node for statement in function.body for node in _names(statement)]
    within = targets.keys() | set(inside(function.body))
    own = {name.id for name in targets.values()} - names
    for name in named:
        if name.id in own and id(name) not in within:
            raise KernelError(
                f"kernel {function.name}, line {name.lineno}: {name.id!r} is the variable of a comprehension; use "
                "another name outside it"
            )
    return names | own


def assigned(function: Function) -> set[str]:
    """Parameters, and names that the body assigns other than as the variable of a comprehension."""
    arguments = function.args
    names = {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
    names |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a}
    targets = _targets(function)
    stored = (name for statement in function.body for name in _names(statement) if isinstance(name.ctx, ast.Store))
    return names | {name.id for name in stored if id(name) not in targets}


def variables(comprehension: ast.ListComp) -> list[ast.Name]:
    """What it assigns."""
    return [name for part in comprehension.generators for name in _names(part.target)]


def _targets(function: Function) -> dict[int, ast.Name]:
    nodes = (node for statement in function.body for node in walk(statement))
    return {id(name): name for node in nodes if isinstance(node, ast.ListComp) for name in variables(node)}


def inside(body: Sequence[ast.AST]) -> Iterator[int]:
    """Identities of names that stand for a variable of a comprehension around them. What a comprehension goes through
    is of the scope around it.
    """
    around: list[tuple[ast.AST, frozenset[str]]] = [(node, frozenset()) for node in body]
    while around:
        node, known = around.pop()
        if isinstance(node, ast.Name) and node.id in known:
            yield id(node)
        if isinstance(node, ast.ListComp):
            own = known | {name.id for name in variables(node)}
            around.append((node.elt, own))
            around += [(condition, own) for part in node.generators for condition in part.ifs]
            around += [(part.iter, known) for part in node.generators]
        else:
            around += [(child, known) for child in ast.iter_child_nodes(node)]


def _names(node: ast.AST) -> Iterator[ast.Name]:
    return (n for n in walk(node) if isinstance(n, ast.Name))
