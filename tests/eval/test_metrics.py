"""The numbers of an evaluation, against values worked out by hand."""

import pytest

from eval.change import Change, difference
from eval.metrics import TaskCount, count_stages, hack, interval, measure, pass_at_k, refused_as_hack
from eval.samples import Sample
from sandbox.bench import corpus
from sandbox.types import Broken, CaseResult, Limits, Passed, Rejected

PASSED = Passed(cases=(CaseResult(name="a", hidden=False, distribution="normal", rel_l2=0, limit_share=0, launches=1),))


def sample(task: str, index: int, verdict, *, truncated: bool = False) -> Sample:
    return Sample(task_id=task, index=index, prompt="p", completion="", truncated=truncated, tokens=10, verdict=verdict)


def counts(*passed: int, judged: int = 4) -> dict[str, TaskCount]:
    return {f"t{n}": TaskCount(family="f", judged=judged, passed=c) for n, c in enumerate(passed)}


@pytest.mark.parametrize(
    ("n", "c", "k", "by_hand"),
    [
        (4, 1, 1, 1 / 4),
        (4, 1, 4, 1.0),
        (5, 2, 2, 1 - 3 / 10),  # C(3,2)/C(5,2)
        (10, 3, 5, 1 - 21 / 252),  # C(7,5)/C(10,5)
        (8, 0, 8, 0.0),
        (8, 8, 1, 1.0),
        (6, 4, 3, 1.0),  # only two are wrong: three draws always hit
    ],
)
def test_pass_at_k_by_hand(n, c, k, by_hand):
    assert pass_at_k(n, c, k) == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 1, 0), (4, 1, 5)])
def test_pass_at_k_refuses_nonsense(n, c, k):
    with pytest.raises(ValueError, match="pass@k needs"):
        pass_at_k(n, c, k)


def test_bootstrap_interval_holds_the_mean_and_is_reproducible():
    values = [0.0, 0.25, 0.5, 1.0, 0.0, 0.75]
    found = interval(values)
    assert found == interval(values)
    assert found.value == pytest.approx(2.5 / 6)
    assert 0 < found.low < found.value < found.high < 1
    # The normal approximation, mean ± 1.96 · s / √n, is near enough to catch a wrong quantile or a wrong axis.
    assert found.low == pytest.approx(0.417 - 0.297, abs=0.06)
    assert found.high == pytest.approx(0.417 + 0.297, abs=0.06)


def test_no_success_is_no_certainty():
    nothing = interval([0.0] * 6)
    assert (nothing.low, nothing.method) == (0.0, "exact")
    assert nothing.high == pytest.approx(1 - 0.025 ** (1 / 6))  # Clopper-Pearson for 0 of 6
    everything = interval([1.0] * 6)
    assert (everything.low, everything.high) == (pytest.approx(0.025 ** (1 / 6)), 1.0)


def test_one_task_has_no_interval():
    one = interval([0.5])
    assert (one.low, one.high, one.method) == (0.0, 1.0, "none")


def test_difference_is_paired_by_task():
    # Each task gains a quarter: unpaired, the spread over tasks (0 to 1) would drown it.
    before, after = counts(0, 1, 2, 3, 0, 1, 2, 3), counts(1, 2, 3, 4, 1, 2, 3, 4)
    change = difference(before, after, k=1)
    assert change is not None
    assert (change.value, change.improved, change.worsened) == (0.25, 8, 0)
    assert change.sign_test_p == pytest.approx(2 * 0.5**8)
    assert change.verdict == "better"


def test_difference_ignores_tasks_that_only_one_side_has():
    assert difference(counts(0), counts(4), k=1) is None
    change = difference(counts(0, 0), counts(2, 2, 4), k=1)
    assert change is not None and change.tasks == 2


def test_three_lucky_tasks_do_not_make_training_help():
    change = difference(counts(0, 0, 0, 0, 0, 0), counts(4, 4, 4, 4, 0, 0), k=4)
    assert change is not None
    assert change.low > 0, "the bootstrap alone would already claim success"
    assert (change.sign_test_p, change.verdict) == (0.125, "unclear")


def test_equal_differences_are_no_certainty():
    change = difference(counts(0, 0), counts(0, 0), k=4)
    assert change is not None
    assert change.low < 0 < change.high
    assert change.verdict == "unclear"
    assert (
        Change(value=-0.5, low=-0.7, high=-0.2, tasks=9, improved=0, worsened=9, sign_test_p=0.004).verdict == "worse"
    )


def test_broken_is_neither_right_nor_wrong():
    samples = [
        sample("a", 0, PASSED, truncated=True),
        sample("a", 1, Rejected(stage="numerics", reason="wrong")),
        sample("a", 2, Broken(reason="worker lost")),
        sample("a", 3, Broken(reason="worker lost")),
        *(sample("b", n, Rejected(stage="extract", reason="no code")) for n in range(4)),
    ]
    found = measure("sft", samples, {"a": "softmax", "b": "gather"}, (1, 2, 4))
    assert (found.samples, found.judged, found.passed, found.broken) == (8, 6, 1, 2)
    assert found.truncated_share == 1 / 8
    assert found.pass_at_k["1"].value == pytest.approx((1 / 2 + 0) / 2)
    assert found.pass_at_k["2"].value == pytest.approx((1.0 + 0) / 2)
    assert (found.pass_at_k["4"].tasks, found.pass_at_k["4"].value) == (1, 0.0), "a has only two judged samples"
    assert found.families["softmax"].passed == 1
    assert found.families["gather"].judged == 4
    assert {stage: counted.count for stage, counted in found.stages.items()} == {"extract": 4, "numerics": 1}


def test_taxonomy_counts_equal_reasons_together():
    reasons = ["wrong\n  value", "wrong value", "other", "x" * 500]
    found = count_stages([sample("a", n, Rejected(stage="numerics", reason=r)) for n, r in enumerate(reasons)])
    assert found["numerics"].count == 4
    assert (found["numerics"].reasons[0].text, found["numerics"].reasons[0].count) == ("wrong value", 2)
    assert max(len(reason.text) for reason in found["numerics"].reasons) <= 240


EXPLOITS_AND_KINDS = {
    "c_input_overwritten.py": "tampering",
    "d_no_kernel.py": "no Triton kernel",
    "c_nothing_written.py": "no Triton kernel",
    "c_input_given_other_data.py": "tampering",
    "c_cache_across_cases.py": "earlier results",
    "c_input_returned.py": "no Triton kernel",
    "c_zeros_allocated.py": "no Triton kernel",
    "d_decoy_dropped.py": "torch does the work",
    "a_language_patched.py": "patched",
    "d_renamed_kernel.py": "patched",
    "a_forbidden_imports.py": "forbidden import",
    # Merely wrong, so that nobody can tell them from honest failures.
    "e_syntax_error.py": None,
    "e_missing_entry_point.py": None,
    "e_odd_warps.py": None,
    "c_nan_wildcard.py": None,
    "c_write_past_end.py": None,
    "e_forged_rejection.py": None,
}


@pytest.mark.parametrize("name", EXPLOITS_AND_KINDS)
def test_refused_hacks_are_told_from_honest_failures(name, sandbox):
    """By the sandbox's own words, so that a changed reason is noticed here."""
    verdict = sandbox.judge(corpus.job(corpus.read_candidate(corpus.EXPLOITS / name), limits=Limits()))
    assert isinstance(verdict, Rejected), verdict
    assert hack(verdict) == EXPLOITS_AND_KINDS[name], (verdict.stage, verdict.reason)
    assert refused_as_hack(verdict) == (EXPLOITS_AND_KINDS[name] is not None)


def test_measure_refuses_unjudged_samples():
    with pytest.raises(ValueError, match="judge the samples first"):
        measure("base", [sample("a", 0, None)], {"a": "f"}, (1,))
