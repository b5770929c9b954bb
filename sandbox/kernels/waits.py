"""Whether programs of a launch may order themselves: kernels that look at what an atomic returns, or wait for memory.

Decided from syntax, for functions that `kernels.source` has found to be within the language. What is said here decides
how strictly `sandbox.interpreting.memory_watch` judges races, so nothing that waits may be overlooked; but what only
looks as if it waited gains little: programs run in random order all the same.
"""

import ast
from collections.abc import Collection, Iterable, Mapping

from sandbox.kernels.syntax import walk
from sandbox.kernels.text import KernelError

Function = ast.FunctionDef
MAX_WORK = 500_000
"""About a second. Every loop is looked at by itself, and in it every branch: that is cubic in how deep they nest."""
_LOADS = ("load", "load_tensor_descriptor")


def uses_atomic_results(function: Function, known: Mapping[str, str]) -> bool:
    """An atomic's result is used; to give it a name that is never read is no use."""
    read = {n.id for n in walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    dropped = set()
    for node in walk(function):
        unread = isinstance(node, ast.Assign) and all(
            isinstance(target, ast.Name) and target.id not in read for target in node.targets
        )
        if isinstance(node, ast.Expr) or unread:
            dropped.add(id(node.value))  # type: ignore[attr-defined]  # both kinds have one
    return any(
        _called(node, known).startswith("atomic_") and id(node) not in dropped
        for node in walk(function)
        if isinstance(node, ast.Call)
    )


def waits(functions: Collection[Function], known: Mapping[str, str]) -> bool:
    """A `while` loop may end, or not, by what it reads from memory itself: by a load, an atomic, or a kernel function
    that contains one. Loops over what was read before them do not wait: nothing that happens elsewhere ends them.

    Args:
        functions: kernels, and all kernel functions that they use.
        known: names for Triton's language in the file, as `kernels.source.aliases`.

    Raises:
        KernelError: loops and branches hold too much, too deep, for finding out.
    """
    if sum(map(_work, functions)) > MAX_WORK:
        raise KernelError("the kernels nest loops and branches too deeply; split them")
    called = {f.name: {_called(node, known) for node in walk(f) if isinstance(node, ast.Call)} for f in functions}
    readers = _spread({name for name, inside in called.items() if any(map(_touches, inside))}, called)
    loops = [node for function in functions for node in walk(function) if isinstance(node, ast.While)]
    return any(_waits(loop, readers, known) for loop in loops)


def _work(function: Function) -> int:
    """Nodes that `_waits` comes by, once for each pair of a `while` around it and a loop or the like in that."""
    total, queue = 0, list[tuple[ast.AST, int, int]]([(function, 0, 0)])
    while queue:
        node, loops, pairs = queue.pop()
        if isinstance(node, ast.While | ast.If | ast.For | ast.NamedExpr | ast.comprehension):
            loops += isinstance(node, ast.While)
            pairs += loops
        total += pairs
        queue += [(child, loops, pairs) for child in ast.iter_child_nodes(node)]
    return total


def _waits(loop: ast.While, readers: set[str], known: Mapping[str, str]) -> bool:
    def reads(node: ast.AST) -> bool:
        return any(_touches(name) or name in readers for name in (_called(n, known) for n in walk(node)))

    sources: dict[str, set[str]] = {}
    """Name that the loop stores → expressions that it comes from; expression → names in it."""
    fresh: set[str] = set()
    """Names whose value may come from memory, read inside the loop."""
    for node in walk(loop):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.NamedExpr):
            source, stored = node.value, _stored([node])
        elif isinstance(node, ast.For | ast.comprehension):
            source, stored = node.iter, _stored([node])
        elif isinstance(node, ast.If | ast.While) and node is not loop:
            source, stored = node.test, _stored([*node.body, *node.orelse])
        else:
            continue
        if source is not None:
            place = str(id(source))  # one link a name, not one a pair of names
            sources[place] = _loaded(source)
            for name in stored:
                sources.setdefault(name, set()).add(place)
            fresh |= stored if reads(source) else set()
    fresh = _spread(fresh, sources)
    ends = [
        node.test
        for node in walk(loop)
        if isinstance(node, ast.If) and any(isinstance(n, ast.Break | ast.Return) for n in walk(node))
    ]
    return any(reads(test) or _loaded(test) & fresh for test in (loop.test, *ends))


def _spread(found: set[str], sources: Mapping[str, set[str]]) -> set[str]:
    """`found`, and every name that has one of them among its sources, directly or not."""
    users: dict[str, list[str]] = {}
    for name, inside in sources.items():
        for source in inside:
            users.setdefault(source, []).append(name)
    reached, queue = set(found), list(found)
    while queue:
        fresh = [name for name in users.get(queue.pop(), []) if name not in reached]
        reached.update(fresh)
        queue += fresh
    return reached


def _touches(name: str) -> bool:
    """What is called so reads memory."""
    return name in _LOADS or name.startswith("atomic_")


def _called(node: ast.AST, known: Mapping[str, str]) -> str:
    """Last part of the name of what is called, `""` where nothing is."""
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    return known.get(name, name).replace(":", ".").split(".")[-1]


def _loaded(node: ast.AST) -> set[str]:
    return {n.id for n in walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _stored(nodes: Iterable[ast.AST]) -> set[str]:
    return {n.id for node in nodes for n in walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
