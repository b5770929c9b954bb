"""The agreement command: candidates and what is made of them, rows that are kept, counts."""

import json
from pathlib import Path
from typing import Any

import clones
import pytest

from eval import kernelbench
from eval.benchmarks.kernelbench.agreement import NAME, Agreement, Entry, compared, entries, spread
from eval.benchmarks.kernelbench.items import load
from eval.benchmarks.kernelbench.upstream import Times, UpstreamVerdict
from sandbox.local import LocalSandbox
from sandbox.types import PROTOCOL_VERSION, Broken

THEIRS = {"compiled": True, "correctness": True, "runtime_ms": 0.2, "reference_ms": 0.4, "revision": "abc"}
PASSED = {"kind": "passed", "timings": []}
AGAIN = {"kind": "passed", "timings": [{"ratio": 1.01, "ratio_low": 0.99, "ratio_high": 1.03}]}


def times(mean_ms: float) -> Times:
    return Times(mean_ms=mean_ms, std_ms=0, min_ms=mean_ms, max_ms=mean_ms, samples=100)


def ours(correct: bool = True, candidate_ms: float = 0.1, eager_ms: float = 0.2) -> UpstreamVerdict:
    return UpstreamVerdict(
        compiled=True, correct=correct, candidate=times(candidate_ms) if correct else None, jail=(), stamp={},
        baselines={"eager": times(eager_ms)}, speedups={"eager": eager_ms / candidate_ms} if correct else {},
    )  # fmt: skip


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return clones.kernelbench(tmp_path / "clone")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "run"
    found.mkdir()
    (found / "level_1_problem_2_sample_0_kernel.py").write_text("class ModelNew:\n    size = 3\n")
    change = {"name": "level_1_problem_2", "why": "too large", "find": "size = 3", "replace": "size = 4"}
    (found / "run.json").write_text(json.dumps({"small": {}, "wrong": [change]}))
    return found


def entry(clone: Path, wrong: str = "") -> Entry:
    return Entry(name="one", item=load(str(clone), [1])[0], code="", wrong=wrong)


def test_candidates_are_matched_and_wrong_ones_are_made(clone: Path, folder: Path) -> None:
    items = load(str(clone), [1, 3])
    right, wrong = entries(folder, items)
    assert (right.name, right.wrong, right.policy, right.item.number) == ("level_1_problem_2", "", "triton_only", 2)
    assert wrong.name == "level_1_problem_2_wrong_0" and wrong.wrong == "too large" and "size = 4" in wrong.code
    (folder / "level_3_problem_1_sample_0_kernel.py").write_text("")
    assert [e.policy for e in entries(folder, items) if e.item.level == 3] == ["mixed"]
    (folder / "level_1_problem_2_sample_0_kernel.py").write_text("size = 5")
    with pytest.raises(ValueError, match=r"'size = 3' must stand exactly once in level_1_problem_2"):
        entries(folder, items)
    (folder / "level_1_problem_7_sample_0_kernel.py").write_text("")
    with pytest.raises(ValueError, match="nowhere holds no level"):
        entries(folder / "nowhere", [])
    with pytest.raises(ValueError, match=r"level_1_problem_7_sample_0_kernel\.py belongs to no problem"):
        entries(folder, items)


def test_verdicts_and_speedups_are_compared(clone: Path) -> None:
    row = compared(entry(clone), ours(), THEIRS, PASSED)
    assert row["verdict_equal"] and row["long_enough"] and not row["fault"] and row["speedup_apart"] == 0
    assert compared(entry(clone), ours(candidate_ms=0.05, eager_ms=0.2), THEIRS, PASSED)["speedup_apart"] == 1
    assert not compared(entry(clone), ours(candidate_ms=0.049), THEIRS, PASSED)["long_enough"]
    other = compared(entry(clone), ours(correct=False), THEIRS, PASSED)
    assert not other["verdict_equal"] and "speedups" not in other
    fault = compared(entry(clone), Broken(reason="lost"), THEIRS, PASSED)
    assert fault["fault"] and "verdict_equal" not in fault
    assert compared(entry(clone), ours(), THEIRS, {"kind": "broken", "reason": "lost"})["fault"]


def test_rows_are_kept_counted_and_done_again_only_where_they_must(clone: Path, tmp_path: Path) -> None:
    first = Agreement(tmp_path, 7)
    refused = {**THEIRS, "correctness": False}
    rows: dict[str, dict[str, Any]] = {
        "right": compared(entry(clone), ours(), THEIRS, PASSED),
        "apart": compared(entry(clone), ours(candidate_ms=0.2, eager_ms=0.43), THEIRS, PASSED),
        "unequal": compared(entry(clone), ours(correct=False), THEIRS, PASSED),
        "fault": compared(entry(clone), Broken(reason="lost"), THEIRS, PASSED),
        "wrong": compared(entry(clone, "why"), ours(correct=False), refused, {"kind": "rejected"}),
        "accepted": compared(entry(clone, "why"), ours(), THEIRS, PASSED),
    }
    for name, row in rows.items():
        first.keep("candidates", name, {"key": "k", **row})
    for name, mixed in (("a", AGAIN), ("b", {"kind": "broken", "reason": "memory"})):
        first.keep("resubmit", name, {"key": "k", "mixed": mixed, "only": {"kind": "rejected"}})
    first.keep("references", "a", {"key": "k", "ran": True})
    first.keep("references", "b", {"key": "k", "ran": False})
    again = Agreement(tmp_path, 7)
    assert again.rows == first.rows and not again.missing("candidates", "right", "k")
    assert again.missing("candidates", "right", "other") and again.missing("candidates", "new", "k")
    assert again.missing("candidates", "fault", "k")
    result = json.loads((tmp_path / NAME).read_text())
    assert result["stamp"]["torch"] and result["summary"] == again.summary() == {
        "candidates": 4, "verdicts_equal": 2, "accepted_by_both": 2, "accepted_hardened": 4, "wrong_candidates": 2,
        "wrong_refused_by_both": 1, "wrong_refused_hardened": 1, "speedups_compared": 2, "speedup_within_5_percent": 1,
        "references_total": 7, "references_tried": 2, "references_run": 1, "resubmitted": 2,
        "resubmitted_accepted_mixed": 1, "resubmitted_broken": 1, "resubmitted_interval_holds_1": 1,
        "resubmitted_within_2_percent": 1, "resubmitted_refused_triton_only": 2,
    }  # fmt: skip


def test_another_protocol_of_the_sandbox_asks_it_alone_again(
    clone: Path, tmp_path: Path, sandbox: LocalSandbox
) -> None:
    """The clone that is given holds no evaluator, so that asking it would fail."""
    one, result = entry(clone), Agreement(tmp_path, 7)
    key = result.key(one.code, one.item.task.reference, one.policy)
    result.keep("candidates", "one", {"key": key, **compared(one, ours(), THEIRS, {**PASSED, "protocol": "0"})})
    result.candidates([one], tmp_path, None, sandbox)
    row = result.rows["candidates"]["one"]
    assert row["hardened"]["kind"] == "rejected" and row["hardened"]["protocol"] == PROTOCOL_VERSION
    assert row["kernelbench"] == THEIRS and row["verdict_equal"] and not row["fault"]
    result.candidates([one], tmp_path, None, sandbox)
    assert result.rows["candidates"]["one"] == row


def test_samples_are_spread_over_all_levels(clone: Path) -> None:
    items = load(str(clone), [1, 2, 3])
    assert [item.id for item in spread(items, 3)] == [items[0].id, items[2].id, items[4].id]
    assert spread(items, 0) == items == spread(items, 99)


def test_constants_are_made_small_or_missed(clone: Path) -> None:
    item = load(str(clone), [1])[0]
    named = item.model_copy(update={"task": item.task.model_copy(update={"reference": "N = 2048 * 2\nM = N\n"})})
    assert kernelbench.shrunk(named, {"N": "7"}).task.reference == "N = 7\nM = N\n"
    with pytest.raises(ValueError, match="has no constant K"):
        kernelbench.shrunk(named, {"K": "7"})


def test_a_missing_clone_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kernelbench.main(["check", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err.replace("\n", "")


@pytest.mark.slow
def test_references_run_from_a_clone(clone: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert kernelbench.main(["agreement", str(clone), "--part", "references", "--out", out]) == 0
    result = json.loads((tmp_path / "out" / NAME).read_text())
    assert result["summary"]["references_total"] == result["summary"]["references_run"] == 6
    seconds = {name: row["seconds"] for name, row in result["references"].items()}
    assert kernelbench.main(["agreement", str(clone), "--part", "references", "--out", out]) == 0
    again = json.loads((tmp_path / "out" / NAME).read_text())["references"]
    assert {name: row["seconds"] for name, row in again.items()} == seconds
