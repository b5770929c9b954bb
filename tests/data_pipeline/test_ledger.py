"""Screening decides by order and rule; a run that is killed again and again ends in the data set of a quiet one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from configs.schema import HubConfig
from data_pipeline.contamination import Benchmarks, Item
from data_pipeline.ledger import Ledger
from data_pipeline.screening import allowed, screen
from data_pipeline.sources.hub import hub
from data_pipeline.store import load_kernels, load_pairs
from data_pipeline.synthetic import propose
from data_pipeline.task import Kernel, Provenance

CODE = """@triton.jit
def {name}(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    x = tl.load(x_ptr + at, mask=keep, other={fill})
    {body}
    tl.store(y_ptr + at, y, mask=keep)
"""
RUN = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from hydra import compose, initialize_config_dir
from configs.main import validate
import data_pipeline.build as build
from data_pipeline.probe import Quality
from sandbox.types import Passed, Rejected
from test_ledger import kernels

class Quick:
    async def run(self, job):
        await asyncio.sleep(0.01)
        return Rejected(stage="numerics", reason="odd") if len(job.candidate) % 7 == 0 else Passed(cases=())

async def worthy(tasks):
    await asyncio.sleep(0.01)
    return [Quality(task_id=t.id, reason="dull" if t.difficulty == 3 else None) for t in tasks]

build.package = lambda name, version, checks: kernels()
with initialize_config_dir(sys.argv[2], version_base="1.3"):
    size = f"data.synthetic_tasks={sys.argv[4]}"
    config = validate(compose("config", ["experiment=quickstart", f"out={sys.argv[3]}", size]))
asyncio.run(build.build(config, Quick(), probe=worthy))
"""


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


def start(out: Path, size: int = 150) -> "subprocess.Popen[bytes]":
    """A run of `size` synthetic tasks in a process of its own."""
    here = Path(__file__).parent
    command = [sys.executable, "-c", RUN, str(here), str(here.parents[1] / "configs"), str(out), str(size)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(here.parents[1])})


@pytest.mark.slow
def test_memory_stays_flat_as_the_run_grows_tenfold(tmp_path: Path) -> None:
    peaks = []
    for size in (150, 1500):
        assert start(tmp_path / str(size), size).wait() == 0
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
    began = time.monotonic()
    assert start(tmp_path / "quiet").wait() == 0
    seconds, done = time.monotonic() - began, tmp_path / "killed" / "data" / "summary.json"
    for _ in range(20):
        process = start(tmp_path / "killed")
        try:
            process.wait(seconds * chance.uniform(0.5, 0.95))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        done.unlink(missing_ok=True)  # so that the next one does not stop at once
    assert start(tmp_path / "killed").wait() == 0
    pairs = [load_pairs(tmp_path / name / "data", None) for name in ("quiet", "killed")]
    assert pairs[0] == pairs[1] and len(pairs[0]) > 50
    texts = [load_kernels(tmp_path / name / "data") for name in ("quiet", "killed")]
    assert texts[0] == texts[1] and 0 < len(texts[0]) < 40
