"""Screening decides by order and rule; a run that is killed again and again ends in the data set of a quiet one."""

import asyncio
import json
import multiprocessing
import random
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from configs.main import validate
from configs.schema import HubConfig
from data_pipeline import build
from data_pipeline.contamination import Benchmarks, Item
from data_pipeline.ledger import Ledger
from data_pipeline.probe import Quality
from data_pipeline.screening import allowed, screen
from data_pipeline.sources.hub import hub
from data_pipeline.store import load_kernels, load_pairs
from data_pipeline.synthetic import propose
from data_pipeline.task import Kernel, Provenance, Task
from sandbox.types import Job, Passed, Rejected, Verdict

CODE = """@triton.jit
def {name}(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    x = tl.load(x_ptr + at, mask=keep, other={fill})
    {body}
    tl.store(y_ptr + at, y, mask=keep)
"""
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["data_pipeline.build"])  # takes longer to import than the run that is to be killed


def kernel(name: str, body: str, licence: str = "MIT", fill: str = "0.0") -> Kernel:
    code = CODE.format(name=name, body=body, fill=fill)
    source = Provenance(origin="package:p", version="1", path=f"{name}.py:1", licence=licence)
    return Kernel(id=f"k-{name}", name=name, source=source, code=code, launchers=())


def kernels() -> list[Kernel]:
    bodies = ["y = tl.exp(x) + tl.log(x)", "y = tl.sqrt(tl.abs(x)) * x", "y = tl.where(x > 0, x, x * 0.1)"]
    return [kernel(f"k{n}", bodies[n % 3], fill=str(n), licence="GPL-3.0" if n % 5 == 4 else "MIT") for n in range(40)]


def decided(ledger: Ledger) -> dict[str, tuple[str, str]]:
    found = [*ledger.rows("admitted"), *ledger.rows("refused"), *ledger.rows("clean")]
    return {row.id: (row.state, row.refused_by) for row in found}


def test_licence_duplicate_and_benchmark_are_refused_in_order(tmp_path: Path) -> None:
    first, renamed = kernel("a", "y = tl.exp(x) + tl.log(x)"), kernel("b", "y = tl.exp(x) + tl.log(x)", fill="7.5")
    other, secret = kernel("c", "y = tl.sqrt(tl.abs(x)) * tl.sin(x) / 2"), kernel("d", "y = x", licence="unknown")
    listed = kernel("e", "y = tl.cumsum(tl.sigmoid(x) * x, axis=0) - tl.flip(x)")
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.propose([first, renamed, other, secret, listed, *propose(2, seed=0)])
    screen(ledger, Benchmarks([Item("TritonBench_G/e", listed.code, "")]))
    found = decided(ledger)
    assert found["k-a"] == ("admitted", "") and found["k-c"] == ("admitted", "")
    assert found["k-b"] == ("refused", "duplicate") and found["k-d"] == ("refused", "licence")
    assert found["k-e"] == ("refused", "benchmark")
    assert [state for key, (state, _) in found.items() if key.startswith("syn-")] == ["clean", "clean"]
    (reason,) = [row.reason for row in ledger.rows("refused") if row.id == "k-b"]
    assert reason.startswith("k-a")
    ledger.close()


MODULE = """import torch
from torch import nn

class {name}(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.{layer}(width, width, {extra})
        self.second = nn.{layer}(width, width, {extra})
        self.scale = nn.Parameter(torch.ones(width) * {extra})

    def forward(self, {value}):
        return torch.sigmoid(self.first({value})) * self.second({value}) + self.scale * {value}.sum()
"""


def test_modules_are_compared_as_a_whole(tmp_path: Path) -> None:
    """Two modules with one `forward` can be two; names and sizes make no difference."""
    rows = [
        {"name": "Gated", "layer": "Linear", "extra": 3, "value": "x"},
        {"name": "Other", "layer": "Linear", "extra": 5, "value": "inputs"},
        {"name": "Gated", "layer": "Conv2d", "extra": 3, "value": "x"},
        {"name": "Mish", "layer": "Conv1d", "extra": 3, "value": "x"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(
        {"entry_point": r["name"], "python_code": MODULE.format(**r), "triton_code": "", "licenses": ["MIT"]}
    ) + "\n" for r in rows))  # fmt: skip
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.propose(hub(HubConfig(name=str(path), format="kernelbook")))
    screen(ledger, Benchmarks([Item("KernelBench/level1/9_Mish", "class Model: ...", "Model")]))
    found = list(decided(ledger).values())
    ledger.close()
    assert sorted(found) == [("clean", ""), ("clean", ""), ("refused", "benchmark"), ("refused", "duplicate")]


def test_a_model_with_the_operators_of_a_benchmark_is_refused(tmp_path: Path) -> None:
    posed = next(pair for pair in propose(60, 0, max_pieces=1200) if pair[0].entry_point == "ModelNew")
    listed = Item("KernelBench/level1/1_Other", posed[0].reference, "Model")
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.propose([posed])
    screen(ledger, Benchmarks([listed]))
    (refused,) = ledger.rows("refused")
    assert refused.refused_by == "benchmark" and "by operators" in refused.reason
    ledger.close()


@pytest.mark.parametrize(
    ("licence", "expected"),
    [("MIT", True), ("Apache-2.0 OR GPL-3.0", True), ("MIT AND BSD-3-Clause", True), ("MIT AND GPL-3.0", False),
     ("unknown", False), ("", False)],
)  # fmt: skip
def test_licences(licence: str, expected: bool) -> None:
    assert allowed(licence) is expected


def test_known_proposals_stay_as_they_are(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.propose(kernels())
    screen(ledger, None)
    before = decided(ledger)
    ledger.propose(kernels())
    assert decided(ledger) == before and not list(ledger.rows("proposed"))
    ledger.close()
    reopened = Ledger(tmp_path / "ledger.sqlite")
    assert decided(reopened) == before
    reopened.close()


class Quick:
    """In the sandbox's place."""

    async def run(self, job: Job) -> Verdict:
        await asyncio.sleep(0.01)
        return Rejected(stage="numerics", reason="odd") if len(job.candidate) % 7 == 0 else Passed(cases=())


async def worthy(tasks: list[Task]) -> list[Quality]:
    await asyncio.sleep(0.01)
    return [Quality(task_id=task.id, reason="dull" if task.difficulty == 3 else None) for task in tasks]


def run(out: Path, size: int) -> None:
    build.package = lambda name, version, checks: kernels()
    with initialize_config_dir(str(Path(__file__).parents[2] / "configs"), version_base="1.3"):
        chosen = ["experiment=quickstart", f"out={out}", f"data.synthetic_tasks={size}"]
        config = validate(compose("config", chosen))
    asyncio.run(build.build(config, Quick(), probe=worthy))


def start(out: Path, size: int = 150) -> ForkServerProcess:
    """A run of `size` synthetic tasks in a process of its own."""
    process = PROCESSES.Process(target=run, args=(out, size))
    process.start()
    return process


def succeeds(process: ForkServerProcess) -> bool:
    process.join()
    return process.exitcode == 0


@pytest.mark.slow
def test_memory_stays_flat_as_the_run_grows_tenfold(tmp_path: Path) -> None:
    peaks = []
    for size in (150, 1500):
        assert succeeds(start(tmp_path / str(size), size))
        ledger = Ledger(tmp_path / str(size) / "data" / "ledger.sqlite")
        judged, seconds, peak = ledger.measurements()
        ledger.close()
        assert judged > size / 2 and seconds > 0
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 40, peaks


@pytest.mark.slow
def test_killed_twenty_times_ends_in_the_same_data_set(tmp_path: Path) -> None:
    """Only the sandbox and the package index are replaced; processes die by SIGKILL at random moments."""
    chance = random.Random(3)
    assert succeeds(start(tmp_path / "quiet", 400))
    began = time.monotonic()
    assert succeeds(start(tmp_path / "again", 400))  # everything is imported by now
    seconds, done = time.monotonic() - began, tmp_path / "killed" / "data" / "summary.json"
    ends: list[int | None] = []
    while ends.count(-signal.SIGKILL) < 20:
        process = start(tmp_path / "killed", 400)
        process.join(seconds * chance.uniform(0.05, 0.5))
        process.kill()
        process.join()
        ends.append(process.exitcode)
        done.unlink(missing_ok=True)  # so that the next one does not stop at once
    assert succeeds(start(tmp_path / "killed", 400))
    assert set(ends) <= {-signal.SIGKILL, 0}, ends
    pairs = [load_pairs(tmp_path / name / "data", None) for name in ("quiet", "killed")]
    assert pairs[0] == pairs[1] and len(pairs[0]) > 50
    texts = [load_kernels(tmp_path / name / "data") for name in ("quiet", "killed")]
    assert texts[0] == texts[1] and 0 < len(texts[0]) < 40
