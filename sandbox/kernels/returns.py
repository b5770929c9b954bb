"""Which of a kernel function's returns Triton's frontend goes on from.

What stands behind an `if` on constants is compiled even where that `if` has returned. All returns that are compiled
have one type together: of two different numbers, be one of them dead, it makes a tensor.
"""

import ast
from collections.abc import Iterator, Sequence

from sandbox.kernels.syntax import walk
from sandbox.kernels.text import Function


def followed(function: Function) -> dict[ast.Return, bool]:
    """Returns behind which others stand that return something else. True: one of those is compiled for certain."""
    found = {}
    for node, after in _behind(function.body, []):
        others = [(other, certain) for other, certain in after if ast.dump(other) != ast.dump(node)]
        if others:
            found[node] = any(certain for _, certain in others)
    return found


Behind = Sequence[tuple[ast.Return, bool]]


def _behind(body: list[ast.stmt], after: Behind) -> Iterator[tuple[ast.Return, Behind]]:
    """Each return, with those behind it, and whether they stand under no further condition."""
    for number, statement in enumerate(body):
        if isinstance(statement, ast.Return):
            yield statement, after
            return
        rest = _compiled(body[number + 1 :])
        later = [(node, node in rest) for node in _inside(rest)] + [*after]
        if isinstance(statement, ast.If):
            yield from _behind(statement.body, later)
            yield from _behind(statement.orelse, later)
        elif isinstance(statement, ast.For | ast.While):
            yield from _behind(statement.body, [*later, *((node, False) for node in _inside([statement]))])


def _compiled(body: list[ast.stmt]) -> list[ast.stmt]:
    """All up to a return."""
    ends = [number for number, statement in enumerate(body) if isinstance(statement, ast.Return)]
    return body[: ends[0] + 1] if ends else body


def _inside(body: list[ast.stmt]) -> list[ast.Return]:
    return [node for statement in body for node in walk(statement) if isinstance(node, ast.Return)]
