"""`python -m eval.upstream FOLDER`: a benchmark's own protocol on the answers of an evaluation that has finished.

`FOLDER` is what `python -m eval` wrote, such as `outputs/mine/eval/kernelbench/base`; the clone is `eval.root` of that
evaluation. As upstream does, the first answer to each problem counts, and one without an answer is wrong. Outcomes are
kept as they come, so that a run goes on where it was stopped; `upstream.json` has the figures, under the names that
`scores.json` gives to what means the same. `python -m eval.compare` shows both protocols side by side.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from pydantic import Field
from rich.console import Console

from configs.errors import UsageError
from configs.stamp import stamp, write_json
from data_pipeline.contamination import BenchmarkMissingError
from data_pipeline.extract import extract_kernel
from data_pipeline.store import append_record, read_records
from eval.benchmarks.formulas import accuracy, fast_ps, geometric_mean_speedup
from eval.benchmarks.item import Item
from eval.benchmarks.kernelbench import items as kernelbench
from eval.benchmarks.kernelbench.upstream import BASELINES, Protocol, UpstreamVerdict, judge
from eval.benchmarks.tritonbench import items as tritonbench
from eval.benchmarks.tritonbench.items import TritonBenchItem, upstream_answer
from eval.benchmarks.tritonbench.runner import Runner
from eval.benchmarks.tritonbench.upstream import Compared, Pair
from eval.posed import HALVES, UNANSWERED
from eval.samples import Sample, read_samples
from eval.tritonbench import host, run
from sandbox.bench.report import progress
from sandbox.types import Broken, Record, Rejected

Figures = dict[str, Any]


class Kept(Record):
    """A line of the file that a run resumes from."""

    task: str
    digest: str
    """Of the answer."""
    verdict: UpstreamVerdict | Broken = Field(discriminator="kind")


def evaluate(folder: Path, console: Console) -> Figures:
    """Run what has not run yet; returns the figures.

    Raises:
        BenchmarkMissingError: the clone is gone, or the evaluation is of no benchmark that has a protocol of its own.
        UsageError: this is no folder of a finished evaluation.
    """
    for name in ("config.yaml", "samples.jsonl", "left_out.json"):
        if not (folder / name).exists():
            raise UsageError(f"there is no {folder / name}; give the folder of a benchmark's finished evaluation")
    settings = OmegaConf.load(folder / "config.yaml").eval
    first = {
        sample.task_id: sample for sample in sorted(read_samples(folder / "samples.jsonl").values(), key=_last_first)
    }
    left_out = json.loads((folder / "left_out.json").read_text())
    silent = [task for task, reason in left_out.items() if reason == UNANSWERED]
    if settings.benchmark == "kernelbench":
        figures = _kernelbench(folder, settings.root, first, silent, console)
    elif settings.benchmark in HALVES:
        figures = _tritonbench(
            folder, tritonbench.load(Path(settings.root), HALVES[settings.benchmark]), first, silent, console
        )
    else:
        raise BenchmarkMissingError(f"{settings.benchmark} has no protocol but ours; KernelBench and TritonBench have")
    write_json(folder / "upstream.json", {"stamp": stamp(), "figures": figures})
    return figures


def by_level(items: Sequence[Item], counted: set[str], of: Callable[[list[str]], Figures]) -> Figures:
    """The figures of all counted problems, and of each level."""
    found = {"all": of([item.id for item in items if item.id in counted])}
    for level in sorted({item.level for item in items if item.id in counted}):
        found[f"level{level}"] = of([item.id for item in items if item.id in counted and item.level == level])
    return found


def _last_first(sample: Sample) -> int:
    return -sample.index


def _digest(sample: Sample) -> str:
    return hashlib.sha256(sample.completion.encode(errors="surrogatepass")).hexdigest()[:16]


def _kernelbench(
    folder: Path, root: str | None, first: dict[str, Sample], silent: list[str], console: Console
) -> Figures:
    items = kernelbench.load(root, (1, 2, 3))
    path = folder / "upstream.jsonl"
    known = {(kept.task, kept.digest): kept.verdict for kept in read_records(path, Kept)}
    found: dict[str, UpstreamVerdict] = {}
    with progress(console) as bars:
        bar = bars.add_task("upstream's protocol", total=len(first))
        for item in items:
            if (sample := first.get(item.id)) is None:
                continue
            digest = _digest(sample)
            verdict = known.get((item.id, digest))
            if not isinstance(verdict, UpstreamVerdict):  # a fault of the machine is tried again
                code = extract_kernel(sample.completion, item.entry_point)
                verdict = (
                    _no_code(code)
                    if isinstance(code, Rejected)
                    else judge(item.task.reference, code, Protocol(), folder / "upstream_baselines")
                )
                append_record(path, Kept(task=item.id, digest=digest, verdict=verdict))
            if isinstance(verdict, UpstreamVerdict):
                found[item.id] = verdict
            bars.advance(bar)

    def of(tasks: list[str]) -> Figures:
        right = [task in found and found[task].correct for task in tasks]
        speed = {}
        for name in BASELINES:
            speedups = [
                found[task].speedups.get(name) if task in found and found[task].correct else None for task in tasks
            ]
            if any(speedups):
                speed[name] = {
                    "fast_p": {str(p): share for p, share in fast_ps(speedups).items()},
                    "geometric_mean_speedup": geometric_mean_speedup(speedups),
                }
        return {"problems": len(tasks), "right": sum(right), "speed": speed}

    return by_level(items, found.keys() | set(silent), of)


def _no_code(why: Rejected) -> UpstreamVerdict:
    return UpstreamVerdict(
        compiled=False, correct=False, reason=why.reason, baselines={}, speedups={}, jail=(), stamp=stamp()
    )


def _tritonbench(
    folder: Path, items: list[TritonBenchItem], first: dict[str, Sample], silent: list[str], console: Console
) -> Figures:
    pairs = []
    for item in items:
        if sample := first.get(item.id):
            digest = _digest(sample)
            code = extract_kernel(sample.completion, item.entry_point)
            pairs.append(Pair(item, digest, upstream_answer(sample.completion), code))
    seconds, workers, gpus = host()
    with Runner(seconds, workers, gpus) as runner:
        outcomes, _ = run(pairs, runner, folder / "upstream.jsonl", lambda item, code: None, console)
    found = {one.item: one for one in outcomes if isinstance(one, Compared) and one.upstream.call is not None}

    def of(tasks: list[str]) -> Figures:
        called = sum(task in found and bool(found[task].upstream.call) for task in tasks)
        executed = sum(task in found and bool(found[task].upstream.execution) for task in tasks)
        same = sum(task in found and bool(found[task].right) for task in tasks)
        shares = {"call_accuracy": called, "execution_accuracy": executed, "results_agree": same}
        return {"problems": len(tasks), "right": executed} | {
            name: accuracy(count, len(tasks)) if tasks else None for name, count in shares.items()
        }

    return by_level(items, found.keys() | set(silent), of)


def main(line: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.upstream", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="as python -m eval wrote it")
    console = Console(stderr=True)
    try:
        console.print_json(data=evaluate(parser.parse_args(line).folder, console))
    except UsageError as error:
        console.print(f"[red]{error}[/red]")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
