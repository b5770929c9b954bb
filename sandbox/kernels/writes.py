"""Which memory a kernel may write to, guessed from its source: too much rather than too little."""

import ast
import functools
from collections.abc import Iterator

from sandbox.kernels.signature import last_name
from sandbox.kernels.syntax import walk


@functools.cache
def may_write(source: str) -> frozenset[str]:
    """Parameters of the function in `source` from which a pointer that it stores to may come."""
    function = next(node for node in walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    parameters = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    origins = {parameter.arg: {parameter.arg} for parameter in parameters}

    def of(node: ast.AST) -> set[str]:
        return set().union(*(origins.get(n.id, set()) for n in walk(node) if isinstance(n, ast.Name)))

    flows = list(_flows(function))
    for _ in flows:  # at most one name more in each round
        before = {name: set(found) for name, found in origins.items()}
        for target, value in flows:
            for name in (n.id for n in walk(target) if isinstance(n, ast.Name)):
                origins[name] = origins.get(name, set()) | of(value)
        if origins == before:
            break
    return frozenset().union(*(of(node) for node in _stored_to(function)))


def _flows(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, ast.AST]]:
    """What is assigned to, and what."""
    for node in walk(function):
        if isinstance(node, ast.Assign):
            yield from ((target, node.value) for target in node.targets)
        elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            yield node.target, node.value
        elif isinstance(node, ast.For | ast.comprehension):
            yield node.target, node.iter


def _stored_to(function: ast.FunctionDef) -> Iterator[ast.AST]:
    for node in walk(function):
        if isinstance(node, ast.Call):
            name = last_name(node.func)
            if isinstance(node.func, ast.Name):  # perhaps another function of the file
                yield from [*node.args, *(keyword.value for keyword in node.keywords)]
            elif name == "store" or name.startswith("atomic_"):
                yield from node.args[:1]
                yield from (keyword.value for keyword in node.keywords if keyword.arg in ("pointer", "desc"))
                yield node.func  # a descriptor's own method
