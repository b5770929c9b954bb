"""`python -m data_pipeline.capture FOLDER …` on a GPU host: compile PyTorch references with Inductor, keep its code.

One file a reference, `<task id>.json`, written whole or not at all; what is there is not compiled again, so a run that
was killed goes on where it was. `data_pipeline.sources.inductor` turns the files into candidates, without a GPU.

1. Sizes are arguments of the generated code, not numbers in it: all dimensions are marked dynamic. Where no size of any
   case is above `ROW`, that bound is told to the compiler, which then reduces a row in one block rather than in a loop.
   A KernelBench module names one set of shapes and is compiled for it.
2. The other cases then run through the same code; a case for which the compiler wants to compile anew is not covered.
3. Settings for code that can be read: no reuse of buffers, no split reductions, no patterns, no assertions on indices.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from configs.errors import UsageError
from configs.stamp import stamp, write_json
from data_pipeline.sources.inductor import Captured, account, reasons
from data_pipeline.synthetic import propose
from data_pipeline.task import Provenance, Task
from sandbox import task_file
from sandbox.types import Case

ROW = 1024
SUITE = Path(task_file.__file__).parent / "references"
SETTINGS: dict[str, Any] = {
    "size_asserts": True,  # they say which shapes and strides the inputs have
    "alignment_asserts": False,
    "assert_indirect_indexing": False,
    "allow_buffer_reuse": False,
    "inplace_buffers": False,
    "graph_partition": False,
    "split_reductions": False,
    "online_softmax": False,
    "pattern_matcher": False,
    "triton.autotune_pointwise": False,  # block sizes are chosen anew
}
MAX_ERROR = 400


class NoGpuError(UsageError):
    """There is no GPU to compile for."""


def main(arguments: list[str]) -> int:
    """Exit code 0, or 1 where nothing can be captured here."""
    parser = argparse.ArgumentParser(prog="python -m data_pipeline.capture", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("--synthetic", type=int, default=0, help="how many generated programs")
    parser.add_argument("--seed", type=int, default=1, help="of the programs; another than the data stage's data.seed")
    parser.add_argument("--suite", action="store_true", help="the reference suite, with its cases for a CPU")
    parser.add_argument("--modules", type=Path, help="a folder of KernelBench style files")
    parser.add_argument("--licence", default="unknown", help="SPDX identifier of the modules")
    chosen = parser.parse_args(arguments)
    if chosen.modules and not any(chosen.modules.glob("*.py")):
        parser.error(f"--modules: {chosen.modules} holds no *.py")
    tasks = chain(
        (task for task, _ in propose(chosen.synthetic, chosen.seed)),
        files(SUITE, "suite", "Apache-2.0") if chosen.suite else (),
        files(chosen.modules, f"modules:{chosen.modules.name}", chosen.licence) if chosen.modules else (),
    )
    try:
        made_on = stamp()
        for task in missing(tasks, chosen.folder):
            captured = capture(task, made_on)
            write_json(chosen.folder / f"{task.id}.json", captured.model_dump(mode="json"))
            sys.stdout.write(f"{task.id}: {captured.error or 'captured'}\n")
        counts = reasons(chosen.folder)
    except (NoGpuError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"{count:6} {reason}\n" for reason, count in counts.most_common()))
    seconds = account(chosen.folder)["seconds"]
    sys.stdout.write("" if seconds is None else f"{seconds:.0f} seconds of compiling\n")
    return 0


def missing(tasks: Iterator[Task], folder: Path) -> Iterator[Task]:
    """Those that have no file yet."""
    return (task for task in tasks if not (folder / f"{task.id}.json").exists())


def files(folder: Path, origin: str, licence: str) -> Iterator[Task]:
    """Task files of a folder, by name.

    Raises:
        ValueError: one is no task file; the message names it.
    """
    for path in sorted(folder.glob("*.py")):
        if path.stem.startswith("_"):
            continue
        found = task_file.read(path)
        yield Task(
            id=f"{origin.partition(':')[0]}-{path.stem}",
            family=found.family,
            source=Provenance(origin=origin, version="1", path=path.name, licence=licence),
            description=found.description,
            reference=found.reference,
            entry_point=found.entry_point,
            cases=tuple(case for case in found.cases if not case.hidden),
            hidden_cases=tuple(case for case in found.cases if case.hidden),
            tolerance=found.tolerance,
            difficulty=1,
        )


def capture(task: Task, made_on: dict[str, str]) -> Captured:
    """Compile one reference. What the compiler refuses, and what is too large here, is recorded, not raised.

    Args:
        task: its solution-to-be is what Inductor makes of the reference.
        made_on: the stamp of this host.

    Raises:
        NoGpuError: there is no GPU.
    """
    import torch

    if not torch.cuda.is_available():
        raise NoGpuError(
            "capturing compiles for a GPU and there is none; run it on a GPU host and copy the folder. "
            "Cleaning what was captured (data_pipeline.sources.inductor) needs no GPU"
        )
    from data_pipeline.inductor.compile import REFUSALS, compiled

    case, started = _widest(task), time.monotonic()
    error, found = "", None
    try:
        found = compiled(task, case, SETTINGS, ROW)
    except REFUSALS as problem:
        error = f"{type(problem).__name__}: {problem}"[:MAX_ERROR]
    return Captured(
        task=task,
        case=case.name,
        covered=found.covered if found else (),
        inputs=found.inputs if found else (),
        returns=found.returns if found else "tensor",
        code=found.code if found else "",
        error=error,
        stamp=made_on,
        seconds=round(time.monotonic() - started, 3),
    )


def _widest(task: Task) -> Case:
    """The public case with the most different sizes: equal ones, and ones, would become one size for the compiler."""
    return max(task.cases, key=lambda case: len({v for v in case.args.values() if isinstance(v, int) and v > 1}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
