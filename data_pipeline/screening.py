"""Which proposals may become training data at all: an allowed licence, no duplicate, no item of a benchmark.

Proposals are looked at in their order, so of two duplicates the earlier one stays, whenever the run was interrupted.
"""

import ast
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt

from data_pipeline.contamination import Benchmarks
from data_pipeline.fingerprint import PERMUTATIONS, Fingerprint, Function, fingerprint
from data_pipeline.ledger import Ledger, Row
from sandbox.kernels.syntax import parsed

ALLOWED_LICENCES = frozenset(
    ["Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unlicense", "0BSD", "CC0-1.0", "Zlib", "PSF-2.0"]
)
"""Terms that allow training and redistribution with attribution; provenance stays on every record."""
NEAR = 0.85
"""Kernels (and references from elsewhere) that share this much are one."""
BANDS = PERMUTATIONS // 8
"""With 8 values a band, a pair at `NEAR` meets in one with a probability of 99 %."""
TOGETHER = 100
Refusal = tuple[Literal["licence", "duplicate", "benchmark"], str]


def screen(ledger: Ledger, benchmarks: Benchmarks | None, advance: Callable[[int], None] = lambda count: None) -> None:
    """Decide every proposal of `ledger`: `clean`, or refused and why. `advance` is called with the number of those
    about which nothing more will be decided.
    """
    todo = ledger.rows("proposed")
    while rows := list(islice(todo, TOGETHER)):
        final = 0
        with ledger.transaction():
            for row in rows:
                refusal = _refusal(ledger, benchmarks, row)
                if refusal is None:
                    ledger.decide(row.seq, "clean" if row.kind == "task" else "admitted")
                else:
                    ledger.decide(row.seq, "refused", *refusal)
                final += refusal is not None or row.kind == "kernel"
        advance(final)


def allowed(licence: str) -> bool:
    """Whether every part of an SPDX expression is on the list; for `OR`, one part is enough."""
    choices = licence.replace("(", "").replace(")", "").split(" OR ")
    return any(all(part.strip() in ALLOWED_LICENCES for part in choice.split(" AND ")) for choice in choices)


def _refusal(ledger: Ledger, benchmarks: Benchmarks | None, row: Row) -> Refusal | None:
    if not allowed(row.licence):
        return "licence", row.licence
    if row.origin != "synthetic":  # the generator counts two programs of one structure as one itself
        found = _main_function(row)
        if found is not None and (earlier := _duplicate(ledger, row.seq, found)) is not None:
            return "duplicate", earlier
    if benchmarks is not None:
        match = _match(benchmarks, row)
        if match is not None:
            return "benchmark", match
    return None


def _match(benchmarks: Benchmarks, row: Row) -> str | None:
    if row.kind == "kernel":
        found = benchmarks.match(row.code, name=row.kernel().name.rpartition(".")[2])
    else:
        task = row.task()
        code = row.code if row.origin != "synthetic" else ""  # our templates are like each other, and like many kernels
        names = _classes(task.reference) if task.entry_point == "ModelNew" else [task.entry_point]
        entry_point = "Model" if task.entry_point == "ModelNew" else task.entry_point
        matches = (benchmarks.match(code, task.reference, entry_point, name=name) for name in names or [""])
        found = next((match for match in matches if match is not None), None)
    return None if found is None else f"{found.item} by {found.by}, {found.similarity:.2f}"


def _classes(reference: str) -> list[str]:
    """What a module from elsewhere was called, among them; a near-benchmark hides behind no `Model`."""
    return [node.name for node in _parsed(reference).body if isinstance(node, ast.ClassDef)]


def _parsed(text: str) -> ast.Module:
    """Empty for what is no Python: quality says so later."""
    try:
        return parsed(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _main_function(row: Row) -> Fingerprint | None:
    """Of the kernel itself without its helpers, of a task's reference, or of all methods of a module as one: two
    modules with one `forward` can still be two.
    """
    if row.kind == "kernel":
        tree, name = _parsed(row.code), row.kernel().name.rpartition(".")[2]
    else:
        task = row.task()
        tree, name = _parsed(task.reference), task.entry_point
        if name == "ModelNew":
            classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
            methods = [node for one in classes for node in one.body if isinstance(node, Function)]
            body = [statement for method in methods for statement in method.body]
            nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
            return fingerprint(ast.FunctionDef(name="Model", args=nothing, body=body, decorator_list=[]))
    found = [node for node in ast.walk(tree) if isinstance(node, Function) and node.name == name]
    return fingerprint(found[-1]) if found else None


def _duplicate(ledger: Ledger, seq: int, found: Fingerprint) -> str | None:
    """The id of an earlier record with the same or nearly the same function; else remembers this one."""
    connection = ledger.connection
    same = connection.execute("SELECT seq FROM exact WHERE digest = ?", (found.exact,)).fetchone()
    if same is not None:
        return f"{_id(ledger, same[0])}, equal but for names and numbers"
    signature = np.asarray(found.minhash().hashvalues, np.uint32)
    bands = [(band, part.tobytes()) for band, part in enumerate(np.split(signature, BANDS))]
    for other, value in _candidates(ledger, bands):
        similarity = float(np.mean(signature == value))
        if similarity >= NEAR:
            return f"{_id(ledger, other)}, similarity {similarity:.2f}"
    connection.execute("INSERT INTO exact VALUES (?, ?)", (found.exact, seq))
    connection.execute("INSERT INTO signatures VALUES (?, ?)", (seq, signature.tobytes()))
    connection.executemany("INSERT OR IGNORE INTO bands VALUES (?, ?, ?)", [(*band, seq) for band in bands])
    return None


def _candidates(ledger: Ledger, bands: Sequence[tuple[int, bytes]]) -> list[tuple[int, npt.NDArray[np.uint32]]]:
    """Earlier records that share a band, with their signatures, in order."""
    met: set[int] = set()
    for band in bands:
        met |= {seq for (seq,) in ledger.connection.execute("SELECT seq FROM bands WHERE band=? AND value=?", band)}
    query = "SELECT signature FROM signatures WHERE seq = ?"
    texts = ((seq, ledger.connection.execute(query, (seq,)).fetchone()[0]) for seq in sorted(met))
    return [(seq, np.frombuffer(text, np.uint32)) for seq, text in texts]


def _id(ledger: Ledger, seq: int) -> str:
    return str(ledger.connection.execute("SELECT id FROM records WHERE seq = ?", (seq,)).fetchone()[0])
