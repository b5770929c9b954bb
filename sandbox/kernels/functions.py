"""Function definitions of a candidate file: which of them are kernels, and which of several of one name is meant."""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping

from sandbox.kernels.signature import last_name
from sandbox.kernels.syntax import walk
from sandbox.kernels.text import Function


def functions(tree: ast.Module) -> dict[str, Function]:
    """All function definitions of a candidate by name, wherever they stand; a later one wins."""
    return {node.name: node for node in walk(tree) if isinstance(node, Function)}


def first_line(function: Function) -> int:
    """Decorators included."""
    return min([function.lineno, *(d.lineno for d in function.decorator_list)])


def at_compile_time(function: Function) -> bool:
    """Python evaluates it, on constants, and not Triton's compiler."""
    return any(last_name(decorator) == "constexpr_function" for decorator in function.decorator_list)


def evaluated(tree: ast.Module) -> list[Function]:
    return [node for node in walk(tree) if isinstance(node, Function) and at_compile_time(node)]


def meant(tree: ast.Module, lines: Mapping[str, int | None]) -> tuple[dict[str, Function], set[str]]:
    """All function definitions by name, and the names of which it is not clear what they mean: of several functions of
    one name that one is meant which begins where `lines` says.

    The plan says so, as Python decided it (`if … else`, a second version further down): a lie is another candidate.
    """
    found, times = functions(tree), Counter(n.name for n in walk(tree) if isinstance(n, Function))
    unclear = {name for name, count in times.items() if count > 1}
    named = [n for n in walk(tree) if isinstance(n, Function) and n.name in unclear]
    told = {node.name: node for node in named if lines.get(node.name) == first_line(node)}
    return {**found, **told}, unclear - told.keys()


def jit_functions(tree: ast.Module) -> list[Function]:
    """Functions decorated with something that ends in `jit`, or passed to `triton.jit(...)`, by whatever name."""
    names = _names_of_jit(tree)
    wrapped = {
        call.args[0].id
        for call in walk(tree)
        if isinstance(call, ast.Call)
        and last_name(call.func) in names
        and call.args
        and isinstance(call.args[0], ast.Name)
    }
    return [
        node
        for node in walk(tree)
        if isinstance(node, Function)
        and (
            node.name in wrapped
            or any(last_name(d.func if isinstance(d, ast.Call) else d) in names for d in node.decorator_list)
        )
    ]


def _names_of_jit(tree: ast.Module) -> set[str]:
    """`jit`, and what the file makes of it: another name, a partial application, a decorator of its own."""
    found = {"jit"}
    for node, around in _with_functions(tree):
        if last_name(node) == "jit":
            found |= around
        elif isinstance(node, ast.ImportFrom):
            found |= {name.asname for name in node.names if name.name == "jit" and name.asname}
        elif isinstance(node, ast.Assign) and any(last_name(inner) == "jit" for inner in walk(node.value)):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def _with_functions(tree: ast.Module) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    """All nodes, with the names of the functions in whose bodies they stand."""
    queue: list[tuple[ast.AST, frozenset[str]]] = [(tree, frozenset())]
    while queue:
        node, around = queue.pop()
        yield node, around
        body = set(map(id, node.body)) if isinstance(node, Function) else set()
        inside = around | {node.name} if isinstance(node, Function) else around
        queue += [(child, inside if id(child) in body else around) for child in ast.iter_child_nodes(node)]
