"""Our own reference suite (`sandbox.references`) as a benchmark: operators from papers, each with an expert's kernel.

1. On a GPU the public cases have the sizes that papers report on, and are timed; the hidden ones are small, of ragged
   shapes and hard inputs, so that a kernel fitted to the shapes in its prompt fails. Without one all are small.
2. Prompts show the definition, never `eager`, `library` or the expert.
3. Answers in files are a folder of `<operator>.py`, one answer each, such as the experts' own.
"""

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from data_pipeline.contamination import BenchmarkMissingError
from data_pipeline.prompt import render_answer, render_prompt
from data_pipeline.task import Message, Provenance, Task
from eval.benchmarks.answers import Answers, sample_of
from eval.benchmarks.item import Item
from sandbox import references
from sandbox.references import SuiteTask
from sandbox.task_file import Tier


class SuiteItem(Item):
    """One operator."""

    task: Task

    @property
    def family(self) -> str:
        return self.task.family

    def messages(self, way: str = "") -> list[Message]:
        """Our own prompt."""
        if way:
            raise KeyError(f"the suite is asked in one way only, not in {way!r}")
        return render_prompt(self.task)


def load(tier: Tier) -> list[SuiteItem]:
    """All operators in alphabetical order, with the public cases of `tier`."""
    return [_item(references.load(name, tier), references.load(name, "cpu")) for name in references.names()]


def read_folder(folder: Path, items: Iterable[SuiteItem]) -> Answers:
    """One answer an operator; files with other names are named in the result.

    Raises:
        BenchmarkMissingError: no such folder, or no answer in it.
    """
    known = {item.name: item for item in items}
    files = sorted(path for path in folder.glob("*.py") if path.stem != "__init__")
    found = [path for path in files if path.stem in known]
    if not found:
        raise BenchmarkMissingError(f"{folder} holds no <operator>.py; operators of the suite: {', '.join(known)}")
    return Answers(
        samples=tuple(sample_of(known[path.stem], 0, "", render_answer(path.read_text("utf-8"))) for path in found),
        unmatched=tuple(path.name for path in files if path.stem not in known),
    )


def _item(shown: SuiteTask, small: SuiteTask) -> SuiteItem:
    hidden = {case.name: case for case in (*small.cases, *shown.cases) if case.hidden}
    release = version("kernelwright")
    task = Task(
        id=f"suite/{shown.name}",
        family=shown.family,
        source=Provenance(origin="suite", version=release, path=f"{shown.name}.py", licence="Apache-2.0"),
        description=shown.description,
        reference=shown.reference,
        entry_point=shown.entry_point,
        cases=tuple(case for case in shown.cases if not case.hidden),
        hidden_cases=tuple(hidden.values()),
        tolerance=shown.tolerance,
        difficulty=1,
        split="heldout",
        mutates=shown.mutates,
        rehearsal=shown.rehearsal,
    )
    return SuiteItem(id=task.id, level=0, entry_point=task.entry_point, task=task)
