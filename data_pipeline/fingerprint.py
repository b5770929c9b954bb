"""What of a function is left once names, numbers, comments and order no longer count: for near-copies of code.

Two functions are compared as sets of shingles: short runs of tokens within a statement's expression tree. Local names
become one token, numbers and strings another, so a copy that was renamed or given other sizes has the same shingles;
shingles do not cross statements, so one whose statements were reordered has almost the same. What says what the code
does stays: operators, attributes, names of called functions, control flow.
"""

import ast
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from datasketch import MinHash

from sandbox.kernels.syntax import parsed

SHINGLE = 4
"""Tokens in a shingle."""
PERMUTATIONS = 128
MIN_TOKENS = 40
"""Shorter functions (an activation, an index helper) are alike without being copies."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Fingerprint(NamedTuple):
    """One function."""

    name: str
    exact: str
    """Digest of all tokens in order: equal for copies that differ in names, numbers and comments alone."""
    shingles: frozenset[int]

    def minhash(self) -> MinHash:
        """For an index of near-copies (Broder, On the resemblance and containment of documents, 1997)."""
        found = MinHash(num_perm=PERMUTATIONS, seed=1)
        found.update_batch([value.to_bytes(8, "little") for value in sorted(self.shingles)])
        return found


def jaccard(a: frozenset[int], b: frozenset[int]) -> float:
    """Shared shingles over all shingles, 0 to 1."""
    return len(a & b) / len(a | b) if a or b else 0.0


def fingerprints(code: str) -> list[Fingerprint]:
    """Of every function of a file that is long enough, methods and nested functions included; [] if it is no Python."""
    try:
        tree = parsed(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = (fingerprint(node) for node in ast.walk(tree) if isinstance(node, Function))
    return [one for one in found if one is not None]


def fingerprint(function: Function) -> Fingerprint | None:
    """None for a function of fewer than `MIN_TOKENS` tokens."""
    statements = [list(_tokens(statement)) for statement in _statements(function)]
    total = [token for statement in statements for token in statement]
    if len(total) < MIN_TOKENS:
        return None
    runs = {
        "\0".join(statement[start : start + SHINGLE])
        for statement in statements
        for start in range(max(1, len(statement) - SHINGLE + 1))
    }
    return Fingerprint(
        name=function.name,
        exact=hashlib.sha256("\0".join(total).encode()).hexdigest()[:32],
        shingles=frozenset(_hash(run) for run in runs),
    )


def _hash(text: str) -> int:
    return int(np.frombuffer(hashlib.blake2b(text.encode(), digest_size=8).digest(), np.uint64)[0])


def _statements(function: Function) -> Iterator[ast.stmt]:
    """All statements of the body, those inside control flow too, docstrings and nested functions left out."""
    queue: list[ast.stmt] = list(function.body)
    while queue:
        node = queue.pop(0)
        if isinstance(node, Function | ast.ClassDef):
            continue
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield node
        queue += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


def _tokens(node: ast.AST) -> Iterator[str]:
    """The node and what belongs to it, in order, but not statements inside it."""
    match node:
        case ast.Name():
            yield "name"
        case ast.Constant():
            yield type(node.value).__name__ if isinstance(node.value, str | bytes | bool | None) else "number"
        case ast.Attribute():
            yield f".{node.attr}"
            yield from _tokens(node.value)
        case ast.Call():
            yield "call"
            yield _called(node.func)
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                yield from _tokens(argument)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
            yield "number"
        case _:
            yield type(node).__name__
            for child in ast.iter_child_nodes(node):
                if not isinstance(child, ast.stmt | ast.expr_context):
                    yield from _tokens(child)


def _called(function: ast.expr) -> str:
    """The last part of a called name: `tl.load` and `triton.language.load` are one."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else type(function).__name__
