"""Every exploit and every honest kernel against the sandbox, with sentinels in between.

Accepted means `Passed`; refused means an honest kernel `Rejected`; `Broken` is counted by itself and never as stopped.
After each batch an honest sentinel must pass and a wrong one must be rejected: a neighbour's verdict was not harmed.
What a naive in-process harness would have said stands in each exploit's header; `tests/naive_harness.py` found it.
"""

import hashlib
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from configs.stamp import write_text
from sandbox.bench import corpus, host, plots
from sandbox.bench.corpus import Candidate
from sandbox.bench.report import LIMITS, SHORT, Ledger, how, judge_many, progress, write
from sandbox.local import LocalSandbox
from sandbox.task_file import Tier
from sandbox.types import Broken, Job, Passed, Rejected

HONEST_SENTINEL, WRONG_SENTINEL = "plain_softmax.py", "c_nothing_written.py"


def run(arguments: Namespace, gpus: int) -> int:
    """Exit code 0 if nothing was accepted, refused, broken or harmed."""
    tier: Tier = "gpu" if gpus else "cpu"
    exploits = corpus.candidates(arguments.exploits, tier)
    honest = corpus.candidates(arguments.honest, tier)
    everyone = [("exploit", c) for c in exploits] + [("honest", c) for c in honest]
    strangers = host.strangers(arguments.exploits.parent.parent)
    console, ledger = Console(stderr=True), Ledger(arguments.out, "security")
    with host.own_folder() as folder, progress(console) as bar:
        sandbox = LocalSandbox(workers=arguments.workers, gpus=gpus)
        try:
            todo = [(kind, c) for kind, c in everyone if _key(c) not in ledger.rows]
            task = bar.add_task("candidates", total=len(everyone), completed=len(everyone) - len(todo))
            for key, row in _rows(sandbox, todo, arguments, tier):
                ledger.add(key, row)
                bar.advance(task, row["kind"] != "sentinel")
                if not console.is_terminal:
                    console.print(f"{row['name']}: {row['stopped_by']} {row['seconds']} s", highlight=False)
        finally:
            sandbox.close()
        survivors = host.wait_for_end(folder)
    rows = list(ledger.rows.values())
    left = sorted(str(path) for path in host.strangers(arguments.exploits.parent.parent) - strangers)
    summary = summarise(rows) | {"host_harmed": len(survivors) + len(left)}
    more = {"tier": tier, "files_left": left, "processes_left": len(survivors)}
    path = write(arguments.out, "security", summary, rows, **more)
    ledger.close()
    plots.security(path)
    write_text(path.with_suffix(".md"), table(rows, tier))
    _print(rows, summary, path)
    good = not any(summary[key] for key in GOOD_IF_ZERO)
    return 0 if good else 1


GOOD_IF_ZERO = (
    "exploits_accepted", "exploits_broken", "honest_refused", "honest_broken", "sentinels_wrong", "host_harmed",
)  # fmt: skip


def _rows(
    sandbox: LocalSandbox, everyone: list[tuple[str, Candidate]], arguments: Namespace, tier: Tier
) -> Iterator[tuple[str, dict[str, Any]]]:
    sentinels = [
        ("passed", corpus.read_candidate(corpus.HONEST / HONEST_SENTINEL)),
        ("rejected", corpus.read_candidate(corpus.EXPLOITS / WRONG_SENTINEL)),
    ]
    for start in range(0, len(everyone), arguments.batch):
        batch = everyone[start : start + arguments.batch]
        known = {candidate.path.name: (kind, candidate) for kind, candidate in batch}
        jobs = ((c.path.name, job_of(c, arguments.tasks, tier)) for _, c in batch)
        for judged in judge_many(sandbox.judge, jobs, arguments.batch):
            kind, candidate = known[judged.name]
            row = row_of(kind, candidate, judged.verdict, judged.seconds)
            if kind == "honest" and isinstance(judged.verdict, Rejected):
                row["without_hidden_cases"] = _openly(sandbox, job_of(candidate, arguments.tasks, tier))
            yield _key(candidate), row
        for expected, sentinel in sentinels:
            verdict = sandbox.judge(job_of(sentinel, corpus.TASKS, tier))
            row = row_of("sentinel", sentinel, verdict, 0.0)
            after = batch[-1][1].path.name
            yield f"{sentinel.path.name} after {after}", row | {"after": after, "right": verdict.kind == expected}


def _openly(sandbox: LocalSandbox, one: Job) -> str:
    """Why a job is refused, if it is once more, whatever case it is refused on."""
    verdict = sandbox.judge(one.model_copy(update={"cases": tuple(
        case.model_copy(update={"hidden": False}) for case in one.cases
    )}))  # fmt: skip
    return how(verdict) if isinstance(verdict, Passed) else f"{how(verdict)}: {verdict.reason[:300]}"


def _key(candidate: Candidate) -> str:
    """A row counts as long as its file is the same."""
    return f"{candidate.path.name} {hashlib.sha256(candidate.code.encode()).hexdigest()[:16]}"


def job_of(candidate: Candidate, tasks: Path, tier: Tier) -> Job:
    """A corpus job; exploits get limits that keep those that hang from taking long."""
    return corpus.job(candidate, SHORT if candidate.stages else LIMITS, tier, tasks)


def row_of(kind: str, candidate: Candidate, verdict: Passed | Rejected | Broken, seconds: float) -> dict[str, Any]:
    """One line of the published table."""
    reason = "" if isinstance(verdict, Passed) else verdict.reason
    stopped = how(verdict)
    return {
        "kind": kind, "name": candidate.path.name, "family": candidate.family, "mechanism": candidate.mechanism,
        "tier": candidate.tier, "policy": candidate.policy, "expected_stages": list(candidate.stages),
        "verdict": verdict.kind, "stopped_by": stopped, "as_expected": not candidate.stages
        or stopped in candidate.stages, "reason": reason[:300], "naive": candidate.naive, "seconds": round(seconds, 3),
    }  # fmt: skip


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of the table."""
    exploits = [row for row in rows if row["kind"] == "exploit"]
    honest = [row for row in rows if row["kind"] == "honest"]
    sentinels = [row for row in rows if row["kind"] == "sentinel"]

    def count(of: list[dict[str, Any]], verdict: str) -> int:
        return sum(row["verdict"] == verdict for row in of)

    return {
        "exploits_total": len(exploits),
        "exploits_accepted": count(exploits, "passed"),
        "exploits_broken": count(exploits, "broken"),
        "exploits_pass_naive": sum(row["naive"] == "pass" for row in exploits),
        "exploits_by_family": dict(sorted(Counter(row["family"] for row in exploits).items())),
        "honest_total": len(honest),
        "honest_refused": count(honest, "rejected"),
        "honest_broken": count(honest, "broken"),
        "sentinels_total": len(sentinels),
        "sentinels_wrong": sum(not row["right"] for row in sentinels),
    }


def table(rows: list[dict[str, Any]], tier: Tier) -> str:
    """All exploits and what stopped them, all honest kernels and their verdict, as Markdown."""
    lines = [
        f"# Security corpus, tier {tier}", "",
        "Written by `python -m sandbox bench security`. *Naive* is what the naive in-process harness "
        "(`tests/naive_harness.py`) does with the same file.", "",
        "| exploit | family | what it does | stopped by | naive |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for row in sorted(rows, key=lambda row: (row["family"], row["name"])):
        if row["kind"] == "exploit":
            cells = (row["name"], row["family"], row["mechanism"].replace("|", "/"), row["stopped_by"], row["naive"])
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| honest kernel | feature | verdict |", "|---|---|---|"]
    for row in sorted(rows, key=lambda row: str(row["name"])):
        if row["kind"] == "honest":
            lines.append(f"| {row['name']} | {row['family'].replace('|', '/')} | {row['verdict']} |")
    return "\n".join(lines) + "\n"


def _print(rows: list[dict[str, Any]], summary: dict[str, Any], path: Path) -> None:
    exploits = [row for row in rows if row["kind"] == "exploit"]
    stages = sorted({row["stopped_by"] for row in exploits})
    table = Table(title="Exploits by family and the layer that stopped them", title_justify="left")
    for column in ("family", *stages, "naive passes", "all"):
        table.add_column(column, justify="right")
    for family in summary["exploits_by_family"]:
        mine = [row for row in exploits if row["family"] == family]
        cells = [str(sum(row["stopped_by"] == stage for row in mine)) for stage in stages]
        table.add_row(family, *cells, str(sum(row["naive"] == "pass" for row in mine)), str(len(mine)))
    console = Console()
    console.print(table)
    for row in rows:
        if row["kind"] == "sentinel":
            bad = not row["right"]
        else:
            bad = row["verdict"] == "broken" or (row["verdict"] == "passed") != (row["kind"] == "honest")
        if bad:
            text = f"{row['kind']} {row['name']}: {row['verdict']} {row['reason']}"
            console.print(text, style="red", markup=False, highlight=False)
    console.print({key: value for key, value in summary.items() if key != "exploits_by_family"}, f"→ {path}")
