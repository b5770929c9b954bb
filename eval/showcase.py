"""Chooses what the report shows of the code itself: sample kernels beside their references, and harvested kernels.

Everything shown was written by a model or harvested, so it is escaped by the highlighter and by the template.
"""

from collections.abc import Iterator
from itertools import islice, zip_longest

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from data_pipeline.extract import extract_kernel
from data_pipeline.prompt import shown_reference
from data_pipeline.task import Kernel, Task
from eval.gather import MODELS, Run
from eval.plots import STAGES
from eval.samples import Sample
from eval.story import MODEL_NAMES, STAGE_WORDS
from sandbox.types import Broken, Passed, Record, Rejected

SHOWN = 3
REJECTED_SHOWN = 2
"""At most so many when no sample passed, so that at least one admitted solution is shown."""
HARVESTED_ROWS = 12
MAX_LINES = 160


class Exhibit(Record):
    """One kernel beside the reference that it has to reproduce."""

    title: str
    author: str
    """Who wrote the kernel: which model, or the template compiler."""
    passed: bool
    verdict: str
    description: str
    reference: str
    """Highlighted HTML."""
    kernel: str
    """Highlighted HTML."""


class HarvestedRow(Record):
    name: str
    origin: str
    path: str
    licence: str
    lines: int
    use: str


def exhibits(run: Run) -> tuple[str, list[Exhibit]]:
    """An honest introduction, and up to three kernels.

    Passed held-out samples first, of the furthest trained model that has any; where they are fewer than three,
    rejected samples of the latest model that came furthest, and verified solutions of the training data.
    """
    latest = run.latest_model
    passed = list(islice(_one_a_task(_passed_samples(run)), SHOWN))
    shown = [_sample_exhibit(run, model, sample) for model, sample in passed]
    rejected = (
        _one_a_task(_rejected_samples(run, latest), {sample.task_id for _, sample in passed}) if latest else iter(())
    )
    room = max(0, SHOWN - len(shown))
    shown += [_sample_exhibit(run, model, sample) for model, sample in islice(rejected, min(REJECTED_SHOWN, room))]
    from_data = _solutions(run)
    while len(shown) < SHOWN and (exhibit := next(from_data, None)):
        shown.append(exhibit)
    return _introduction(run, len(passed), len(shown)), shown


def harvested(kernels: list[Kernel]) -> list[HarvestedRow]:
    """Some kernels of every origin in turn, those that became tasks first."""
    by_origin: dict[str, list[Kernel]] = {}
    for kernel in sorted(kernels, key=lambda k: (k.kind != "paired", k.source.path, k.name)):
        by_origin.setdefault(f"{kernel.source.origin} {kernel.source.version}", []).append(kernel)
    turns = (k for turn in zip_longest(*by_origin.values()) for k in turn if k is not None)
    return [
        HarvestedRow(
            name=kernel.name,
            origin=f"{kernel.source.origin.removeprefix('package:')} {kernel.source.version}",
            path=kernel.source.path,
            licence=kernel.source.licence,
            lines=len(kernel.code.strip().split("\n")),
            use="task with reference" if kernel.kind == "paired" else "text for SFT",
        )
        for kernel in islice(turns, HARVESTED_ROWS)
    ]


def python_html(code: str) -> str:
    """Python source as highlighted HTML, cut after `MAX_LINES` lines."""
    lines = code.strip("\n").split("\n")
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"# … {len(lines) - MAX_LINES} more lines"]
    clean = "\n".join(lines).replace("\0", "\N{REPLACEMENT CHARACTER}")
    return Markup(highlight(clean, PythonLexer(), HtmlFormatter(nowrap=True)))


def _passed_samples(run: Run) -> Iterator[tuple[str, Sample]]:
    for model in reversed(MODELS):
        found = [(model, sample) for sample in run.samples.get(model, []) if isinstance(sample.verdict, Passed)]
        if found:
            yield from found
            return


def _rejected_samples(run: Run, model: str) -> Iterator[tuple[str, Sample]]:
    found = [s for s in run.samples.get(model, []) if isinstance(s.verdict, Rejected)]
    yield from ((model, sample) for sample in sorted(found, key=_how_far, reverse=True))


def _how_far(sample: Sample) -> int:
    """Later stages are further, except that wrong numbers are the furthest a rejection can come."""
    assert isinstance(sample.verdict, Rejected)
    return len(STAGES) if sample.verdict.stage == "numerics" else STAGES.index(sample.verdict.stage)


def _one_a_task(samples: Iterator[tuple[str, Sample]], seen: set[str] | None = None) -> Iterator[tuple[str, Sample]]:
    seen = set(seen or ())
    for model, sample in samples:
        if sample.task_id not in seen:
            seen.add(sample.task_id)
            yield model, sample


def _sample_exhibit(run: Run, model: str, sample: Sample) -> Exhibit:
    task = run.tasks.get(sample.task_id)
    code = extract_kernel(sample.completion, task.entry_point) if task else sample.completion
    shown = sample.completion if isinstance(code, Rejected) else code
    return _exhibit(task, sample.task_id, f"{MODEL_NAMES[model]} model, held-out task", sample.verdict, shown)


def _solutions(run: Run) -> Iterator[Exhibit]:
    """Verified pairs that training uses (never those of held-out tasks), the shortest first: an easy read."""
    for solution in sorted(run.solutions, key=lambda s: (len(s.code), s.task_id)):
        task = run.tasks.get(solution.task_id)
        if task and task.split == "train":
            writer = "Template compiler" if task.source.origin == "synthetic" else task.source.origin
            yield _exhibit(task, task.id, f"{writer}, training pair", solution.verdict, solution.code)


def _exhibit(
    task: Task | None, task_id: str, author: str, verdict: Passed | Rejected | Broken | None, code: str
) -> Exhibit:
    match verdict:
        case Passed(cases=cases):
            hidden = sum(case.hidden for case in cases)
            said = f"Right on all {len(cases)} cases, {hidden} of them hidden from the model."
        case Rejected(stage=stage, reason=reason):
            said = f"Rejected at {stage} ({STAGE_WORDS[stage]}): {reason}"
        case Broken(reason=reason):
            said = f"Not judged, a fault of the sandbox: {reason}"
        case None:
            said = "Not judged yet."
    return Exhibit(
        title=task.entry_point if task else task_id,
        author=author,
        passed=isinstance(verdict, Passed),
        verdict=said,
        description=task.description if task else "The task is no longer in the data of this run.",
        reference=python_html(shown_reference(task.reference, task.entry_point)) if task else "",
        kernel=python_html(code),
    )


def _introduction(run: Run, passed: int, shown: int) -> str:
    if not shown:
        return "There is no code to show yet: nothing was evaluated, and no solutions were admitted."
    if passed:
        rest = " The others are labelled." if passed < shown else ""
        return f"Kernels for held-out tasks that the sandbox found right.{rest}"
    if run.latest_model is None:
        return "No model was evaluated. These are verified training pairs."
    return (
        "No model wrote a correct kernel for a held-out task in this run. "
        "Shown are the attempts that came furthest, and verified pairs of the training data."
    )
