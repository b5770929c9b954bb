"""Answers that exist as files, as samples: KernelBench's run folders, read and written, and TritonBench's JSON lines.

Every answer is matched to its item, and what belongs to none is named. A KernelBench file stands for a completion with
one block of code. What the files do not say is not made up: `prompt` is the digest of what was asked where that is
known, else "", and `tokens` is 0.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from data_pipeline.contamination import BenchmarkMissingError
from data_pipeline.extract import defines, extract_kernel
from data_pipeline.prompt import render_answer
from data_pipeline.task import Message
from eval.benchmarks.item import Item
from eval.benchmarks.kernelbench.items import KernelBenchItem
from eval.benchmarks.tritonbench.items import TritonBenchItem, without_language_tokens
from eval.evaluate import prompt_digest
from eval.samples import Key, Sample
from sandbox.types import Record, Rejected

RUN_FILE = re.compile(r"level_(\d+)_problem_(\d+)_sample_(\d+)_kernel\.py")
NAMED = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
"""A name in a reason; a fence is none."""


class Answers(Record):
    """The answers of one model: of one run folder, or of one file."""

    samples: tuple[Sample, ...]
    unmatched: tuple[str, ...]
    """Where each answer stands that belongs to no item: a file's name, or a file and the number of a line."""


class Extracted(Record):
    """How many answers hold code that could be judged."""

    answers: int
    """Matched and unmatched ones."""
    unmatched: int
    extracted: int
    parsed: int
    """Of those extracted, how many are valid Python; the screen names the error in the others."""
    reasons: dict[str, int]
    """Why no code could be taken from the others, most frequent first; names of entry points left out."""


def read_run(folder: Path, items: Iterable[KernelBenchItem]) -> Answers:
    """KernelBench's `runs/<run>/level_<l>_problem_<p>_sample_<s>_kernel.py`; other files in the folder are left alone.

    Raises:
        BenchmarkMissingError: no such folder, or no such file in it.
    """
    known = {(item.level, item.number): item for item in items}
    samples, unmatched = [], []
    for path in sorted(folder.glob("*_kernel.py")):
        named = RUN_FILE.fullmatch(path.name)
        item = known.get((int(named[1]), int(named[2]))) if named else None
        if named is None or item is None:
            unmatched.append(path.name)
        else:
            code = path.read_text(encoding="utf-8", errors="replace")
            samples.append(sample_of(item, int(named[3]), "", render_answer(code)))
    if not samples and not unmatched:
        raise BenchmarkMissingError(
            f"{folder} holds no level_<level>_problem_<number>_sample_<sample>_kernel.py; give the folder of one run"
        )
    return Answers(samples=tuple(samples), unmatched=tuple(unmatched))


def write_run(folder: Path, items: Iterable[KernelBenchItem], samples: Iterable[Sample]) -> tuple[Key, ...]:
    """Write samples in KernelBench's layout, so that its own scripts can judge them.

    Returns:
        Keys of the samples that have no file, because no code could be taken from them or their item is not known.
    """
    known = {item.id: item for item in items}
    folder.mkdir(parents=True, exist_ok=True)
    left_out = []
    for sample in samples:
        item = known.get(sample.task_id)
        code = extract_kernel(sample.completion, item.entry_point) if item else None
        if item is None or not isinstance(code, str):
            left_out.append(sample.key)
            continue
        path = folder / f"level_{item.level}_problem_{item.number}_sample_{sample.index}_kernel.py"
        partial = path.with_suffix(".partial")
        partial.write_text(code, encoding="utf-8")
        partial.replace(path)
    return tuple(left_out)


def answer_files(root: Path) -> list[Path]:
    """All `LLM_generated/**/*.jsonl` of a clone of TritonBench, ordered.

    Raises:
        BenchmarkMissingError: there is none.
    """
    found = sorted((root / "LLM_generated").rglob("*.jsonl"))
    if not found:
        raise BenchmarkMissingError(f"{root} holds no LLM_generated/**/*.jsonl; it must be a clone of TritonBench")
    return found


def read_answers(path: Path, items: Sequence[TritonBenchItem]) -> Answers:
    """TritonBench's JSON lines with `instruction` or `prompt`, `predict` and `label`.

    The prompt says which item is meant: it holds a description of exactly one. Where it does not, as in answers to
    reworded prompts, the label does, which is the gold code of G, sometimes cut.

    Raises:
        BenchmarkMissingError: no such file, or a line is not of that form.
    """
    samples, unmatched = [], []
    seen: Counter[str] = Counter()
    matcher = _Matcher(items)
    for number, row in enumerate(_lines(path), 1):
        prompt = row.get("instruction", row.get("prompt"))
        if prompt is None or "predict" not in row:
            raise BenchmarkMissingError(
                f"{path}, line {number}: an answer has `predict` and `instruction` or `prompt`, not {', '.join(row)}"
            )
        item = matcher.find(prompt, row.get("label") or "")
        if item is None:
            unmatched.append(f"{path.name}:{number}")
            continue
        asked = prompt_digest([Message(role="user", content=prompt)])
        samples.append(sample_of(item, seen[item.id], asked, without_language_tokens(row["predict"])))
        seen[item.id] += 1
    return Answers(samples=tuple(samples), unmatched=tuple(unmatched))


def golds(items: Sequence[TritonBenchItem]) -> Answers:
    """The gold code itself, as one answer an item."""
    return Answers(samples=tuple(sample_of(item, 0, "", render_answer(item.gold)) for item in items), unmatched=())


def tally(answers: Answers, items: Iterable[Item]) -> Extracted:
    """Which answers hold code, without running any."""
    entry_points = {item.id: item.entry_point for item in items}
    reasons: Counter[str] = Counter()
    parsed = 0
    for sample in answers.samples:
        entry_point = entry_points[sample.task_id]
        found = extract_kernel(sample.completion, entry_point)
        if isinstance(found, Rejected):
            reasons[NAMED.sub("`…`", found.reason)] += 1
        else:
            parsed += defines(found, entry_point)
    return Extracted(
        answers=len(answers.samples) + len(answers.unmatched),
        unmatched=len(answers.unmatched),
        extracted=len(answers.samples) - reasons.total(),
        parsed=parsed,
        reasons=dict(reasons.most_common()),
    )


def sample_of(item: Item, index: int, prompt: str, completion: str) -> Sample:
    """A sample that no model of ours wrote."""
    return Sample(task_id=item.id, index=index, prompt=prompt, completion=completion, truncated=False, tokens=0)


class _Matcher:
    """Finds the one item that a published answer is for."""

    def __init__(self, items: Sequence[TritonBenchItem]) -> None:
        self.asked = [(_words(text), item) for item in items for text in item.asked]
        self.golds = [(_words(item.gold), item) for item in items if item.half == "G"]

    def find(self, prompt: str, label: str) -> TritonBenchItem | None:
        text, gold = _words(prompt), _words(without_language_tokens(label))
        found = {item.id: item for asked, item in self.asked if asked in text}
        if len(found) != 1:
            found = {item.id: item for code, item in self.golds if gold and code.startswith(gold)}
        return next(iter(found.values())) if len(found) == 1 else None


def _words(text: str) -> str:
    """White space does not matter: some files have the prompts re-wrapped."""
    return " ".join(text.split())


def _lines(path: Path) -> list[Mapping[str, str]]:
    if not path.is_file():
        raise BenchmarkMissingError(f"there is no {path}; give a .jsonl file of answers")
    rows: list[Mapping[str, str]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise BenchmarkMissingError(f"{path}, line {number} is no JSON: {error.msg}") from error
    return rows
