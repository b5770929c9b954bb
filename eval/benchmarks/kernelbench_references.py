"""KernelBench's references through the judge's own steps, no candidate: what can be posed on this machine at all.

`python -m eval.benchmarks.kernelbench_references FD REQUEST` says of each problem, one JSON line, whether the judge can
load it, describe it, draw its inputs, and compute what is expected, in the problem's precision and in float64.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from eval.benchmarks.kernelbench_upstream import environment
from sandbox import isolation
from sandbox.numerics import compare
from sandbox.reference import BrokenReferenceError, Reference, leaves, structure
from sandbox.types import Case, Record, Tolerance


class Posable(Record):
    """What is asked about one problem."""

    name: str
    reference: str
    cases: tuple[Case, ...]
    tolerance: Tolerance


def examine(problem: Posable, device: str) -> dict[str, Any]:
    """Whether it ran, how far the problem's precision is from float64, and seconds; else the reason."""
    began = time.monotonic()
    try:
        reference = Reference(problem.reference, "ModelNew", device)
        error = max(_error(reference, case, problem.tolerance) for case in problem.cases)
    except Exception as found:  # a task's code may raise anything, and the next task is to be tried
        return {"name": problem.name, "ran": False, "reason": f"{type(found).__name__}: {found}"[:400]}
    finally:
        torch.cuda.empty_cache()
    return {"name": problem.name, "ran": True, "rel_l2": error, "seconds": round(time.monotonic() - began, 2)}


def _error(reference: Reference, case: Case, tolerance: Tolerance) -> float:
    described = reference.describe(case)
    drawn = reference.draw(case)
    if reference.description(drawn) != described:
        raise BrokenReferenceError("the inputs change their shapes from one draw to the next")
    honest, truth = reference.run(drawn, double=False), reference.run(drawn, double=True)
    structure(honest)
    pairs = list(zip(leaves(honest), leaves(truth), strict=True))
    del honest, truth
    compared = [compare(one, exact, one, tolerance) for one, exact in pairs]
    if reasons := [c.reason for c in compared if c.reason]:
        raise BrokenReferenceError(reasons[0])
    return max((c.rel_l2 for c in compared), default=0.0)


def examined(problems: Sequence[Posable]) -> Iterator[dict[str, Any]]:
    """A row a problem, from a process that is replaced when one of them ends it."""
    left = list(problems)
    while left:
        done = 0
        with tempfile.TemporaryDirectory(prefix="kernelwright-references-") as scratch:
            request = Path(scratch) / "request.json"
            request.write_text(json.dumps([problem.model_dump(mode="json") for problem in left]))
            reader, writer = os.pipe()
            command = [sys.executable, "-m", "eval.benchmarks.kernelbench_references", str(writer), str(request)]
            process = subprocess.Popen(
                command, pass_fds=(writer,), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=scratch,
                env=environment(Path(scratch)),
            )  # fmt: skip
            os.close(writer)
            with os.fdopen(reader) as lines:
                for line in lines:
                    done += 1
                    yield json.loads(line)
            code = process.wait()
        left = left[done:]
        if left:
            yield {"name": left.pop(0).name, "ran": False, "reason": f"it ended the process with exit code {code}"}


def main() -> None:
    isolation.die_with_parent()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with os.fdopen(int(sys.argv[1]), "w") as replies:
        for problem in json.loads(Path(sys.argv[2]).read_text()):
            replies.write(json.dumps(examine(Posable.model_validate(problem), device)) + "\n")
            replies.flush()


if __name__ == "__main__":
    main()
