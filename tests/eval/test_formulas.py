"""The benchmarks' scores at hand-computed values."""

from pathlib import Path

import clones
import pytest
from make_run import PASSED

from eval.benchmarks.formulas import (
    Measurement,
    Performance,
    accuracy,
    efficiency,
    fast_p,
    fast_ps,
    geometric_mean_speedup,
    keeps,
    same_sizes,
    sol_score,
    speedup,
    summarise,
)
from eval.benchmarks.kernelbench.items import load
from eval.benchmarks.scores import Score, scores, speedups
from eval.samples import Sample
from sandbox.types import Baseline, Broken, Passed, Rejected, Timing, Verdict


def rows(*values: tuple[int, float, float, float]) -> list[Measurement]:
    keys = ("input_size", "ms", "GB/s", "TFLOPS")
    return [Measurement.model_validate(dict(zip(keys, row, strict=True))) for row in values]


def test_fast_p_is_strict_and_over_all_problems() -> None:
    speedups = [None, 0.5, 1.0, 1.5, 4.0]
    assert fast_ps(speedups) == {0.0: 0.8, 0.5: 0.6, 0.8: 0.6, 1.0: 0.4, 1.2: 0.4, 1.5: 0.2, 2.0: 0.2, 4.0: 0.0}
    assert fast_p([None, None], 0.0) == 0.0
    with pytest.raises(ValueError, match="at least one"):
        fast_p([], 1.0)


def test_geometric_mean_is_over_right_answers_only() -> None:
    assert geometric_mean_speedup([None, 2.0, 0.5]) == pytest.approx(1.0)
    assert geometric_mean_speedup([8.0, 2.0, None, None]) == pytest.approx(4.0)
    assert geometric_mean_speedup([None]) == 0.0


def test_sol_score_has_its_fixed_points() -> None:
    assert sol_score(1.0, 5.0, 1.0) == 1.0 and sol_score(5.0, 5.0, 1.0) == 0.5
    assert sol_score(3.0, 5.0, 1.0) == pytest.approx(2 / 3) and sol_score(13.0, 5.0, 1.0) == 0.25
    assert sol_score(0.1, 5.0, 1.0) == 1.0
    with pytest.raises(ValueError, match="not above"):
        sol_score(1.0, 1.0, 1.0)


def test_speedup_is_a_ratio_of_sums() -> None:
    gold = rows((1, 1.0, 100, 0), (2, 9.0, 200, 0))
    assert speedup(gold, gold) == 1.0
    assert speedup(gold, rows((1, 0.5, 0, 0), (2, 2.5, 0, 0))) == 3.3333, "not the mean of 2 and 3.6"
    part = rows((2, 3.0, 0, 0))
    assert [one.input_size for one in same_sizes(gold, part)] == [2]
    assert speedup(same_sizes(gold, part), part) == 3.0
    other = rows((7, 1.0, 0, 0), (8, 1.0, 0, 0))
    assert same_sizes(gold, other) == gold, "as many measurements are taken for the same sizes, as upstream does"


def test_efficiency_is_the_better_share_of_an_a100() -> None:
    assert efficiency(rows((1, 1, 2039, 0))) == 100.0 and efficiency(rows((1, 1, 0, 156))) == 50.0
    assert efficiency(rows((1, 1, 203.9, 31.2), (2, 1, 407.8, 62.4), (3, 1, 1, 93.6))) == 30.0


def test_operators_are_dropped_at_the_limits_themselves() -> None:
    def g(ratio: float, percent: float) -> bool:
        return keeps("G", Performance(speedup=ratio, efficiency=percent))

    def t(ratio: float) -> bool:
        return keeps("T", Performance(speedup=ratio, efficiency=500))

    assert g(9.9999, 99.9999) and g(0.01, 0) and not g(10, 50) and not g(1, 100)
    assert t(9.9999) and t(0.1001) and not t(10) and not t(0.1)


def test_summaries_leave_out_what_was_dropped() -> None:
    operators = {
        "a": Performance(speedup=1.0, efficiency=40.0),
        "b": Performance(speedup=2.25, efficiency=60.0),
        "c": Performance(speedup=12.0, efficiency=10.0),
        "d": Performance(speedup=0.05, efficiency=120.0),
    }
    found = summarise("G", operators)
    assert (found.speedup, found.efficiency, found.kept, found.dropped) == (1.62, 50.0, 2, ("c", "d"))
    found = summarise("T", operators)
    assert (found.speedup, found.efficiency, found.kept, found.dropped) == (1.62, None, 2, ("c", "d"))
    assert summarise("T", {}).speedup is None


def test_accuracy_is_a_percentage_with_two_decimals() -> None:
    assert accuracy(1, 3) == 33.33 and accuracy(0, 184) == 0.0 and accuracy(166, 166) == 100.0
    with pytest.raises(ValueError, match="at least one"):
        accuracy(0, 0)


def timed(*ratios: tuple[str, Baseline, float]) -> Passed:
    timings = tuple(
        Timing(
            case=case, baseline=baseline, candidate_ms=1.0, baseline_ms=ratio, ratio=ratio, ratio_low=ratio,
            ratio_high=ratio, candidate_peak_mib=0, baseline_peak_mib=0, roofline_ms=0.1, limited_by="bytes",
            clock="events", samples=30, stamp={}, baseline_breaks=int(baseline == "compile"),
        )
        for case, baseline, ratio in ratios
    )  # fmt: skip
    return PASSED.model_copy(update={"timings": timings})


def test_kernelbench_scores_count_unanswered_but_not_broken(tmp_path: Path) -> None:
    items = load(str(clones.kernelbench(tmp_path)))

    def sample(name: str, verdict: Verdict, index: int = 0) -> Sample:
        return Sample(
            task_id=f"KernelBench/{name}", index=index, prompt="", completion="", truncated=False, tokens=0,
            verdict=verdict,
        )  # fmt: skip

    samples = [
        sample("level1/2_HalfReLU", timed(("a", "eager", 4.0), ("b", "eager", 1.0), ("a", "compile", 0.5))),
        sample("level1/2_HalfReLU", Rejected(stage="screen", reason="import of 'os' is not allowed; allowed are …"), 1),
        sample("level1/10_Other", PASSED, 3),
        sample("level1/19_ReLU", Rejected(stage="numerics", reason="wrong")),
        sample("level2/9_Matmul", Broken(reason="ours")),
        sample("level3/1_MLP", PASSED),
    ]
    found = scores(items, samples, ["KernelBench/level1/23_Softmax"], (1, 2))
    names = [name for name in found if not name.startswith("family")]
    assert names == [
        "all", "all without marked", "level1", "level1 without marked", "level3", "level3 without marked",
    ]  # fmt: skip
    level = found["level1"]
    assert (level.problems, level.right, found["level1 without marked"].problems) == (4, 2, 2)
    assert level.pass_at_k["1"].value == pytest.approx((1 / 2 + 1 + 0 + 0) / 4)
    assert level.pass_at_k["2"].value == pytest.approx((1 + 0) / 2), "one answered twice, one not at all"
    assert level.refused_as_hack is not None and level.refused_as_hack.value == pytest.approx(1 / 2 / 3)
    assert {stage: share.value for stage, share in level.stages.items()} == {
        "numerics": pytest.approx(1 / 3), "screen": pytest.approx(1 / 6),
    }  # fmt: skip
    eager, compiled = level.speed["eager"], level.speed["compile"]
    assert eager.problems == 3 and eager.geometric_mean_speedup is not None, "what was not timed is not in it"
    assert eager.geometric_mean_speedup.value == pytest.approx(2.0)
    # One of two answers is right, and on average twice as fast.
    assert eager.fast_p[1.5].value == pytest.approx(1 / 2 / 3) and eager.fast_p[4.0].value == 0
    assert compiled.fast_p[0.0].value == pytest.approx(1 / 2 / 3) and compiled.fast_p[0.5].value == 0
    assert [level.speed[name].compiled_in_parts for name in ("eager", "compile", "best")] == [0, 1, 1]
    best = level.speed["best"].geometric_mean_speedup
    assert best is not None and best.value == pytest.approx((0.5 * 1.0) ** 0.5), "compile on case a, eager on b"
    # Case a: 1 / (1 + 0.9 / 3.9), case b: 1 / 2.
    assert eager.sol is not None and eager.sol.value == pytest.approx((1 / (1 + 0.9 / 3.9) + 0.5) / 2)
    assert level.roofline_share is not None and level.roofline_share.value == pytest.approx(0.1)
    assert level.coverage is None
    assert found["level3"].right == 1 and found["level3"].speed == {}
    assert found["family elementwise"].problems == found["all"].problems == 5
    assert speedups(samples, "eager") == {"KernelBench/level1/2_HalfReLU": pytest.approx(2.0)}


def test_intervals_of_scores_resample_problems(tmp_path: Path) -> None:
    items = load(str(clones.kernelbench(tmp_path)))[:4]
    ratios = {item.id: ratio for item, ratio in zip(items, (0.5, 1.0, 2.0, 4.0), strict=True)}

    def answered(copies: int) -> Score:
        samples = [
            Sample(task_id=task, index=index, prompt="", completion="", truncated=False, tokens=0,
                   verdict=timed(("a", "eager", ratio)))
            for task, ratio in ratios.items()
            for index in range(copies)
        ]  # fmt: skip
        return scores(items, samples, [])["all"]

    speed = answered(1).speed["eager"]
    mean = speed.geometric_mean_speedup
    assert mean is not None and mean.value == pytest.approx(2**0.5) and mean.tasks == 4
    assert 0.5 < mean.low < mean.value < mean.high < 4.0
    assert speed.fast_p[0.0].method == "exact" and speed.fast_p[0.0].low < 0.5, "four of four are no certainty"
    assert speed.fast_p[1.0].value == 0.5 and speed.fast_p[1.0].low < 0.3 and speed.fast_p[1.0].high > 0.7
    assert answered(5).speed == answered(1).speed, "more answers to the same problems are no more problems"
