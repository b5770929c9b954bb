"""What the tracer's child says a candidate asks for, read. Nothing of it is checked yet (`plans.plan_check`)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sandbox.early_verdict import EarlyVerdictError
from sandbox.plans import plan
from sandbox.plans.plain_steps import plainly
from sandbox.plans.sameness import same_work
from sandbox.pool import Outcome
from sandbox.types import Broken, Policy, Rejected

MAX_PLAN_BYTES = 1 << 20
"""Of one case."""

_BY_CHANCE = Rejected(
    stage="plan",
    reason="the candidate asks for something else each time: what it does must follow from shapes and dtypes alone, "
    "not from random numbers, clocks, hashes or addresses",
)


class Traced(NamedTuple):
    """Plans of cases, each called twice."""

    plans: list[plan.Plan]
    """Of the second calls."""
    first: list[plan.Plan | None]
    """Of the first calls; None where it is the same, but for memory that is kept from call to call."""
    variants: int
    """How many configurations the autotuned kernel with the most has."""


def traced(outcome: Outcome, reply: dict[str, Any], cases: int, policy: Policy) -> Traced:
    """The tracer's reply about so many cases, well-formed.

    Raises:
        EarlyVerdictError: it is not.
    """
    data, first, variants = reply.get("plans"), reply.get("first"), reply.get("variants", 1)
    if not (isinstance(data, list) and isinstance(first, list) and isinstance(variants, int)) or not (
        len(data) == len(first) == cases
    ):
        reason = "the tracer's reply is not of the expected form"
        raise EarlyVerdictError(Rejected(stage="tamper", reason=reason, log=outcome.log))
    count = cases + sum(item is not None for item in first)
    if len(outcome.reply) > MAX_PLAN_BYTES * count:
        raise EarlyVerdictError(Rejected(stage="plan", reason=f"a plan exceeds {MAX_PLAN_BYTES} bytes a case"))
    plans = [_parsed(item, policy) for item in data]
    others = [None if item is None else _parsed(item, policy) for item in first]
    return Traced(plans, _differing(others, plans), max(1, min(variants, plan.MAX_VARIANTS)))


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
    pairs = [*zip(known.plans, other.plans, strict=True), *zip(_firsts(known), _firsts(other), strict=True)]
    if not all(same_work(*pair) for pair in pairs):
        raise EarlyVerdictError(_BY_CHANCE)


def _firsts(found: Traced) -> list[plan.Plan]:
    return [second if first is None else first for first, second in zip(found.first, found.plans, strict=True)]


def _parsed(item: Any, policy: Policy) -> plan.Plan:
    found = plan.parse(item)
    if isinstance(found, Rejected):
        raise EarlyVerdictError(found)
    return plainly(found, policy)


def _differing(first: Sequence[plan.Plan | None], second: Sequence[plan.Plan]) -> list[plan.Plan | None]:
    return [None if a is None or same_work(a, b) else a for a, b in zip(first, second, strict=True)]
