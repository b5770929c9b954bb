"""TritonBench's own protocol, run by us in isolation, and the comparison that it lacks.

1. Call accuracy: answer, separator and the gold's test run as one program that ends with exit code 0. Of an answer to G
   upstream keeps imports and functions only; both ways are tried.
2. Execution accuracy: its stdout is the gold's, which is nearly always empty, so that nearly every call is right.
3. Ours: gold and answer run in processes of their own under one seed, and what they leave in the test's result variable
   is compared. The answer is what our extraction finds, not upstream's, which keeps the closing fence.

Upstream accepts what ends with exit code 0, computed or not; ours does not accept results that are not there. Neither
asks whether a Triton kernel did the work: the hardened verdict does.
Not covered: an answer that draws other random numbers than the gold within a test gets other inputs from there on.
"""

import ast
from collections.abc import Callable
from typing import Literal, NamedTuple

from eval.benchmarks.tritonbench.items import TritonBenchItem, upstream_filter
from eval.benchmarks.tritonbench.results import difference, telling
from eval.benchmarks.tritonbench.runner import FaultError, Ran, Runner
from sandbox.kernels.syntax import parsed
from sandbox.types import Record, Rejected, Verdict

GOLD, NO_GPU = "gold", "needs a GPU"


class Pair(NamedTuple):
    """One answer to one item."""

    item: TritonBenchItem
    answer: str
    text: str
    """As upstream takes it."""
    code: str | Rejected
    """As we do."""


class Gold(NamedTuple):
    """An item's gold code, run twice under one seed."""

    first: Ran
    again: Ran
    reason: str
    """Why nothing can be compared with its results; "" if it can."""


class Tried(Record):
    """What upstream says of one program."""

    call: bool | None
    """None: there is no GPU, and the program or the gold needs one, or the gold does not run here either."""
    execution: bool | None
    """False where `call` is."""
    reason: str
    seconds: float


class Compared(Record):
    """One answer, under upstream's protocol and by its results."""

    kind: Literal["compared"] = "compared"
    item: str
    answer: str
    """File and number of the answer; `gold`."""
    raw: Tried
    filtered: Tried | None
    """None in T, where upstream filters nothing."""
    right: bool | None
    """Results are the gold's; None: there are none to compare with, or no GPU."""
    reason: str
    telling: bool
    """Whether the gold's results show anything of what was computed."""
    hardened: Verdict | None = None
    """None: the item is no task of ours, or nobody asked."""

    @property
    def upstream(self) -> Tried:
        return self.filtered or self.raw


class Fault(Record):
    """Ours, or the host's: the answer is tried again when the run is."""

    kind: Literal["fault"] = "fault"
    item: str
    answer: str
    reason: str


def gold_of(runner: Runner, item: TritonBenchItem, seed: int) -> Gold:
    """Raises: as `Runner.run`."""
    first = runner.run(item.gold, item, seed)
    if first.late and not runner.gpu:  # the interpreter is slow
        first = first._replace(needs_gpu=True)
    if first.reason:
        return Gold(first, first, f"the gold does not run here: {first.reason}")
    again = runner.run(item.gold, item, seed)
    if first.results is None:
        reason = f"the gold's results are lost: {first.lost}" if item.result else "its test leaves no results"
        return Gold(first, again, reason)
    if again.results is None:
        return Gold(first, again, f"the gold does not run twice: {again.reason or again.lost}")
    unlike = difference(first.results, again.results)
    return Gold(first, again, unlike and f"the gold does not agree with itself: {unlike}")


def compare(
    runner: Runner, item: TritonBenchItem, answer: str, text: str, code: str | Rejected, gold: Gold, seed: int,
    verdict: Verdict | None,
) -> Compared | Fault:  # fmt: skip
    """Try one answer in every way.

    Args:
        answer: which one, as the outcome names it.
        text: what upstream takes as its code.
        code: what our extraction takes as its code, or why it takes nothing.
        gold: of the item, under the same `seed`.
        verdict: the hardened one.

    Raises:
        RuntimeError: this host cannot isolate programs.
    """
    ran = {_normal(item.gold): gold.again}
    unfit = bool(gold.first.reason) and not runner.gpu and answer != GOLD

    def run(program: str) -> Ran:
        key = _normal(program)
        if key not in ran:
            ran[key] = runner.run(program, item, seed)
        return ran[key]

    def tried(program: str) -> Tried:
        if gold.first.needs_gpu:
            return Tried(call=None, execution=None, reason=f"{NO_GPU}: {gold.reason}", seconds=gold.first.seconds)
        found = run(program)
        if found.needs_gpu or (found.reason and unfit):
            why = f"{NO_GPU}: {found.reason}" if found.needs_gpu else f"{gold.reason}; {found.reason}"
            return Tried(call=None, execution=None, reason=why, seconds=found.seconds)
        same = not found.reason and found.stdout == gold.first.stdout
        return Tried(call=not found.reason, execution=same, reason=found.reason, seconds=found.seconds)

    try:
        raw = tried(text)
        filtered = tried(upstream_filter(text)) if item.half == "G" else None
        right, reason = _right(gold, code, run)
    except FaultError as fault:
        return Fault(item=item.id, answer=answer, reason=str(fault))
    tells = gold.first.results is not None and telling(gold.first.results)
    return Compared(
        item=item.id, answer=answer, raw=raw, filtered=filtered, right=right, reason=reason, telling=tells,
        hardened=verdict,
    )  # fmt: skip


def _right(gold: Gold, code: str | Rejected, run: Callable[[str], Ran]) -> tuple[bool | None, str]:
    if gold.first.needs_gpu:
        return None, f"{NO_GPU}: {gold.reason}"
    if gold.reason or gold.first.results is None:
        return None, gold.reason
    if isinstance(code, Rejected):
        return False, code.reason
    found = run(code)
    if found.needs_gpu:
        return None, f"{NO_GPU}: {found.reason}"
    if found.results is None:
        return False, found.reason or f"no results: {found.lost}"
    reason = difference(gold.first.results, found.results)
    return not reason, reason


def _normal(code: str) -> str:
    """The same for programs that differ in comments and white space only."""
    try:
        return ast.dump(parsed(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
