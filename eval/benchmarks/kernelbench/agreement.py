"""Do we agree with KernelBench? Its references, and candidates under three judges: ours in its way, its own, ours.

1. `references`: every problem of levels 1 to 3 through the judge's steps, without a candidate.
2. `resubmit`: the reference as a candidate that is only torch. Policy `mixed` must accept it, with a ratio of 1 within
   its interval, and `triton_only` must refuse it.
3. `candidates`: right ones, and wrong ones that are made from them, through `upstream`, through
   KernelBench's own evaluator from a clone, and through the sandbox, one after the other on the same GPU.

Every row is kept as soon as it is there, under a digest of its question and of the machine: a run that is started again
does what is missing. Candidates that met a fault of the machine are done again; those that an older protocol of the
sandbox has judged are judged by it anew, and their other two verdicts kept.
"""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from configs.errors import UsageError
from configs.stamp import stamp, write_json
from data_pipeline.sources.hub import as_model
from eval.benchmarks.answers import RUN_FILE
from eval.benchmarks.kernelbench.items import KernelBenchItem
from eval.benchmarks.kernelbench.references import Posable, examined
from eval.benchmarks.kernelbench.upstream import Protocol, UpstreamVerdict, digest, judge, machine
from sandbox.bench import kernelbench as own
from sandbox.local import LocalSandbox
from sandbox.types import (
    PROTOCOL_VERSION,
    Broken,
    Job,
    Limits,
    Passed,
    Policy,
    Record,
    Rejected,
    TimingRequest,
)

NAME = "kernelbench_agreement.json"
LEVELS = (1, 2, 3)
LIMITS = Limits(trace_seconds=120, compile_seconds=120, gpu_seconds=60, gpu_arena_mib=32768)
BATCH = 4
"""Candidates that KernelBench's evaluator gets at once: its parent imports torch each time."""
SPEEDUP_SLACK, LEAST_MS = 0.05, 0.05
CLOSE = 0.02

Row = dict[str, Any]


class Entry(Record):
    """One candidate file, or a wrong one that was made from it."""

    name: str
    item: KernelBenchItem
    code: str
    wrong: str = ""
    """Why it must be refused; "" where it is right."""

    @property
    def policy(self) -> Policy:
        """Level 3 leaves some of its work to torch."""
        return "mixed" if self.item.level == 3 else "triton_only"


def entries(folder: Path, items: Iterable[KernelBenchItem]) -> list[Entry]:
    """The candidates in `folder`, in KernelBench's run layout, and the wrong ones that its `run.json` describes.

    Raises:
        UsageError: a file belongs to no problem, or a wrong candidate cannot be made of its text.
    """
    known, found = {(item.level, item.number): item for item in items}, {}
    for path in sorted(folder.glob("*_kernel.py")):
        named = RUN_FILE.fullmatch(path.name)
        if named is None or (int(named[1]), int(named[2])) not in known:
            raise UsageError(f"{path} belongs to no problem; name it level_<l>_problem_<p>_sample_<s>_kernel.py")
        name = f"level_{named[1]}_problem_{named[2]}"
        found[name] = Entry(name=name, item=known[int(named[1]), int(named[2])], code=path.read_text())
    if not found:
        raise UsageError(f"{folder} holds no level_<l>_problem_<p>_sample_<s>_kernel.py")
    codes = {name: entry.code for name, entry in found.items()}
    return [
        *found.values(),
        *(
            Entry(name=name, item=found[name.partition("_wrong_")[0]].item, code=code, wrong=why)
            for name, code, why in wrong_codes(folder, codes)
        ),
    ]


def wrong_codes(folder: Path, codes: dict[str, str]) -> list[tuple[str, str, str]]:
    """Wrong candidates, made from right ones by name: name, code, and why it is wrong.

    Raises:
        UsageError: what is to be changed does not stand in the code, or more than once.
    """
    made = []
    for number, change in enumerate(notes(folder).get("wrong", [])):
        code = codes[change["name"]]
        if code.count(change["find"]) != 1:
            raise UsageError(f"run.json: {change['find']!r} must stand exactly once in {change['name']}")
        name = f"{change['name']}_wrong_{number}"
        made.append((name, code.replace(change["find"], change["replace"]), change["why"]))
    return made


def notes(folder: Path) -> dict[str, Any]:
    """`run.json` of a folder of candidates: small constants by problem, and how to make wrong candidates."""
    path = folder / "run.json"
    read: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return read


class Agreement:
    """The result, in a file that is written after every row."""

    def __init__(self, out: Path, problems: int) -> None:
        """Args:
        problems: how many there are in levels 1 to 3, done or not.
        """
        self.path, self.problems, self.stamp = out / NAME, problems, stamp()
        self.machine = machine(self.stamp)
        kept = json.loads(self.path.read_text()) if self.path.exists() else {}
        parts = ("references", "resubmit", "candidates")
        self.rows: dict[str, dict[str, Row]] = {part: kept.get(part, {}) for part in parts}

    def key(self, *parts: Any) -> str:
        return digest(self.machine, Protocol().model_dump(), LIMITS.model_dump(), *parts)

    def missing(self, part: str, name: str, key: str) -> bool:
        row = self.rows[part].get(name)
        return row is None or row["key"] != key or bool(row.get("fault"))

    def keep(self, part: str, name: str, row: Row) -> None:
        self.rows[part][name] = row
        self.write()

    def summary(self) -> dict[str, int]:
        return summarise(self.rows, self.problems)

    def write(self) -> None:
        settings = {"upstream": Protocol().model_dump(), "kernelbench": own.SETTINGS, "limits": LIMITS.model_dump()}
        write_json(self.path, {"stamp": self.stamp, "summary": self.summary(), "settings": settings, **self.rows})

    def references(self, items: Iterable[KernelBenchItem]) -> None:
        wanted = {item.id: item for item in items}
        keys = {name: self.key(item.task.reference, PROTOCOL_VERSION) for name, item in wanted.items()}
        self.rows["references"] = {name: row for name, row in self.rows["references"].items() if name in wanted}
        problems = [
            Posable(name=name, reference=item.task.reference, cases=item.task.cases + item.task.hidden_cases)
            for name, item in wanted.items() if self.missing("references", name, keys[name])
        ]  # fmt: skip
        for row in examined(problems):
            self.keep("references", row["name"], {"key": keys[row["name"]], **row})

    def resubmit(self, items: Iterable[KernelBenchItem], sandbox: LocalSandbox) -> None:
        for item in items:
            key = self.key(item.task.reference, PROTOCOL_VERSION)
            if self.missing("resubmit", item.id, key):
                candidate = as_model(item.task.reference, "Model", "ModelNew")
                mixed = told(sandbox.judge(_job(item, candidate, "mixed")))
                only = told(sandbox.judge(_job(item, candidate, "triton_only")))
                self.keep("resubmit", item.id, {"key": key, "mixed": mixed, "only": only})
                sandbox.trim()

    def candidates(self, chosen: list[Entry], clone: Path, cache: Path | None, sandbox: LocalSandbox) -> None:
        keys = {e.name: self.key(e.code, e.item.task.reference, e.policy) for e in chosen}
        todo = [entry for entry in chosen if self.missing("candidates", entry.name, keys[entry.name])]
        for start in range(0, len(todo), BATCH):
            batch = todo[start : start + BATCH]
            theirs = evaluated(clone, batch)
            for entry in batch:
                ours = judge(entry.item.task.reference, entry.code, Protocol(), cache)
                row = compared(entry, ours, theirs[entry.name], _hardened(entry, sandbox))
                self.keep("candidates", entry.name, {"key": keys[entry.name], **row})
        for entry in chosen:
            row = self.rows["candidates"][entry.name]
            if row["hardened"]["protocol"] != PROTOCOL_VERSION:
                hardened = _hardened(entry, sandbox)
                fault = row["upstream"]["kind"] == "broken" or hardened["kind"] == "broken"
                self.keep("candidates", entry.name, {**row, "hardened": hardened, "fault": fault})


def evaluated(clone: Path, batch: list[Entry]) -> dict[str, Row]:
    """KernelBench's own evaluator on some candidates, by name."""
    with tempfile.TemporaryDirectory(prefix="kernelwright-agreement-") as scratch:
        for entry in batch:
            (Path(scratch) / f"{entry.name}.py").write_text(entry.item.task.reference)
            (Path(scratch) / f"{entry.name}_triton.py").write_text(entry.code)
        found = own.evaluate(clone, Path(scratch), [entry.name for entry in batch])
    return {row["name"]: {**row, "revision": found["revision"]} for row in found["rows"]}


def told(verdict: Passed | Rejected | Broken) -> Row:
    """A verdict of the sandbox, in short."""
    row = {"kind": verdict.kind, "protocol": PROTOCOL_VERSION}
    if isinstance(verdict, Passed):
        return {**row, "coverage": verdict.coverage, "timings": [t.model_dump(
            include={"baseline", "candidate_ms", "baseline_ms", "ratio", "ratio_low", "ratio_high"}
        ) for t in verdict.timings or ()]}  # fmt: skip
    stage = {"stage": verdict.stage} if isinstance(verdict, Rejected) else {}
    return {**row, **stage, "reason": verdict.reason[:400]}


def _hardened(entry: Entry, sandbox: LocalSandbox) -> Row:
    row = told(sandbox.judge(_job(entry.item, entry.code, entry.policy)))
    sandbox.trim()
    return row


def compared(entry: Entry, ours: UpstreamVerdict | Broken, theirs: Row, hardened: Row) -> Row:
    """One candidate's row."""
    row: Row = {"wrong": entry.wrong, "kernelbench": theirs, "hardened": hardened}
    row["fault"] = isinstance(ours, Broken) or hardened["kind"] == "broken"
    if isinstance(ours, Broken):
        return {**row, "upstream": ours.model_dump(mode="json")}
    row["upstream"] = ours.model_dump(mode="json", exclude={"stamp"})
    row["verdict_equal"] = ours.correct == theirs["correctness"]
    both = ours.correct and theirs["correctness"] and ours.candidate is not None and theirs.get("runtime_ms", -1) > 0
    if both and ours.candidate is not None and "eager" in ours.speedups:
        speedup = theirs["reference_ms"] / theirs["runtime_ms"]
        row["speedups"] = {"upstream": ours.speedups["eager"], "kernelbench": speedup}
        row["speedup_apart"] = ours.speedups["eager"] / speedup - 1
        row["long_enough"] = min(ours.candidate.mean_ms, ours.baselines["eager"].mean_ms) > LEAST_MS
    return row


def summarise(rows: dict[str, dict[str, Row]], problems: int) -> dict[str, int]:
    """The counts; a row with a fault of the machine counts in no numerator."""
    candidates, again = list(rows["candidates"].values()), list(rows["resubmit"].values())
    right, wrong = [r for r in candidates if not r["wrong"]], [r for r in candidates if r["wrong"]]
    timed = [row for row in right if row.get("long_enough")]
    accepted = [row for row in again if row["mixed"]["kind"] == "passed"]
    ratios = [timing for row in accepted for timing in row["mixed"]["timings"]]
    refused = [row for row in wrong if row.get("verdict_equal") and not row["kernelbench"]["correctness"]]
    return {
        "candidates": len(right),
        "verdicts_equal": sum(bool(row.get("verdict_equal")) for row in right),
        "accepted_by_both": sum(bool(r.get("verdict_equal")) and r["kernelbench"]["correctness"] for r in right),
        "accepted_hardened": sum(row["hardened"]["kind"] == "passed" for row in right),
        "wrong_candidates": len(wrong),
        "wrong_refused_by_both": len(refused),
        "wrong_refused_hardened": sum(row["hardened"]["kind"] == "rejected" for row in wrong),
        "speedups_compared": len(timed),
        "speedup_within_5_percent": sum(abs(row["speedup_apart"]) <= SPEEDUP_SLACK for row in timed),
        "references_total": problems,
        "references_tried": len(rows["references"]),
        "references_run": sum(row["ran"] for row in rows["references"].values()),
        "resubmitted": len(again),
        "resubmitted_accepted_mixed": len(accepted),
        "resubmitted_broken": sum("broken" in (row["mixed"]["kind"], row["only"]["kind"]) for row in again),
        "resubmitted_interval_holds_1": sum(t["ratio_low"] <= 1 <= t["ratio_high"] for t in ratios),
        "resubmitted_within_2_percent": sum(abs(timing["ratio"] - 1) <= CLOSE for timing in ratios),
        "resubmitted_refused_triton_only": sum(row["only"]["kind"] == "rejected" for row in again),
    }


def spread(items: list[KernelBenchItem], count: int) -> list[KernelBenchItem]:
    """`count` problems, evenly over all; 0: all of them."""
    if not 0 < count < len(items):
        return items
    return [items[number * len(items) // count] for number in range(count)]


def _job(item: KernelBenchItem, candidate: str, policy: Policy) -> Job:
    """Without a rehearsal: upstream's inputs are too large for the interpreter."""
    job = item.task.job(candidate, policy=policy, targets=(), limits=LIMITS, timing=TimingRequest())
    return job.model_copy(update={"rehearsal": ()})
