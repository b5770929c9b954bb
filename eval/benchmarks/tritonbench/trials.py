"""Whether recorded calls can be posed anew, and how: with which values, at which precision, how strictly.

The gold code must come out finite and the same twice on fresh inputs, and must notice that they are fresh. The spread
of values on which most calls do, and for hidden cases the first distribution, is taken. Runs the gold code here.
"""

from collections.abc import Sequence

import torch

from eval.benchmarks.tritonbench.calls import JUDGED, Call, Spread, UnusableCallError, adapter, make_inputs
from sandbox.judging.numerics import compare
from sandbox.judging.reference import Drawn, Reference, leaves
from sandbox.types import TOLERANCES, Case, Distribution, Record, Tolerance

TRIALS: tuple[tuple[Distribution, ...], ...] = (
    ("heavy_tailed", "large", "normal"), ("structured", "large", "normal"),
)  # fmt: skip
"""Of each hidden case, best first."""
SEEDS = (1, 2)
CODES = ("T32", "TT", "T16", "TB")
"""From strict to loose."""


class Recording(Record):
    """What is needed to pose an item of TritonBench as a task."""

    calls: tuple[Call, ...]
    spread: Spread
    own_precision: bool
    """The gold code has no float64 version that agrees with it, and is its own truth."""
    hidden: tuple[tuple[int, Distribution], ...]
    """Call and distribution of each hidden case."""
    tolerance: str
    device: str
    """Where it was recorded, `cpu` or `cuda`."""
    left_out: str = ""
    """Why some of the test's calls are no cases; "" if all are."""

    def reference(self, gold: str) -> str:
        """The task file: gold code, the calls, and what draws their inputs."""
        flag = "\nOWN_PRECISION = True\n" if self.own_precision else ""
        return f"{gold.rstrip()}\n\n\n{adapter(self.calls)}\n{make_inputs(self.calls, self.spread)}{flag}"

    def cases(self) -> tuple[Case, ...]:
        """Public cases, as recorded, then hidden ones."""
        public = [Case(name=f"call-{number}", args={"call": number}) for number in range(len(self.calls))]
        hidden = [
            Case(name=f"hidden-{number}", args={"call": call}, distribution=distribution, hidden=True)
            for number, (call, distribution) in enumerate(self.hidden)
        ]
        return (*public, *hidden)


def posed(gold: str, calls: Sequence[Call], device: str, left_out: str) -> Recording | str:
    """The calls, with the spread under which most work, and the first distributions under which the gold does."""
    found: list[Recording] = []
    reason = ""
    for spread in ("signed", "ranged"):
        base = Recording(
            calls=tuple(calls), spread=spread, own_precision=False, hidden=(), tolerance="T32", device=device,
            left_out=left_out,
        )  # fmt: skip
        try:
            found.append(_tried(base, gold))
        except UnusableCallError as error:
            reason = reason or str(error)
        if found and len(found[-1].calls) == len(calls):
            break
    return max(found, key=lambda one: len(one.calls)) if found else reason


def _tried(base: Recording, gold: str) -> Recording:
    """Raises:
    UnusableCallError: not all calls work; the message says why the first does not.
    """
    reference = _loaded(base, gold)
    tolerance, single = "T32", False
    working, reasons = [], []
    for number, case in enumerate(base.cases()):
        try:
            code, own = _examined(reference, case, gold)
        except UnusableCallError as error:
            reasons.append(str(error))
            continue
        working.append(number)
        tolerance = max(tolerance, code, key=CODES.index)
        single |= own
    if not working:
        raise UnusableCallError(reasons[0])
    left_out = "; ".join(filter(None, [base.left_out, *dict.fromkeys(reasons)]))
    calls = tuple(base.calls[number] for number in working)
    found = base.model_copy(
        update={"calls": calls, "tolerance": tolerance, "own_precision": single, "left_out": left_out}
    )
    reference = _loaded(found, gold)
    hidden = []
    for call, distributions in zip((0, len(calls) - 1), TRIALS, strict=True):
        for distribution in distributions:
            case = Case(name="hidden", args={"call": call}, distribution=distribution, hidden=True)
            if distribution == "normal" or _works(reference, case):
                hidden.append((call, distribution))
                break
    return found.model_copy(update={"hidden": tuple(hidden)})


def _loaded(recording: Recording, gold: str) -> Reference:
    return Reference(recording.reference(gold), JUDGED, recording.device)


def _works(reference: Reference, case: Case) -> bool:
    try:
        return _finite(leaves(reference.run(reference.draw_from(SEEDS[0], case), double=False)))
    except Exception:  # somebody's code, on inputs that it may not want
        return False


def _examined(reference: Reference, case: Case, gold: str) -> tuple[str, bool]:
    """The tolerance's code, and whether the gold code is its own truth.

    Raises:
        UnusableCallError: the call cannot be posed anew.
    """
    drawn, other = (reference.draw_from(seed, case) for seed in SEEDS)
    try:
        found, again, changed = (leaves(reference.run(one, double=False)) for one in (drawn, drawn, other))
    except Exception as error:  # as in `_works`
        raise UnusableCallError(
            f"the gold code fails on fresh inputs: {type(error).__name__}: {error}"[:300]
        ) from error
    if not any(tensor.numel() for tensor in found):
        raise UnusableCallError("the result is empty")
    if not _finite(found):
        raise UnusableCallError("the result is not finite on fresh inputs")
    code = _code([tensor.dtype for tensor in (*drawn.tensors, *found)], gold)
    if not _agree(again, found, TOLERANCES[code]):
        raise UnusableCallError("the result is random")
    if len(found) == len(changed) and all(map(torch.equal, found, changed)):
        raise UnusableCallError("the result does not depend on the inputs")
    return code, not _has_double(reference, drawn, found, TOLERANCES[code])


def _has_double(reference: Reference, drawn: Drawn, found: list[torch.Tensor], tolerance: Tolerance) -> bool:
    """Whether the gold code runs in float64 and comes to the same."""
    try:
        truth = leaves(reference.run(drawn, double=True))
    except Exception:  # kernels with fixed types, mostly
        return False
    return len(truth) == len(found) and _finite(truth) and _agree(found, truth, tolerance)


def _agree(found: list[torch.Tensor], truth: list[torch.Tensor], tolerance: Tolerance) -> bool:
    if [tensor.shape for tensor in found] != [tensor.shape for tensor in truth]:
        return False
    return not any(
        compare(one, right, right.to(one.dtype), tolerance).reason for one, right in zip(found, truth, strict=True)
    )


def _code(dtypes: list[torch.dtype], gold: str) -> str:
    """The tolerance of the shortest format; float32 products on tensor cores are TF32 by Triton's default."""
    floats = [dtype for dtype in dtypes if dtype.is_floating_point]
    if any(dtype.itemsize == 1 or dtype == torch.bfloat16 for dtype in floats):
        return "TB"
    if torch.float16 in floats:
        return "T16"
    return "TT" if "tl.dot" in gold else "T32"


def _finite(tensors: list[torch.Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors)
