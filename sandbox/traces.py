"""What the tracer's child says a candidate asks for, read. Nothing of it is checked yet (`plans.plan_check`)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from sandbox.early_verdict import EarlyVerdictError
from sandbox.plans import plan
from sandbox.plans.plain_steps import plainly
from sandbox.plans.sameness import same_work, stands_for
from sandbox.pool import Outcome
from sandbox.types import Broken, Policy, Rejected

MAX_PLAN_BYTES = 1 << 20
"""Of one case."""
OTHERS = (
    "in a first call, which asks for something else than later ones",
    "called twice in a row on inputs of the same shapes, where it asks for something else the second time",
)
"""Calls of a case that are traced besides the one that counts, which lies between them, as a reason tells of them."""

Ready = TypeVar("Ready", bound=Any)
"""A plan that is ready to be run, a named tuple with `others` of that kind, each with which call it is of."""

_BY_CHANCE = Rejected(
    stage="plan",
    reason="the candidate asks for something else each time: what it does must follow from shapes and dtypes alone, "
    "not from random numbers, clocks, hashes or addresses",
)


class Traced(NamedTuple):
    """Plans of cases, each called several times."""

    plans: list[plan.Plan]
    """Of the calls that count."""
    others: list[tuple[plan.Plan | None, ...]]
    """Of the `OTHERS` of each case; None where the plan that counts stands for it."""
    variants: int
    """How many configurations the autotuned kernel with the most has."""
    tuners: int = 1
    """How many autotuned kernels have several."""


def traced(outcome: Outcome, reply: dict[str, Any], cases: int, policy: Policy) -> Traced:
    """The tracer's reply about so many cases, well-formed.

    Raises:
        EarlyVerdictError: it is not.
    """
    data, others, variants, tuners = (reply.get(key) for key in ("plans", "others", "variants", "tuners"))
    if not (
        isinstance(data, list) and isinstance(others, list) and isinstance(variants, int) and isinstance(tuners, int)
        and len(data) == len(others) == cases and all(_of_others(item) for item in others)
    ):  # fmt: skip
        reason = "the tracer's reply is not of the expected form"
        raise EarlyVerdictError(Rejected(stage="tamper", reason=reason, log=outcome.log))
    count = cases + sum(item is not None for items in others for item in items)
    if len(outcome.reply) > MAX_PLAN_BYTES * count:
        raise EarlyVerdictError(Rejected(stage="plan", reason=f"a plan exceeds {MAX_PLAN_BYTES} bytes a case"))
    plans = [_parsed(item, policy) for item in data]
    differing = [
        tuple(_differing(item, found, policy) for item in items) for items, found in zip(others, plans, strict=True)
    ]
    return Traced(plans, differing, max(1, min(variants, plan.MAX_VARIANTS)), tuners)


def with_others(traced: Traced, described: Sequence[Any], ready: Callable[..., list[Ready]]) -> list[Ready]:
    """`ready(plans, described)` of the calls that count, each with that of `others` for which it does not stand.

    Raises:
        EarlyVerdictError: `ready` does; it says of which call, unless that is the one that counts.
    """
    found = ready(traced.plans, described)
    for call, where in enumerate(OTHERS):
        plans = {number: one for number, others in enumerate(traced.others) if (one := others[call]) is not None}
        try:
            made = ready(list(plans.values()), [described[number] for number in plans]) if plans else []
        except EarlyVerdictError as stop:
            raise stop.within(where) from stop
        for number, one in zip(plans, made, strict=True):
            found[number] = found[number]._replace(others=(*found[number].others, (where, one)))
    return found


def certain(known: Traced, again: Callable[[], Traced]) -> None:
    """Compare what another process wrote down of the same cases, where chance falls otherwise.

    Raises:
        EarlyVerdictError: that is something else, or nothing; the reason repeats no word of a process that has seen
            hidden cases.
    """
    try:
        other = again()
    except EarlyVerdictError as stop:
        if isinstance(stop.verdict, Broken):
            raise
        late = stop.verdict.stage == "timeout"
        verdict = Rejected(stage="timeout", reason=stop.verdict.reason) if late else _BY_CHANCE
        raise EarlyVerdictError(verdict) from stop
    if not all(same_work(*pair) for pair in zip(_calls(known), _calls(other), strict=True)):
        raise EarlyVerdictError(_BY_CHANCE)


def _calls(found: Traced) -> list[plan.Plan]:
    """Plans of all calls."""
    pairs = zip(found.plans, found.others, strict=True)
    return [counts if one is None else one for counts, others in pairs for one in (counts, *others)]


def _of_others(item: Any) -> bool:
    return isinstance(item, list) and len(item) == len(OTHERS)


def _parsed(item: Any, policy: Policy) -> plan.Plan:
    found = plan.parse(item)
    if isinstance(found, Rejected):
        raise EarlyVerdictError(found)
    return plainly(found, policy)


def _differing(item: Any, counts: plan.Plan, policy: Policy) -> plan.Plan | None:
    other = None if item is None else _parsed(item, policy)
    return None if other is None or stands_for(counts, other) else other
