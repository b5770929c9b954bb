"""TritonBench's performance metrics: upstream's formulas, and its scripts run below golds and answers.

The scripts here are ours, in the form of upstream's, with a tool that makes times up: nothing is timed without a GPU.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clones
import pytest
from rich.console import Console

from data_pipeline.contamination import BenchmarkMissingError
from eval.benchmarks.tritonbench import items as tritonbench
from eval.benchmarks.tritonbench import speed
from eval.benchmarks.tritonbench.items import Half
from eval.benchmarks.tritonbench.runner import Runner
from eval.benchmarks.tritonbench.speed import A100, Peaks, Point, Score, means, score
from eval.benchmarks.tritonbench.upstream import Pair

TOOLS = """import json
import os
import sys


class Performance_Metrics:
    def __init__(self, name, dtype=None, is_backward=False):
        self.op_name = name

    def get_do_bench_config(self, warmup, rep):
        assert (warmup, rep) == (25, 100)

    def get_runtime(self, op):
        op()
        return vars(sys.modules["__main__"]).get("milliseconds", lambda: 2.0)()

    def run_benchmark(self):
        results = []
        for given in self.input_tensors:
            given = self.to_cuda(given)
            ms = self.get_runtime(lambda: self.call_op(given))
            gbps, tflops = self.get_gbps(given, ms), self.get_tflops(given, ms)
            results.append({"input_size": [given.shape], "ms": ms, "GB/s": gbps, "TFLOPS": tflops})
        folder_path = "./results"
        with open(os.path.join(folder_path, self.op_name + ".json"), "w") as f:
            json.dump(results, f)
"""
SCRIPT = """import sys
import os
sys.path.append(os.path.abspath(os.path.join(os.path.dirname(__file__), '..')))
from {package}.{item} import {function}
from performance_utils import Performance_Metrics
import torch

class performance_metrics(Performance_Metrics):
    def __init__(self, dtype=None, is_backward=False, **kwargs):
        super().__init__('{item}', dtype=dtype, is_backward=is_backward, **kwargs)

    def get_input_tensors(self):
        self.input_tensors = [torch.rand(size) for size in (64, 128)]

    def to_cuda(self, input_tensor):
        return input_tensor.cuda()

    def call_op(self, input_tensor):
        return {function}(input_tensor)

    def get_gbps(self, input_tensor, runtime):
        return input_tensor.numel() / runtime

    def get_tflops(self, input_tensor, runtime):
        return 1

if __name__ == '__main__':
    op_perf = performance_metrics()
    op_perf.get_input_tensors()
    op_perf.get_do_bench_config(warmup=100, rep=1000)
    op_perf.run_benchmark()
"""
FASTER = "def milliseconds():\n    return {ms}\n\n\n"
HERE = Peaks(640.0, 1000.0)


def points(*ms: float, gbps: float = 10.0, tflops: float = 1.0) -> list[Point]:
    return [Point(f"[[{number}]]", one, gbps, tflops) for number, one in enumerate(ms)]


@pytest.mark.parametrize(
    ("half", "gold", "answer", "found"),
    [
        ("G", points(1, 2, 3), points(2, 1, 1), Score(1.5, 0.4904)),
        ("G", points(1), points(3, tflops=156.0), Score(0.3333, 50.0)),
        ("G", points(1, 2), points(1), None),
        ("G", points(10), points(1), None),
        ("G", points(1), points(1, gbps=2039.0), None),
        ("G", points(1), points(1, tflops=312.0), None),
        ("G", points(0.05), points(1), Score(0.05, 0.4904)),
        ("G", [], [], None),
        ("T", points(1, 2, 3), points(2, 1, 1), Score(1.5, None)),
        ("T", points(1, 2, 3), points(0.5, 1.0), Score(2.0, None)),
        ("T", points(1), points(1, gbps=5000.0), Score(1.0, None)),
        ("T", points(10), points(1), None),
        ("T", points(0.1), points(1), None),
        ("T", points(1), [], None),
    ],
)
def test_scores_are_upstreams(half: Half, gold: list[Point], answer: list[Point], found: Score | None) -> None:
    assert score(half, gold, answer, A100) == found


def test_means_leave_out_what_is_dropped() -> None:
    assert means([Score(1.0, 20.0), None, Score(2.0, 30.0)]) == {"scored": 2, "speedup": 1.5, "efficiency": 25.0}
    assert means([Score(1.25, None)]) == {"scored": 1, "speedup": 1.25, "efficiency": None}
    assert means([None]) == {"scored": 0, "speedup": None, "efficiency": None}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = clones.runnable(tmp_path_factory.mktemp("clone"))
    for half, package, item, function in (
        ("G", "TritonBench_v1", "double_op", "double"), ("T", "TorchBench_v1", "half", "half"),
    ):  # fmt: skip
        folder = root / "performance_metrics" / f"perf_{half}"
        for name in ("golden_metrics", "golden_results"):
            (folder / name).mkdir(parents=True)
        (folder / "performance_utils.py").write_text(TOOLS)
        text = SCRIPT.format(package=package, item=item, function=function)
        (folder / "golden_metrics" / f"{item}_perf.py").write_text(text)
        rows = [{"input_size": [[size]], "ms": 3.0, "GB/s": 1.0, "TFLOPS": 1.0} for size in (64, 128)]
        (folder / "golden_results" / f"{item}.json").write_text(json.dumps(rows))
    (root / "performance_metrics" / "perf_T" / "golden_results" / "half.json").rename(
        root / "performance_metrics" / "perf_T" / "golden_results" / "half.py.json"
    )
    return root


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner(20.0, 1, ()) as shared:
        yield shared


def pairs(root: Path, limit: int, seed: int) -> list[Pair]:
    """What a result of `answers` chose, two of which were right."""
    assert (limit, seed) == (7, 3)
    items = {item.name: item for half in ("G", "T") for item in tritonbench.load(root, half)}
    codes = [("double_op", FASTER.format(ms=1.0) + clones.DOUBLE), ("double_op", clones.DOUBLE),
             ("double_op", "def double(x):\n    raise KeyError"), ("half", FASTER.format(ms=4.0) + clones.HALF),
             ("half", FASTER.format(ms="float('nan')") + clones.HALF)]  # fmt: skip
    return [Pair(items[name], f"f.jsonl:{n}", code, code) for n, (name, code) in enumerate(codes)]


def test_right_answers_are_timed_beside_their_golds_and_not_again(clone: Path, runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "tritonbench_answers.json"
    with pytest.raises(SystemExit, match="answers first"):
        speed.add(path, clone, pairs, runner, HERE, Console())
    tried: dict[str, Any] = {"call": True, "execution": True, "reason": "", "seconds": 1.0}
    wrong = {**tried, "execution": False}
    rows = [
        {"item": pair.item.id, "answer": pair.answer, "raw": tried, "filtered": wrong if number == 1 else tried}
        for number, pair in enumerate(pairs(clone, 7, 3))
    ]
    result = {"settings": {"limit": 7, "seed": 3}, "summary": {"answers": 5}, "rows": rows}
    path.write_text(json.dumps(result))
    scores = speed.add(path, clone, pairs, runner, HERE, Console())
    assert scores["faults"] == 0
    assert scores["g"] == {
        "right": 2, "timed": 1,
        "upstream": {"scored": 1, "speedup": 3.0, "efficiency": 6.28},
        "here": {"scored": 1, "speedup": 2.0, "efficiency": 20.0},
    }  # fmt: skip
    assert scores["t"]["timed"] == 1 and scores["t"]["here"] == {"scored": 1, "speedup": 0.5, "efficiency": None}
    assert scores["t"]["upstream"]["speedup"] == 0.75, "a file whose name has a suffix too many is found"
    written = json.loads(path.read_text())
    assert written["summary"] == {"answers": 5, "speed": scores} and written["rows"] == rows
    reasons = {(row["item"], row["answer"]): row["reason"] for row in written["speed"]["rows"]}
    assert len(reasons) == 6 and reasons["TritonBench_T/half", "f.jsonl:4"] == "its times are no times"
    assert reasons["TritonBench_G/double_op", "f.jsonl:2"] == "KeyError: "
    assert list(tmp_path.iterdir()) == [path]


def test_times_that_are_there_are_not_taken_again(
    clone: Path, runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tritonbench_answers.json"
    (one, *_) = pairs(clone, 7, 3)
    row = {"item": one.item.id, "answer": one.answer, "raw": {"execution": True}}
    path.write_text(json.dumps({"settings": {"limit": 7, "seed": 3}, "summary": {}, "rows": [row]}))
    taken = []
    real = speed.timed

    def stopping(runner: Runner, root: Path, item: Any, answer: str, code: str) -> speed.Timed:
        if taken:
            raise KeyboardInterrupt
        taken.append(answer)
        return real(runner, root, item, answer, code)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(speed, "timed", stopping)
        speed.add(path, clone, pairs, runner, HERE, Console())
    (partial,) = tmp_path.glob("*.partial.jsonl")
    kept = speed.Timed.model_validate_json(partial.read_text())
    partial.write_text(
        kept.model_copy(update={"points": (Point("[[64]]", 8.0, 1.0, 1.0),) * 2}).model_dump_json() + "\n"
    )
    assert speed.add(path, clone, pairs, runner, HERE, Console())["g"]["here"]["speedup"] == 8.0
    assert taken == ["gold"]


def test_a_clone_without_scripts_is_named(clone: Path, tmp_path: Path) -> None:
    (item,) = (item for item in tritonbench.load(clone, "G") if item.name == "gone")
    with pytest.raises(BenchmarkMissingError, match="gone_perf"):
        speed.program(clone, item)
