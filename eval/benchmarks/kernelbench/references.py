"""KernelBench's references through the judge's own steps, no candidate: what can be posed on this machine at all.

`python -m eval.benchmarks.kernelbench.references FD REQUEST` says of each problem, one JSON line, whether the judge can
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

from eval.benchmarks.kernelbench.upstream import environment
from sandbox.jail import isolation
from sandbox.judging.judge import same_layout
from sandbox.judging.reference import Reference, leaves, structure
from sandbox.types import Case, Record

PART = 1 << 26
"""Elements."""


class Posable(Record):
    """What is asked about one problem."""

    name: str
    reference: str
    cases: tuple[Case, ...]


def examine(problem: Posable, device: str) -> dict[str, Any]:
    """Whether it ran, how far the problem's precision is from float64, and seconds; else the reason."""
    torch.cuda.empty_cache()
    began = time.monotonic()
    try:
        reference = Reference(problem.reference, "ModelNew", device)
        error = max(_error(reference, case) for case in problem.cases)
    except Exception as found:  # a task's code may raise anything, and the next task is to be tried
        return {"name": problem.name, "ran": False, "reason": f"{type(found).__name__}: {found}"[:400]}
    return {"name": problem.name, "ran": True, "rel_l2": error, "seconds": round(time.monotonic() - began, 2)}


def _error(reference: Reference, case: Case) -> float:
    described = reference.describe(case)
    drawn = reference.draw(case)
    same_layout(reference.description(drawn), described)
    honest, truth = reference.run(drawn, double=False), reference.run(drawn, double=True)
    structure(honest)
    return max(_apart(*pair) for pair in zip(leaves(honest), leaves(truth), strict=True))


def _apart(one: torch.Tensor, exact: torch.Tensor) -> float:
    """Relative L2 distance where both are finite. In parts: outputs can be a fifth of a GPU's memory."""
    error = norm = torch.zeros((), dtype=torch.float64, device=one.device)
    one, exact = one.flatten(), exact.flatten()
    for start in range(0, one.numel(), PART):
        y, r = one[start : start + PART].double(), exact[start : start + PART].double()
        finite = y.isfinite() & r.isfinite()
        error = error + torch.where(finite, y - r, 0).square().sum()
        norm = norm + torch.where(finite, r, 0).square().sum()
    return float((error / norm.clamp_min(torch.finfo(torch.float32).tiny)).sqrt())


def examined(problems: Sequence[Posable]) -> Iterator[dict[str, Any]]:
    """A row a problem, from a process that is replaced when one of them ends it."""
    left = list(problems)
    while left:
        done = 0
        with tempfile.TemporaryDirectory(prefix="kernelwright-references-") as scratch:
            request = Path(scratch) / "request.json"
            request.write_text(json.dumps([problem.model_dump(mode="json") for problem in left]))
            reader, writer = os.pipe()
            command = [sys.executable, "-m", "eval.benchmarks.kernelbench.references", str(writer), str(request)]
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
        if left and (code or not done):
            yield {"name": left.pop(0).name, "ran": False, "reason": f"it ended the process with exit code {code}"}


def _lost() -> bool:
    """Whether a fault of the device has left this process without a CUDA context."""
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def main() -> None:
    isolation.die_with_parent()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with os.fdopen(int(sys.argv[1]), "w") as replies:
        for problem in json.loads(Path(sys.argv[2]).read_text()):
            row = examine(Posable.model_validate(problem), device)
            replies.write(json.dumps(row) + "\n")
            replies.flush()
            if device == "cuda" and not row["ran"] and _lost():
                os._exit(0)  # the next problem would only be told of this one's fault


if __name__ == "__main__":
    main()
