"""The suite's runner: what it makes of verdicts, claims and task files. Times themselves need a GPU."""

import json
import tomllib
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from sandbox import references
from sandbox.bench import report, suite, suite_page, suite_table
from sandbox.bench.report import Judged, UnfitHostError
from sandbox.judging.draw import Draw
from sandbox.judging.reference import BrokenReferenceError, Reference
from sandbox.task_file import Headline
from sandbox.types import Baseline, Broken, Case, Job, Passed, Rejected, Timing, Verdict

COPY = {"copy_bytes_per_ms": 4.0, "nominal_bytes_per_ms": 5.0}
SOURCE = """
def make_inputs(case, draw):
    return (draw.normal(4),)
def double(x):
    return x.float() * 2
def eager(x):
    return x + x
"""


def timing(baseline: Baseline, ratio: float) -> Timing:
    return Timing(
        case="t", baseline=baseline, candidate_ms=0.2, baseline_ms=0.2 * ratio, ratio=ratio, ratio_low=ratio - 0.01,
        ratio_high=ratio + 0.01, candidate_peak_mib=2, baseline_peak_mib=30, roofline_ms=0.1, limited_by="bytes",
        clock="graph", samples=30, stamp={},
    )  # fmt: skip


def measured() -> tuple[references.SuiteTask, dict[str, Any]]:
    task = references.load("sparton_head", "gpu")
    verdict = Passed(cases=(), timings=(timing("eager", 5.0), timing("compile", 3.0)))
    return task, suite.row_of(task, "t", Judged("sparton_head t", verdict, 1.0, 1.0), COPY)


def test_a_row_compares_with_the_best_that_users_write() -> None:
    _, row = measured()
    assert row["ratio"] == 3.0 and row["roofline_share"] == pytest.approx(0.5)
    assert row["copy_share"] == pytest.approx(0.5 * 5 / 4) and row["baselines_peak_mib"]["compile"] == 30


def test_claims_are_met_or_not_by_time_and_by_memory() -> None:
    task, row = measured()
    claims = (
        Headline(claim="", case="t", against="eager", ratio=4.8),
        Headline(claim="", case="t", against="eager", ratio=5.1),
        Headline(claim="", case="t", against="eager", measure="memory", ratio=15.0),
        Headline(claim="", case="t", against="library", ratio=1.0),
    )
    found = suite.headlines([task.model_copy(update={"headlines": claims})], [row])
    assert [claim["met"] for claim in found] == [True, False, True, False] and found[3]["measured"] is None
    summary = suite.summarise([row, row], found)
    assert summary["headlines_met"] == 2 and summary["geomean_vs_best"] == pytest.approx(3.0)
    in_parts = {**row, "graph_breaks": 2}
    fails = {**row, "ratios": {"eager": row["ratios"]["eager"]}, "not_compiled": "KeyError: 'buf0'"}
    mixed = suite.summarise([row, {**in_parts, "ratio": 12.0}, {**fails, "ratio": 6.0}], [])
    assert (mixed["geomean_vs_best"], mixed["geomean_vs_best_compiled_whole"]) == (
        pytest.approx(6.0),
        pytest.approx(3.0),
    )
    page = suite_table.markdown([row, in_parts, fails], [], {"gpu": "", "torch": "", "triton": ""})
    lines = [line for line in page.splitlines() if line.startswith("| sparton_head")]
    assert ["*" in line for line in lines] == [False, "compile" in row["baselines_ms"], False]
    assert ["fails" in line for line in lines] == [False, False, True]


def test_a_rejected_case_has_a_row_without_times() -> None:
    task = references.load("sparton_head", "gpu")
    row = suite.row_of(task, "t", Judged("x", Rejected(stage="numerics", reason="off"), 1.0, 1.0), COPY)
    assert row["verdict"] == "numerics" and "ours_ms" not in row
    assert suite.summarise([row], [])["passed"] == 0


def test_a_job_asks_for_the_baselines_that_the_task_has() -> None:
    task = references.load("sparton_head", "gpu")
    one = suite.job(task, task.cases[0], Namespace(runs=7, baselines=["eager", "library"]))
    assert one.timing is not None and one.timing.runs == 7 and len(one.cases) == 1
    assert set(one.timing.baselines) == {"eager", "library"} & set(task.baselines)


def test_what_does_not_compile_is_timed_without() -> None:
    """The rest of a case is worth having; other faults are not taken for this one."""
    reason = "torch.compile (compile) fails: KeyError: 'buf0'"
    task, without = references.load("sparton_head", "gpu"), Passed(cases=())
    one = suite.job(task, task.cases[0], Namespace(runs=7, baselines=[]))

    def judge(asked: Job) -> Verdict:
        assert asked.timing is not None
        compiles = {"compile", "max-autotune"} & set(asked.timing.baselines)
        return Broken(reason=suite.NOT_COMPILED + reason) if compiles else without

    uncompiled: dict[str, str] = {}
    assert suite.with_what_compiles(judge, uncompiled)(one) == without
    assert uncompiled == {suite.digest(one): reason}
    other = Broken(reason="OutOfMemoryError: CUDA out of memory")
    assert suite.with_what_compiles(lambda asked: other, uncompiled)(one) == other


def test_a_row_is_kept_while_its_job_is_and_never_lost_to_another_host(tmp_path: Path) -> None:
    task, row = measured()
    same, other = (suite.digest(suite.job(task, case, Namespace(runs=7, baselines=[]))) for case in task.cases[:2])
    assert same != other != suite.digest(suite.job(task, task.cases[0], Namespace(runs=8, baselines=[])))
    settings = {"runs": 7, "baselines": []}
    path = report.write(tmp_path, "suite_h100", {}, [{**row, "job": same, "git": "an earlier one"}], settings=settings)
    assert [row["job"] for row in report.earlier_rows(path, settings)] == [same]
    assert report.earlier_rows(tmp_path / "none.json", settings) == []
    with pytest.raises(UnfitHostError, match="another runs; give another --out"):
        report.earlier_rows(path, settings | {"runs": 8})
    path.write_text(path.read_text().replace(torch.__version__.partition("+")[0], "1.0"))
    with pytest.raises(UnfitHostError, match="another torch"):
        report.earlier_rows(path, settings)


def test_baselines_of_a_task() -> None:
    reference = Reference(SOURCE, "double")
    drawn = reference.draw(Case(name="one"))
    assert reference.baseline(drawn, drawn.tensors, "eager") is reference.module.eager
    with pytest.raises(BrokenReferenceError, match="library"):
        reference.baseline(drawn, drawn.tensors, "library")


@pytest.mark.parametrize("name", references.names())
def test_every_claim_names_a_case_and_a_baseline_that_exist(name: str) -> None:
    task = references.load(name, "gpu")
    for claim in task.headlines:
        assert claim.case in {case.name for case in task.cases} and claim.against in task.baselines and claim.ratio > 0


@pytest.mark.parametrize("name", references.names())
def test_compilers_take_references_whole(name: str) -> None:
    """Dynamo of torch 2.11 stops at `unflatten`, and leaves a function to Python where it stands in a generator."""
    assert ".unflatten(" not in references.load(name, "gpu").reference


WITH_EAGER = [name for name in references.names() if "def eager(" in references.load(name, "cpu").reference]


@pytest.mark.parametrize("name", WITH_EAGER)
def test_eager_agrees_with_the_definition(name: str) -> None:
    """It is timed in its place, so it must compute the same; loosely, as it rounds at every step."""
    task = references.load(name, "cpu")
    found: dict[str, Any] = {}
    exec(compile(task.reference, name, "exec"), found)
    for case in task.cases:
        inputs = found["make_inputs"](case.args, Draw(torch.Generator().manual_seed(1), case.distribution))
        pairs = [found[f](*(x.clone() if isinstance(x, torch.Tensor) else x for x in inputs)) for f in (name, "eager")]
        wanted, got = (p if isinstance(p, tuple) else (p,) for p in pairs)
        for a, b in zip(wanted, got, strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            error = (a.double() - b.double()).norm() / a.double().norm().clamp_min(1e-30)
            assert error < 0.05, (case.name, float(error))


def test_the_page_is_up_to_date() -> None:
    assert suite_page.PAGE.read_text() == suite_page.page(), "run python -m sandbox suite --write-docs"


def test_rows_and_claims_are_published_and_what_is_not_reached_has_a_reason() -> None:
    """Of the committed result, so that no claim falls short without a word."""
    result = json.loads((suite_table.UNREACHED.parents[2] / "docs" / "results" / "suite_h100.json").read_text())
    page = suite_table.markdown(result["rows"], result["headlines"], result["stamp"])
    assert page == (suite_table.UNREACHED.parents[2] / "docs" / "results" / "suite_h100.md").read_text()
    why = tomllib.loads(suite_table.UNREACHED.read_text())
    claims = {(name, claim.claim) for name in references.names() for claim in references.load(name, "gpu").headlines}
    claims |= {(name, suite_table.SLOWER_THAN_COPY) for name in references.names()}
    assert {(name, claim) for name, said in why.items() for claim in said} <= claims
    for claim in result["headlines"]:
        assert claim["met"] or why[claim["operator"]][claim["claim"]] in page
    for row in suite_table.behind_copy(result["rows"]):
        assert why[row["operator"]][suite_table.SLOWER_THAN_COPY] in page


def test_the_largest_case_that_bytes_limit_must_come_close_to_a_copy() -> None:
    def row(operator: str, case: str, ours_ms: float, share: float | None) -> dict[str, Any]:
        return {"operator": operator, "case": case, "ours_ms": ours_ms, "copy_share": share}

    rows = [row("a", "s", 0.04, 0.1), row("a", "t", 0.06, 0.5), row("a", "l", 0.9, 0.81), row("a", "f", 2.0, None)]
    rows += [row("b", "l", 0.9, 0.79), row("b", "t", 0.5, 0.95), {"operator": "b", "case": "r", "verdict": "broken"}]
    assert [(one["operator"], one["case"]) for one in suite_table.behind_copy(rows)] == [("b", "l")]
