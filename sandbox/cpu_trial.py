"""A trial without a GPU: kernel bodies run under Triton's interpreter, and nothing is timed."""

import math
import os
import random
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from sandbox.early_verdict import EarlyVerdictError, first_fit, situated
from sandbox.interpreting.open_answers import MOST_ANSWERS
from sandbox.kernels import source as kernel_source
from sandbox.kernels.request import KernelRequest, check_arguments, functions_of, told
from sandbox.kernels.text import KernelError
from sandbox.plans import plan
from sandbox.pool import Helper, run_untrusted
from sandbox.traces import with_others
from sandbox.trial import DEFAULT_TARGET, TRIES, Tools, Trial
from sandbox.types import PROTOCOL_VERSION, Broken, Case, Job, Passed, Rejected

JUDGE_SECONDS = 120.0
ARENA_SHARE = 49
"""Bytes of address space that the interpreter needs for each of the arena: mapped, copied, and watched (`memory_watch`,
`races`, `lanes`, `pipelines`)."""
MAX_SOURCES = 32 << 20
"""Half of what a message may have."""
ORDERS = 4
"""Runs of a case whose kernels wait, each with its programs in an order of its own: one can hide a lost update."""
VARIANT_SECONDS = 1.0
"""After which no further case is begun on which something besides the first configuration is tried."""
APART = "with an autotune configuration of its own for each kernel"
TRIED = "after a trial by the autotuner, which resets or restores only what reset_to_zero and restore_value name"
SECOND = "in a second call, with kept memory as the first one left it"


class Planned(NamedTuple):
    """One case's plan, checked: its outputs, and the kernel source that the interpreter may run."""

    plan: plan.Plan
    tree: plan.OutputTree
    module: kernel_source.KernelModule
    tried: bool = False
    """Autotuned kernels are launched twice, once to try them."""
    others: tuple[tuple[str, "Planned"], ...] = ()
    """Those of other calls for which it does not stand, and which calls these are."""


class CpuTrial(Trial):
    """One job, executed by the interpreter."""

    def __init__(self, tools: Tools, interpreter: Helper, judge: Helper, job: Job) -> None:
        super().__init__(tools, job)
        self.interpreter, self.judge = interpreter, judge
        self._signatures: dict[str, dict[str, Any]] = {}  # by a kernel's identity

    def verdict(self) -> Passed:
        self.screened()
        described = self._ask({
            "op": "describe", "reference": self.job.reference, "entry_point": self.job.entry_point,
            "cases": [case.model_dump() for case in self.job.cases],
        })[0]["cases"]  # fmt: skip

        def planned(described: Sequence[Any], cases: Sequence[Case]) -> list[Planned]:
            return self.fitting(described, cases, self._planned, 0)

        ready = self.fairly(described, planned)
        static = self.statistics(described)
        results = []
        try:
            for number, case in enumerate(self.job.cases):
                for _ in range(ORDERS if ready[number].module.waits else 1):
                    compared = self._compared(number, case, described[number], ready[number])
                results.append(self.result(case, ready[number].plan, compared))
        except EarlyVerdictError as stop:
            raise self.openly(stop, described, ready, planned) from stop
        self.surely(described, DEFAULT_TARGET, 0)
        if self.variants > 1:
            self._try_variants(described)
            self._after_a_trial(described, ready)
        stamp = {"protocol": PROTOCOL_VERSION, "executor": "interpreter"}
        return Passed(cases=tuple(results), static=static, stamp=stamp)

    def _planned(
        self, described: Sequence[Any], cases: Sequence[Case], variant: int, trial: int | None = None,
        apart: bool = False,
    ) -> list[Planned]:  # fmt: skip
        """Plans with one configuration of autotuned kernels, or one each, maybe after a trial of one."""
        traced = self.trace(described, cases, DEFAULT_TARGET, variant, trial, apart=apart)
        return with_others(traced, described, partial(self._ready, tried=trial is not None))

    def _ready(self, plans: Sequence[plan.Plan], described: Sequence[Any], tried: bool) -> list[Planned]:
        """Traced plans, checked, and with the arguments that Triton takes."""
        for p, layout in zip(plans, described, strict=True):
            self.checked(p, layout, self.job.limits.arena_mib)
        modules = [self._kernel_module(p) for p in plans]
        launches: list[list[str]] = []
        kernels: dict[str, KernelRequest] = {}
        for p, module in zip(plans, modules, strict=True):
            named = [(kernel.identity(), kernel) for kernel in self.kernels(p, module)]
            launches.append([key for key, _ in named])
            kernels.update(named)
        self._sign(kernels)
        rest = (self._signatures, self.job.limits.arena_mib)
        settled = [self.settled(*one, *rest)[:2] for one in zip(plans, described, launches, strict=True)]
        return [Planned(*one, module, tried) for one, module in zip(settled, modules, strict=True)]

    def _sign(self, kernels: dict[str, KernelRequest]) -> None:
        """Note what Triton takes the arguments of each kernel for, where all are valid Triton; asked in a process that
        never sees the candidate, whose own word would not do. What other configurations had has its answer already.
        """
        new = {key: kernel for key, kernel in kernels.items() if key not in self._signatures}
        if not new:
            return
        if sum(len(kernel.module.source) for kernel in new.values()) > MAX_SOURCES:
            reason = f"the kernels have more than {MAX_SOURCES} characters in all their specialisations"
            raise EarlyVerdictError(Rejected(stage="plan", reason=reason))
        seconds = self.job.limits.compile_seconds  # for all: nothing is compiled
        request = {"launches": [kernel.model_dump() for kernel in new.values()], "target": DEFAULT_TARGET}
        outcome = run_untrusted(self.tools.tracer, request, seconds, self.job.limits.memory_mib, ())
        found = self.reply(outcome, "compile", seconds, self.job.cases[:1])["signatures"]
        self._signatures.update(zip(new, found, strict=True))

    def _try_variants(self, described: Sequence[Any]) -> None:
        """Each further configuration that fits must be right too, since any may be the fastest, and so must kernels of
        different ones: on the first public case, on the largest one, and on as many others as there is time for, as it
        may be wrong for some shapes alone.
        """
        cases = self.job.cases
        sizes = [sum(tensor["nbytes"] for tensor in layout["tensors"]) for layout in described]
        first = [number for number, case in enumerate(cases) if not case.hidden][:1]
        always = dict.fromkeys([*first, sizes.index(max(sizes))])
        others = [number for number in range(len(cases)) if number not in always]
        further = [(variant, False) for variant in range(1, self.variants)]
        for variant, apart in [*further, *([(0, True)] if self.tuners > 1 else [])]:
            until = time.monotonic() + VARIANT_SECONDS
            ready: Sequence[Planned | None]
            try:
                ready = self._planned(described, cases, variant, apart=apart)
            except EarlyVerdictError:  # some fail, maybe only because it does not fit there: each by itself then
                ready = [None] * len(cases)
            for number in [*always, *random.sample(others, len(others))]:
                if number in always or time.monotonic() < until:
                    self._try_variant(variant, number, described[number], ready[number], apart)

    def _try_variant(self, variant: int, number: int, described: Any, ready: Planned | None, apart: bool) -> None:
        case = self.job.cases[number]
        try:
            planned = ready or self._planned([described], [case], variant, apart=apart)[0]
            self._compared(number, case, described, planned)
        except EarlyVerdictError as stop:
            if stop.unfit:
                return
            if isinstance(stop.verdict, Broken):
                raise
            where = APART if apart else f"autotune configuration {variant + 1} of {self.variants}"
            raise (self.silently(stop) if case.hidden else stop.within(where)) from stop

    def _after_a_trial(self, described: Sequence[Any], ready: Sequence[Planned]) -> None:
        """Triton times configurations on the arguments of the first call, which must come out right all the same: what
        the trials change must be said, or not matter. On the first case that has any, public ones first, and on as
        many others as there is time for; with two configurations that fit or one twice.
        """
        count, until = self.variants, math.inf
        pairs = [(variant, (variant + step) % count) for step in (1, 0) for variant in range(count)]
        for number in sorted(range(len(ready)), key=lambda number: self.job.cases[number].hidden):
            case, layout = self.job.cases[number], described[number]

            def planned(attempt: int, case: Case = case, layout: Any = layout) -> Planned:
                return self._planned([layout], [case], *pairs[attempt])[0]

            try:
                tried = first_fit(planned, lambda: len(pairs), self._until())
                if len(tried.plan.steps) > len(ready[number].plan.steps):
                    self._compared(number, case, layout, tried)
                    until = min(until, time.monotonic() + VARIANT_SECONDS)
            except EarlyVerdictError as stop:
                if isinstance(stop.verdict, Broken):
                    raise
                if not stop.unfit:
                    raise (self.silently(stop) if case.hidden else stop.within(TRIED)) from stop
            if time.monotonic() > until:
                break

    def _kernel_module(self, candidate_plan: plan.Plan) -> kernel_source.KernelModule:
        launches = [step for step in candidate_plan.steps if isinstance(step, plan.Launch)]
        given = [argument for step in launches for argument in step.arguments.values()]
        given += [constant for kernel in candidate_plan.kernels for constant in kernel.constants.values()]
        passed = {name for argument in given for name in functions_of(argument)}
        launched = {kernel.name: kernel.line for kernel in candidate_plan.kernels}
        constants = {name for kernel in candidate_plan.kernels for name in kernel.constants}
        try:
            module = self._modules.build(launched, constants, told(candidate_plan), passed)
            for step in launches:
                check_arguments(step, candidate_plan.kernels[step.kernel].name, module)
            return module
        except (KernelError, RecursionError) as error:
            raise EarlyVerdictError(Rejected(stage="plan", reason=str(error)[:500])) from error

    def _compared(self, number: int, case: Case, described: Any, planned: Planned) -> dict[str, Any]:
        """The judge's numbers of a case that is right, whichever way open questions are answered, in a second call too
        where memory is kept from one to the next, and in other calls for which its plan does not stand.
        """
        answer, known = 0, 1
        while answer < known:
            compared, known = self._answered(number, case, described, planned, answer)
            answer += 1
        if any(buffer.kept for buffer in planned.plan.buffers):
            with situated(SECOND, case):
                self._answered(number, case, described, planned, 0, again=True)
        for where, other in planned.others:
            with situated(where, case):
                self._compared(number, case, described, other)
        return compared

    def _answered(
        self, number: int, case: Case, described: Any, planned: Planned, answer: int, again: bool = False
    ) -> tuple[dict[str, Any], int]:
        for attempt in range(1, TRIES + 1):
            tells, reply = self._run(number, case, described, planned, attempt > 1, answer, again)
            idle = self.idle(case, planned.plan, planned.tree, reply, described)
            try:
                compared = self._judged(case, planned.tree)
            except EarlyVerdictError as wrong:
                raise (idle or wrong) from None
            if idle is None and (tells or attempt > 1):
                break
            if idle is not None and attempt == TRIES:
                raise idle
        told = reply.get("answers")
        return compared, told if isinstance(told, int) and 0 < told < MOST_ANSWERS else MOST_ANSWERS

    def _run(
        self, number: int, case: Case, described: Any, planned: Planned, telling: bool, answer: int, again: bool
    ) -> tuple[bool, dict[str, Any]]:
        """Fresh inputs of a case, and the plan on them, `again` where kept memory is as the last run left it: whether
        the draw asks for work, and the interpreter's reply.
        """
        candidate_plan, module = planned.plan, planned.module
        buffers = [buffer.model_dump() for buffer in candidate_plan.buffers]
        kept = [n for n, buffer in enumerate(candidate_plan.buffers) if buffer.kept and again]
        question = {
            "op": "draw", "case": number, "buffers": buffers, "described": described, "telling": telling, "kept": kept,
        }  # fmt: skip
        drawn, fds = self._ask({**question, "mutates": self.job.mutates})
        request = {
            "plan": candidate_plan.model_dump(), "layout": drawn["layout"], **module.model_dump(mode="json"),
            "answer": answer, "again": again,
        }  # fmt: skip
        limits, seconds = self.job.limits, self.job.limits.run_seconds * (2 if planned.tried else 1)
        memory_mib = limits.memory_mib + (ARENA_SHARE * int(drawn["layout"]["nbytes"]) >> 20)
        try:
            outcome = run_untrusted(self.interpreter, request, seconds, memory_mib, tuple(fds))
        finally:
            for fd in fds:
                os.close(fd)
        return bool(drawn["tells"]), self.reply(outcome, "launch", seconds, (case,))

    def _judged(self, case: Case, tree: plan.OutputTree) -> dict[str, Any]:
        request = {"op": "compare", "structure": tree.structure, "views": [v.model_dump() for v in tree.views]}
        compared, _ = self._ask({**request, "tolerance": self.job.tolerance.model_dump()})
        if "rejected" in compared:
            raise self.rejection(compared["rejected"]["stage"], compared["rejected"]["reason"], "", case)
        return compared

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        reply, fds = self.judge.ask(request, JUDGE_SECONDS)
        if "fault" in reply:
            raise EarlyVerdictError(Broken(reason=f"the task's reference failed: {reply['fault']}"))
        return reply, fds
