"""Is a record a benchmark's item in other words? KernelBench and TritonBench, from clones.

Three ways to tell, each of which is enough: a function that is a near-copy of one of the benchmark's (`fingerprint`),
a reference that applies exactly the operators of one of its references (`operators`), or its name. Erring on the side
of dropping: a training set can spare a task, a score that was trained on cannot be trusted.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from datasketch import MinHashLSH

from configs.errors import UsageError
from data_pipeline.fingerprint import PERMUTATIONS, Fingerprint, fingerprints, jaccard
from data_pipeline.operators import Operators, operators
from sandbox.types import Record

NEAR = 0.8
"""Functions that share this much are copies of one another."""
CANDIDATES = 0.7
"""What the index must bring up to be looked at; below `NEAR`, as an index of MinHashes misses some."""
SEPARATOR = "#" * 146
"""Between code and test in TritonBench's files."""


class Item(NamedTuple):
    """One task of a benchmark."""

    name: str
    """`KernelBench/level1/19_ReLU`, `TritonBench_G/softmax_triton1`, …"""
    code: str
    entry_point: str
    """Function or class whose operators count; empty where the code is Triton, not PyTorch."""


class Match(Record):
    """Why a record must not be trained on."""

    item: str
    by: Literal["code", "operators", "name"]
    similarity: float
    """Shared share of the most similar functions; 1 for the other two."""


class BenchmarkMissingError(UsageError):
    """A clone is not where the configuration says, or not of the expected form; the message names it."""


def kernelbench(clone: Path) -> Iterator[Item]:
    """Levels 1 to 4.

    Raises:
        BenchmarkMissingError: the clone holds no `KernelBench/level1/*.py`.
    """
    files = sorted((clone / "KernelBench").glob("level[1-4]/*.py"))
    if not files:
        raise BenchmarkMissingError(f"{clone} holds no KernelBench/level1/*.py; it must be a clone of KernelBench")
    for path in files:
        yield Item(f"KernelBench/{path.parent.name}/{path.stem}", path.read_text(), "Model")


def tritonbench(clone: Path) -> Iterator[Item]:
    """G (Triton code) and T (PyTorch functions).

    Raises:
        BenchmarkMissingError: the clone holds no `data/TritonBench_G_v1` or no `data/TritonBench_T_v1.jsonl`.
    """
    data = clone / "data"
    files, listed = sorted((data / "TritonBench_G_v1").glob("*.py")), data / "TritonBench_T_v1.jsonl"
    if not files or not listed.exists():
        raise BenchmarkMissingError(
            f"{data} holds no TritonBench_G_v1/*.py or no {listed.name}; {clone} must be a clone of TritonBench"
        )
    for path in files:
        yield Item(f"TritonBench_G/{path.stem}", path.read_text().split(SEPARATOR)[0], "")
    for row in json.loads(listed.read_text()):  # an array, despite the name
        stem = Path(row["file"]).stem
        path = clone / "data" / "TritonBench_T_v1" / row["file"]
        code = path.read_text().split(SEPARATOR)[0] if path.exists() else str(row["torch_code"])
        yield Item(f"TritonBench_T/{stem}", code, stem)


class Benchmarks:
    """All items that must not be trained on, indexed."""

    def __init__(self, items: list[Item]) -> None:
        self._functions: dict[str, tuple[str, Fingerprint]] = {}
        self._index = MinHashLSH(threshold=CANDIDATES, num_perm=PERMUTATIONS)
        self._operators: dict[Operators, str] = {}
        self._names: dict[str, str] = {}
        for item in items:
            self._names.setdefault(_plain(item.name.rpartition("/")[2]), item.name)
            applied = operators(item.code, item.entry_point) if item.entry_point else ()
            if applied:
                self._operators.setdefault(applied, item.name)
            for number, one in enumerate(fingerprints(item.code)):
                key = f"{item.name}:{number}"
                self._functions[key] = item.name, one
                self._index.insert(key, one.minhash())

    def match(self, code: str, reference: str = "", entry_point: str = "", name: str = "") -> Match | None:
        """The nearest benchmark item if the record is one, else None.

        Args:
            code: Triton or PyTorch text; each of its functions is compared.
            reference: PyTorch source whose `entry_point`'s operators are compared, where there is one.
            name: of the operator, where it has one that means something.
        """
        near = self.nearest(code, reference)
        if near is not None and near.similarity >= NEAR:
            return near
        applied = operators(reference, entry_point) if reference else ()
        if applied in self._operators:
            return Match(item=self._operators[applied], by="operators", similarity=1.0)
        if name and _plain(name) in self._names:
            return Match(item=self._names[_plain(name)], by="name", similarity=1.0)
        return None

    def nearest(self, *codes: str) -> Match | None:
        """The benchmark item with the most similar function, however similar; None if the index knows none like it."""
        best: Match | None = None
        for one in (found for code in codes for found in fingerprints(code)):
            for key in self._index.query(one.minhash()):
                item, other = self._functions[key]
                similarity = jaccard(one.shingles, other.shingles)
                if best is None or similarity > best.similarity:
                    best = Match(item=item, by="code", similarity=similarity)
        return best


def _plain(name: str) -> str:
    """`19_ReLU` and `relu` are one name."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^\d+_", "", name).lower())
