"""Chance has two sides in the tracer: what falls otherwise from process to process, and what does not because it is
seeded. And what the sandbox makes of two traces.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from plans_by_hand import launch, make, view
from tracing import request, trace_all

from sandbox.early_verdict import EarlyVerdictError
from sandbox.plans import plan
from sandbox.traces import Traced, certain
from sandbox.types import Broken, Rejected

CANDIDATE = """
import datetime, math, os, random, time, uuid
import numpy as np, torch

MONTH = time.gmtime().tm_mon
FIRST = [random.random(), random.randint(1, 100), random.choice(range(10)), np.random.rand(), np.random.randint(0, 100),
         np.random.default_rng().integers(0, 100), random.SystemRandom().random(), random.SystemRandom().randrange(50),
         time.time() % 60, time.time_ns() % 1000, time.perf_counter_ns() % 10, time.monotonic(), MONTH,
         hash("text") % 100, datetime.date.today().year, torch.seed() % 100, torch.Generator().seed() % 100,
         torch.default_generator.seed() / 2**53, os.getrandom(2)[0], time.clock_gettime(time.CLOCK_REALTIME) % 60,
         time.clock_gettime_ns(time.CLOCK_MONOTONIC) % 1000, os.times().elapsed, os.times().user]
MEAN = [sum(random.random() for _ in range(4000)) / 4000, np.random.rand(4000).mean(),
        np.random.default_rng().random(4000).mean()]
random.seed(3)
np.random.seed(3)
SEEDED = [random.random(), random.Random(5).random(), np.random.rand(), np.random.default_rng(3).random(), hash(7),
          float(hash((1, 2)) % 97), math.sin(1.0), torch.manual_seed(3).initial_seed(),
          torch.Generator().manual_seed(5).initial_seed()]
before, start = time.perf_counter(), datetime.datetime.now()
ADVANCE = [time.perf_counter() - before, (datetime.datetime.now() - start).total_seconds()]
KINDS = [isinstance(start, datetime.datetime), isinstance(start, datetime.date),
         len({uuid.uuid4() for _ in range(40)}) == 40, isinstance(datetime.datetime(2020, 1, 1), datetime.datetime),
         time.strftime("%Y") == str(start.year)]

def f(x):
    told = [*FIRST, *MEAN, *SEEDED, *ADVANCE, *map(float, KINDS)]
    return torch.tensor([float(value) for value in told], device="cuda")
"""
FIRST, MEAN, SEEDED, ADVANCE = 23, 3, 9, 2
LEAST = [0.0, 1, 0, 0.0, 0, 0, 0.0, 0, 0.0, 0, 0, 1000.0, 1, 0, 2001, *[0] * 4, 0.0, 0, 1000.0, 1000.0]
MOST = [1.0, 100, 9, 1.0, 99, 99, 1.0, 49, 60.0, 999, 9, 1e6, 12, 99, 2031, 99, 99, 1, 255, 60.0, 999, 1007200, 1003600]
"""The text's hash is the candidate's own question."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    asked = [request(CANDIDATE, torch.ones(4), **side) for side in ({"side": 0}, {"side": 1}, {"side": 1}, {})]
    replies = trace_all(asked, tmp_path_factory.mktemp("traces"))
    plans = [plan.parse(reply.get("plans", [reply])[0]) for reply in replies]
    return [next(s.values for s in p.steps if isinstance(s, plan.Constant)) for p in plans if isinstance(p, plan.Plan)]


def test_what_comes_first_is_least_on_one_side_and_greatest_on_the_other(told: list[list[Any]]) -> None:
    assert told[0][:FIRST] == pytest.approx(LEAST, abs=5e-3)
    assert told[1][:FIRST] == pytest.approx(MOST, abs=5e-3)


def test_what_comes_later_is_as_random_numbers_are(told: list[list[Any]]) -> None:
    for side in told[:2]:
        assert side[FIRST : FIRST + MEAN] == pytest.approx([0.5] * MEAN, abs=0.1)


def test_seeded_numbers_are_what_they_are_without_sides(told: list[list[Any]]) -> None:
    seeded = [side[FIRST + MEAN : FIRST + MEAN + SEEDED] for side in told]
    assert all(found == seeded[3] for found in seeded)


def test_clocks_go_on_and_kinds_stay(told: list[list[Any]]) -> None:
    for side, tick in zip(told[:2], (2**-10, 3600.0), strict=True):
        passed, kinds = (rest := side[FIRST + MEAN + SEEDED :])[:ADVANCE], rest[ADVANCE:]
        assert passed == pytest.approx([tick] * ADVANCE, abs=1e-5)
        assert kinds == [1.0] * 5


def traced(steps: list[dict[str, Any]], *others: list[dict[str, Any]] | None) -> Traced:
    def parsed(steps: list[dict[str, Any]]) -> plan.Plan:
        found = plan.parse(make(steps=steps))
        assert isinstance(found, plan.Plan)
        return found

    return Traced([parsed(steps)], [tuple(None if other is None else parsed(other) for other in others)], 1)


ONE, TWO = [launch(view(0), view(1))], [launch(view(0), view(1), grid=(2, 1, 1))]


@pytest.mark.parametrize(("known", "other", "fine"), [
    (traced(ONE, None), traced(ONE, None), True),
    (traced(ONE, None), traced(ONE, ONE), True),
    (traced(ONE, None), traced(TWO, None), False),
    (traced(ONE, None), traced(ONE, TWO), False),
    (traced(ONE, TWO), traced(ONE, TWO), True),
    (traced(ONE, TWO, None), traced(ONE, None, TWO), False),
])  # fmt: skip
def test_all_calls_must_ask_for_the_same_in_both_processes(known: Traced, other: Traced, fine: bool) -> None:
    if fine:
        certain(known, lambda: other)
        return
    with pytest.raises(EarlyVerdictError, match="something else each time") as stop:
        certain(known, lambda: other)
    assert isinstance(stop.value.verdict, Rejected) and stop.value.verdict.stage == "plan"


@pytest.mark.parametrize(("verdict", "said"), [
    (Rejected(stage="trace", reason="a secret", log="a secret"), "something else each time"),
    (Rejected(stage="timeout", reason="still running", log="a secret"), "still running"),
    (Broken(reason="ours"), "ours"),
])  # fmt: skip
def test_what_another_process_says_is_not_repeated(verdict: Rejected | Broken, said: str) -> None:
    def again() -> Traced:
        raise EarlyVerdictError(verdict)

    with pytest.raises(EarlyVerdictError, match=said) as stop:
        certain(traced(ONE), again)
    assert "secret" not in stop.value.verdict.model_dump_json()


def test_a_warm_process_that_is_forked_has_no_side(tmp_path: Path) -> None:
    code = "import time\n\ndef f(x):\n    return x.new_full((1,), float(1.6e9 < time.time() < 1.92e9))\n"
    (reply,) = trace_all([request(code, torch.ones(4))], tmp_path)
    assert reply["plans"][0]["steps"][0]["value"] == 1.0
