"""Which names a kernel function binds itself. `kernel_source` asks no more about those, so each must stand for nothing
else anywhere in the function: elsewhere it would be a name of the module that executes it.
"""

import ast
from collections.abc import Iterator

from sandbox.kernel_text import Function, KernelError


def bound(function: Function) -> set[str]:
    """Parameters, and names that the body assigns: what decorators and annotations assign is the module's.

    Raises:
        KernelError: the variable of a comprehension occurs outside it too, where Python does not know it.
    """
    arguments = function.args
    names = {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
    names |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a}
    nodes = [node for statement in function.body for node in ast.walk(statement)]
    comprehensions = [node for node in nodes if isinstance(node, ast.ListComp)]
    targets = {id(name): name for node in comprehensions for name in _variables(node)}
    named = [node for node in nodes if isinstance(node, ast.Name)]
    names |= {name.id for name in named if isinstance(name.ctx, ast.Store) and id(name) not in targets}
    inside = targets.keys() | {id(name) for node in comprehensions for name in _inside(node)}
    variables = {name.id for name in targets.values()} - names
    for name in named:
        if name.id in variables and id(name) not in inside:
            raise KernelError(
                f"kernel {function.name}, line {name.lineno}: {name.id!r} is the variable of a comprehension; use "
                "another name outside it"
            )
    return names | variables


def _variables(comprehension: ast.ListComp) -> list[ast.Name]:
    return [name for part in comprehension.generators for name in _names(part.target)]


def _inside(comprehension: ast.ListComp) -> Iterator[ast.Name]:
    """Where its variables are read: not in what it goes through, which is of the scope around it."""
    own = {name.id for name in _variables(comprehension)}
    conditions = [condition for part in comprehension.generators for condition in part.ifs]
    for part in (comprehension.elt, *conditions):
        yield from (name for name in _names(part) if name.id in own)


def _names(node: ast.AST) -> Iterator[ast.Name]:
    return (n for n in ast.walk(node) if isinstance(n, ast.Name))
