"""TritonBench through our runner: `python -m eval.tritonbench golds CLONE`, and `… answers CLONE`.

`golds` runs all 184 and 166 gold codes and says why some do not run, into `tritonbench_golds.json`. `answers` scores
the model answers that upstream publishes, all or `--limit` of them spread over files and operators, into
`tritonbench_answers.json`. Outcomes are kept in a `.partial.jsonl` beside it as they come: started again after a kill,
a run goes on, and tries again only what was our fault. The kept ones count for the same host, versions and commit;
what tests call is kept in `tritonbench.recordings.jsonl`, as long as it would be recorded the same.
`beside` runs upstream's own script on the golds of G and adds to `tritonbench_golds.json` how far it agrees. `speed`
times the answers that `answers` found right beside their golds, and adds to `tritonbench_answers.json`.
"""

import argparse
import hashlib
import json
import os
import random
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.console import Console

from configs.errors import explained, folder_for
from configs.stamp import stamp, write_json
from data_pipeline.extract import extract_kernel
from data_pipeline.store import append_record, read_records
from eval.benchmarks.answers import answer_files, read_answers
from eval.benchmarks.tritonbench import items as tritonbench
from eval.benchmarks.tritonbench import speed
from eval.benchmarks.tritonbench.items import upstream_answer
from eval.benchmarks.tritonbench.runner import Runner
from eval.benchmarks.tritonbench.task import Protocol, protocol
from eval.benchmarks.tritonbench.upstream import GOLD, Compared, Fault, Pair, compare, gold_of
from eval.benchmarks.tritonbench.upstream_script import accepted
from eval.metrics import refused_as_hack
from sandbox.bench.report import progress
from sandbox.gpu_pool import visible_gpus
from sandbox.types import PROTOCOL_VERSION, Broken, Record, Rejected

SECONDS = {"gpu": 120.0, "interpreter": 30.0}
MOST_AT_ONCE = 8
"""On one GPU: most of a program's time goes into compiling, and its memory is shared."""
BESIDE_SECONDS = 540.0


class Row(Record):
    """One line of the file that a run resumes from."""

    outcome: Compared | Fault = Field(discriminator="kind")


def host(seconds: float | None = None, workers: int | None = None) -> tuple[float, int, tuple[str, ...]]:
    """Seconds of a program, programs at once on each GPU, and the GPUs; what is not given suits this host."""
    gpus = visible_gpus()
    share = max(1, min(MOST_AT_ONCE, len(os.sched_getaffinity(0)) // max(1, len(gpus))))
    return seconds or SECONDS["gpu" if gpus else "interpreter"], workers or share, gpus


def golds(root: Path) -> list[Pair]:
    """Every gold code as the answer to itself. Errors as `tritonbench.load`."""
    items = [*tritonbench.load(root, "G"), *tritonbench.load(root, "T")]
    return [Pair(item, GOLD, item.gold, item.gold) for item in items]


def published(root: Path, limit: int, seed: int) -> list[Pair]:
    """Published answers, at most `limit` (0: all): each file gives one in turn, to an item that has the fewest so far.

    Raises:
        BenchmarkMissingError: the clone lacks something; the message names it.
    """
    items = {item.id: item for half in ("G", "T") for item in tritonbench.load(root, half)}
    files = []
    for path in answer_files(root):
        half = "T" if "Bench_T" in str(path.relative_to(root)) else "G"
        own = [item for item in items.values() if item.half == half]
        name = str(path.relative_to(root / "LLM_generated"))
        files.append([(f"{name}:{sample.index}", sample) for sample in read_answers(path, own).samples])
    draw, taken = random.Random(seed), Counter[str]()
    for samples in files:
        draw.shuffle(samples)
    pairs: list[Pair] = []
    wanted = min(limit or sys.maxsize, sum(map(len, files)))
    while len(pairs) < wanted:
        for samples in filter(None, files):
            rarest = min(samples, key=lambda entry: taken[entry[1].task_id])
            samples.remove(rarest)
            answer, sample = rarest
            taken[sample.task_id] += 1
            item = items[sample.task_id]
            code = extract_kernel(sample.completion, item.entry_point)
            pairs.append(Pair(item, answer, upstream_answer(sample.completion), code))
    return pairs[:wanted]


def run(
    pairs: Sequence[Pair], runner: Runner, partial: Path, hardened: Protocol, console: Console
) -> tuple[list[Compared | Fault], float | None]:
    """Outcomes in the order of `pairs`, and how many a second this run made; None: all were there already.

    Each item's answers share the runs of its gold, under one secret seed.
    """
    known = {_key(row.outcome): row.outcome for row in read_records(partial, Row)}
    todo = [pair for pair in pairs if not _settled(known.get((pair.item.id, pair.answer)))]
    groups = [list(group) for _, group in groupby(sorted(todo, key=lambda p: p.item.id), lambda p: p.item.id)]
    writing, stopped, started = threading.Lock(), threading.Event(), time.monotonic()

    with progress(console) as bars, ThreadPoolExecutor(runner.workers) as threads:
        bar = bars.add_task("running", total=len(todo))

        def work(group: list[Pair]) -> None:
            for outcome in _outcomes(group, runner, hardened, stopped):
                with writing:
                    append_record(partial, Row(outcome=outcome))
                    known[_key(outcome)] = outcome
                bars.advance(bar)

        try:
            for future in as_completed([threads.submit(work, group) for group in groups]):
                future.result()
        finally:
            stopped.set()
            threads.shutdown(cancel_futures=True)
    rate = len(todo) / (time.monotonic() - started) if todo else None
    return [known[pair.item.id, pair.answer] for pair in pairs], rate


def _outcomes(
    group: list[Pair], runner: Runner, hardened: Protocol, stopped: threading.Event
) -> Iterable[Compared | Fault]:
    item, seed = group[0].item, secrets.randbits(31)
    gold = gold_of(runner, item, seed)
    for pair in group:
        if stopped.is_set():
            return
        yield compare(runner, item, pair.answer, pair.text, pair.code, gold, seed, hardened(item, pair.code))


def summary_of_golds(outcomes: Iterable[Compared | Fault]) -> dict[str, Any]:
    """`run`: ends with exit code 0, which is upstream's call accuracy without its filter."""
    found = list(outcomes)
    general, torch = ([o for o in found if o.item.startswith(f"TritonBench_{half}/")] for half in "GT")
    return {
        "g_total": len(general),
        "g_run": _count(general, lambda o: o.raw.call),
        "g_upstream_call": _count(general, lambda o: o.raw.call),
        "g_upstream_call_filtered": _count(general, lambda o: o.upstream.call),
        "g_agrees_with_itself": _count(general, lambda o: o.right),
        "g_telling": _count(general, lambda o: o.right and o.telling),
        "g_hardened": _passed(general),
        "t_total": len(torch),
        "t_run": _count(torch, lambda o: o.raw.call),
        "t_agrees_with_itself": _count(torch, lambda o: o.right),
        "t_telling": _count(torch, lambda o: o.right and o.telling),
        "needs_gpu": _count(found, lambda o: o.raw.call is None),
        "faults": sum(not _settled(o) for o in found),
        "tell_nothing": [o.item for o in found if isinstance(o, Compared) and o.right and not o.telling],
    }


def summary_of_answers(outcomes: Iterable[Compared | Fault], per_second: float | None) -> dict[str, Any]:
    """`right`: the results are the gold's; `upstream_*`: as upstream counts, which filters answers to G."""
    found = list(outcomes)
    by_file: dict[str, list[Compared | Fault]] = {}
    for one in found:
        by_file.setdefault(one.answer.rpartition(":")[0], []).append(one)
    rate = None if per_second is None else round(per_second, 3)
    return {**_scores(found), "per_second": rate, "files": {name: _scores(part) for name, part in by_file.items()}}


def beside(path: Path, accepted: frozenset[str]) -> dict[str, Any]:
    """Add what upstream's own script accepts to the result of `golds`; returns the summary.

    Raises:
        SystemExit: there is no result of all golds.
    """
    found = json.loads(path.read_text()) if path.exists() else {"rows": []}
    ours = {row["item"]: row["filtered"].get("call") for row in found["rows"] if row.get("filtered")}
    if not accepted <= ours.keys():
        raise SystemExit(f"{path} lacks golds of G; run python -m eval.tritonbench golds without --limit first")
    differ = sorted(item for item, call in ours.items() if bool(call) != (item in accepted))
    found["summary"] |= {"g_upstream_own_call": len(accepted), "g_upstream_own_agrees": len(ours) - len(differ)}
    write_json(path, {**found, "differ_from_upstream": differ})
    summary: dict[str, Any] = found["summary"]
    return summary


def _scores(found: Sequence[Compared | Fault]) -> dict[str, Any]:
    judged = [o for o in found if isinstance(o, Compared) and o.hardened is not None]
    hacks = sum(isinstance(o.hardened, Rejected) and refused_as_hack(o.hardened) for o in judged)
    return {
        "answers": len(found),
        "upstream_call": _count(found, lambda o: o.upstream.call),
        "upstream_call_unfiltered": _count(found, lambda o: o.raw.call),
        "upstream_exec": _count(found, lambda o: o.upstream.execution),
        "right": _count(found, lambda o: o.right),
        "right_and_telling": _count(found, lambda o: o.right and o.telling),
        "call_but_wrong": _count(found, lambda o: o.upstream.call and o.right is False),
        "not_comparable": _count(found, lambda o: o.right is None),
        "needs_gpu": _count(found, lambda o: o.upstream.call is None),
        "hardened": _passed(found),
        "refused_as_hack": hacks if judged else None,
        "faults": sum(not _settled(o) for o in found),
    }


def _settled(outcome: Compared | Fault | None) -> bool:
    """Nothing of it was our fault."""
    return isinstance(outcome, Compared) and not isinstance(outcome.hardened, Broken)


def _count(found: Iterable[Compared | Fault], holds: Callable[[Compared], bool | None]) -> int:
    return sum(isinstance(one, Compared) and bool(holds(one)) for one in found)


def _passed(found: Iterable[Compared | Fault]) -> int | None:
    """None: nothing was judged by the hardened protocol."""
    verdicts = [one.hardened for one in found if isinstance(one, Compared) and one.hardened is not None]
    return sum(verdict.kind == "passed" for verdict in verdicts) if verdicts else None


def without_places(rows: list[dict[str, Any]]) -> Any:
    """The rows, whose reasons may name files of this host."""
    return json.loads(json.dumps(rows).replace(sys.prefix, "ENVIRONMENT").replace(sys.base_prefix, "PYTHON"))


def _key(outcome: Compared | Fault) -> tuple[str, str]:
    return outcome.item, outcome.answer


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.tritonbench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("golds", "answers", "beside", "speed"))
    parser.add_argument("root", type=Path, help="a clone of TritonBench")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder of the result file")
    parser.add_argument("--limit", type=int, default=0, help="answers, or golds, at most; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of answers")
    parser.add_argument("--seconds", type=float, help="that a program may take")
    parser.add_argument("--workers", type=int, help="programs at once, on each GPU where there are any")
    asked = parser.parse_args(arguments)
    folder_for("--out", asked.out)
    console = Console(stderr=True)
    seconds, workers, gpus = host(asked.seconds, asked.workers)
    if asked.what == "beside":
        kept = accepted(asked.root, tritonbench.load(asked.root, "G"), workers, BESIDE_SECONDS)
        console.print_json(data=beside(asked.out / "tritonbench_golds.json", kept))
        return
    if asked.what == "speed":
        if not gpus:
            parser.error("speed needs a GPU: the interpreter's time is no speed")
        with Runner(seconds, 1, gpus[:1]) as runner:
            path = asked.out / "tritonbench_answers.json"
            found = speed.add(path, asked.root, published, runner, speed.host_peaks(), console)
        console.print_json(data=found)
        return
    marks = {**stamp(), "protocol": PROTOCOL_VERSION, "tier": "gpu" if gpus else "interpreter"}
    settings = {"seconds": seconds, "limit": asked.limit, "seed": asked.seed}
    pairs = golds(asked.root) if asked.what == "golds" else published(asked.root, asked.limit, asked.seed)
    pairs = pairs[: asked.limit or None]
    name = f"tritonbench_{asked.what}"
    digest = hashlib.sha256(json.dumps([marks, seconds]).encode()).hexdigest()[:12]
    partial = asked.out / f"{name}-{digest}.partial.jsonl"
    # A gold of T is PyTorch, and no answer.
    posed = {pair.item.id: pair.item for pair in pairs if asked.what == "answers" or pair.item.half == "G"}
    recordings = asked.out / "tritonbench.recordings.jsonl"
    with (
        Runner(seconds, workers, gpus) as runner,
        protocol(list(posed.values()), recordings, runner.workers, len(gpus)) as hardened,
    ):
        outcomes, rate = run(pairs, runner, partial, hardened, console)
    summary = summary_of_golds(outcomes) if asked.what == "golds" else summary_of_answers(outcomes, rate)
    rows = [outcome.model_dump(mode="json", exclude_none=True, exclude={"hardened": {"log"}}) for outcome in outcomes]
    write_json(
        asked.out / f"{name}.json",
        {"bench": name, "stamp": marks, "settings": settings, "summary": summary, "rows": without_places(rows)},
    )
    if not summary.get("faults"):
        partial.unlink(missing_ok=True)
    console.print_json(data=summary)


if __name__ == "__main__":
    with explained():
        main()
