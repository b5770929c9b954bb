"""One job on its way through the stages: screen → trace → plan → compile → launch → numerics, first failure wins.

This is what all executors share; `sandbox.cpu_trial` and `sandbox.gpu_trial` say how a plan is made ready and run.
"""

import ast
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, TypeVar

from sandbox import wire
from sandbox.early_verdict import EarlyVerdictError, first_fit
from sandbox.kernels.request import KernelRequest, Modules, specialised
from sandbox.kernels.source import KernelModule
from sandbox.kernels.text import KernelError
from sandbox.plans import effects, plan, plan_check
from sandbox.pool import Helper, Outcome, run_untrusted
from sandbox.screen import screen
from sandbox.traces import Traced, certain, traced
from sandbox.types import Broken, Case, CaseResult, Job, KernelStats, Passed, Rejected, Stage, Target

DEFAULT_TARGET: Target = "sm_90"
"""What tracing lowers for where the job names no target: a candidate must at least be valid Triton."""
COMPILE_DEADLINES = 4
"""However many kernels a candidate has, or configurations that do not fit, they may take so often the time of one."""
TRIES = 3
"""How often a case is put whose outputs no kernel changes: by chance a byte may hold the answer beforehand."""
HIDDEN = "fails on a hidden case"
UNSAID = "fails on a public case, for which it asks for something else once it has seen hidden ones"

Ready = TypeVar("Ready")
"""A plan that is ready to be run, with all that an executor needs besides; equal where the same is run."""
Planner = Callable[[Sequence[Any], Sequence[Case]], list[Ready]]


class Tools:
    """Our processes that a trial needs whatever executes it."""

    def __init__(self, tracer: Helper, compiler: Helper) -> None:
        self.tracer, self.compiler = tracer, compiler


class Trial(ABC):
    """One job on its way through the stages."""

    def __init__(self, tools: Tools, job: Job) -> None:
        self.tools, self.job = tools, job
        self.right, self.variants, self.tuners = 0, 1, 1
        self._asked: dict[int, Traced] = {}  # by variant, of all cases at once
        self.device: dict[str, Any] | None = None
        self.target: Target = DEFAULT_TARGET

    @abstractmethod
    def verdict(self) -> Passed:
        """Raises `EarlyVerdictError` for every other verdict, `ProcessDiedError` when a process of ours is gone."""

    def screened(self) -> ast.Module:
        """The candidate's syntax tree."""
        return self._tree

    @cached_property
    def _tree(self) -> ast.Module:
        found = screen(self.job)
        if isinstance(found, Rejected):
            raise EarlyVerdictError(found)
        return found

    @cached_property
    def _modules(self) -> Modules:
        return Modules(self._tree)

    def trace(
        self, described: Sequence[Any], cases: Sequence[Case], target: Target, variant: int, trial: int | None = None,
        side: int = 0, apart: bool = False,
    ) -> Traced:  # fmt: skip
        """Plans of `cases`, well-formed but not checked, with autotuned kernels in configuration `variant` of
        `self.variants`, or `apart`, after a launch of configuration `trial` if there is one
        (`triton_private.trace.Tuning`), and with chance on `side` (`tracing.chance`).
        """
        request = {
            "candidate": self.job.candidate, "entry_point": self.job.entry_point, "target": target,
            "cases": list(described), "ttir": False, "variant": variant, "trial": trial, "side": side, "apart": apart,
            **({} if self.device is None else {"device": self.device}),
        }  # fmt: skip
        limits = self.job.limits
        outcome = run_untrusted(self.tools.tracer, request, limits.trace_seconds, limits.memory_mib, ())
        reply = self.reply(outcome, "trace", limits.trace_seconds, cases)
        found = traced(outcome, reply, len(described), self.job.policy)
        self.variants, self.tuners = max(self.variants, found.variants), max(self.tuners, found.tuners)
        if len(cases) == len(self.job.cases) and trial is None and side == 0 and not apart:
            self._asked.setdefault(variant, found)
        return found

    def surely(self, described: Sequence[Any], target: Target, variant: int) -> None:
        """Raises where all cases, traced again in a process with chance on the other side, ask for something else."""
        certain(self._asked[variant], partial(self.trace, described, self.job.cases, target, variant, side=1))

    def fitting(
        self, described: Sequence[Any], cases: Sequence[Case], planned: Callable[..., list[Ready]], variant: int
    ) -> list[Ready]:
        """`planned(described, cases, variant)`, or each case with the first configuration that fits it."""
        try:
            return planned(described, cases, variant)
        except EarlyVerdictError as stop:
            if not stop.unfit or self.variants == 1:
                raise

        def alone(layout: Any, case: Case, variant: int) -> Ready:
            return planned([layout], [case], variant)[0]

        until = self._until()
        pairs = zip(described, cases, strict=True)
        return [first_fit(partial(alone, *pair), lambda: self.variants, until) for pair in pairs]

    def _until(self) -> float:
        """When to give up on configurations that do not fit."""
        return time.monotonic() + COMPILE_DEADLINES * self.job.limits.compile_seconds

    def checked(self, candidate_plan: plan.Plan, described: dict[str, Any], arena_mib: int) -> plan.OutputTree:
        """The plan's outputs, if it may be executed."""
        sizes = [tensor["nbytes"] for tensor in described["tensors"]]
        found = plan_check.check(candidate_plan, sizes, self.job.policy, arena_mib << 20, self.job.mutates)
        if isinstance(found, Rejected):
            raise EarlyVerdictError(found)
        return found

    def settled(
        self, traced: plan.Plan, described: dict[str, Any], keys: list[str], signatures: dict[str, dict[str, Any]],
        arena_mib: int,
    ) -> tuple[plan.Plan, plan.OutputTree, list[str]]:  # fmt: skip
        """The plan with arguments as Triton takes them, checked again, and which of `keys`, one a launch, its kernels
        have: the tracer's claims count no more.
        """
        try:
            found, kept = specialised(traced, keys, signatures)
        except KernelError as error:
            raise EarlyVerdictError(Rejected(stage="plan", reason=str(error))) from error
        return found, self.checked(found, described, arena_mib), kept

    def fairly(self, described: Sequence[Any], planned: Planner[Ready]) -> list[Ready]:
        """`planned(described, cases)` of all cases. A rejection is explained from public cases alone: a process that
        has seen hidden shapes could say them in its error. One for its time is not, which would take as long again.
        """
        cases = self.job.cases
        try:
            return planned(described, cases)
        except EarlyVerdictError as stop:
            public = [number for number, case in enumerate(cases) if not case.hidden]
            if isinstance(stop.verdict, Broken) or stop.verdict.stage == "timeout" or len(public) == len(cases):
                raise
            planned([described[n] for n in public], tuple(cases[n] for n in public))
            raise self.silently(stop) from stop

    def silently(self, stop: EarlyVerdictError) -> EarlyVerdictError:
        """A rejection on a hidden case, without its reason."""
        if isinstance(stop.verdict, Broken):
            return stop
        return EarlyVerdictError(Rejected(stage=stop.verdict.stage, reason=HIDDEN))

    def openly(
        self, stop: EarlyVerdictError, described: Sequence[Any], ready: Sequence[Ready], planned: Planner[Ready]
    ) -> EarlyVerdictError:
        """A rejection on a public case that was run. It says why only if all that was run, kernels and their constants
        included, is the same for a process that has not seen hidden cases: numbers in the reason may be of the
        candidate's choice.
        """
        cases = self.job.cases
        public = [number for number, case in enumerate(cases) if not case.hidden]
        number = next((n for n in public if cases[n] is stop.case), None)
        if number is None or len(public) == len(cases) or not isinstance(stop.verdict, Rejected):
            return stop
        if ready[number] == planned([described[n] for n in public], [cases[n] for n in public])[public.index(number)]:
            return stop
        return EarlyVerdictError(stop.verdict.model_copy(update={"reason": UNSAID, "log": ""}))

    def kernels(self, candidate_plan: plan.Plan, shared: KernelModule | None = None) -> list[KernelRequest]:
        """What each launch of a checked plan needs compiled, in order; `shared` as in `Modules.requests`."""
        try:
            return self._modules.requests(candidate_plan, shared)
        except (KernelError, RecursionError) as error:
            raise EarlyVerdictError(Rejected(stage="plan", reason=str(error)[:500])) from error

    def compile(self, kernels: Sequence[KernelRequest], target: Target, static: bool) -> dict[str, Any]:
        """The compile role's reply."""
        limits = self.job.limits
        seconds = limits.compile_seconds * max(1, min(len(kernels), COMPILE_DEADLINES))
        request = {"launches": [kernel.model_dump() for kernel in kernels], "target": target, "static": static}
        outcome = run_untrusted(self.tools.compiler, request, seconds, limits.memory_mib, ())
        return self.reply(outcome, "compile", seconds, self.job.cases[:1])

    def statistics(self, described: Sequence[Any]) -> tuple[KernelStats, ...]:
        """Static resource use on the targets that the job names: each kernel as its first public case has it."""
        found, public = [], [number for number, case in enumerate(self.job.cases) if not case.hidden] or [0]
        asked, cases = [described[n] for n in public], [self.job.cases[n] for n in public]
        arena = max(self.job.limits.arena_mib, self.job.limits.gpu_arena_mib)

        def compiled(target: Target, variant: int) -> dict[str, Any]:
            kernels: dict[str, KernelRequest] = {}
            for candidate_plan, one in zip(self.trace(asked, cases, target, variant).plans, asked, strict=True):
                self.checked(candidate_plan, one, arena)
                known = {kernel.name for kernel in kernels.values()}
                kernels |= {k.identity(): k for k in self.kernels(candidate_plan) if k.name not in known}
            return self.compile(list(kernels.values()), target, static=True)

        for target in self.job.targets:
            found += first_fit(partial(compiled, target), lambda: self.variants, self._until()).get("static", [])
        return tuple(map(KernelStats.model_validate, found))

    def result(self, case: Case, candidate_plan: plan.Plan, compared: dict[str, Any]) -> CaseResult:
        """A case that the judge found right."""
        launches = sum(isinstance(step, plan.Launch) for step in candidate_plan.steps)
        self.right += 1
        return CaseResult(
            name=case.name, hidden=case.hidden, distribution=case.distribution, rel_l2=compared["rel_l2"],
            limit_share=compared["limit_share"], launches=launches,
        )  # fmt: skip

    def idle(
        self, case: Case, candidate_plan: plan.Plan, tree: plan.OutputTree, reply: dict[str, Any], described: Any
    ) -> EarlyVerdictError | None:
        """Raises where a launch changed an input. Else what to raise where no kernel worked on an output: decoys do no
        work, nor do honest kernels where inputs ask for none; then others follow that tell (`exam.telling`).
        """
        done = effects.told(reply.get("changed"), len(candidate_plan.steps))
        if done is None:
            raise EarlyVerdictError(Rejected(stage="tamper", reason="the reply is not of the expected form"))
        if (source := effects.borrowed_input(candidate_plan, done, self.job.mutates)) is not None:
            raise self.rejection("tamper", f"a launch changes input {source}", "", case)
        given = [tensor["nbytes"] for tensor in described["tensors"]]
        if given and not any(given):  # empty inputs leave nothing to do but to fill outputs
            return None
        idle = effects.idle_output(candidate_plan, tree.views, done, self.job.policy)
        return EarlyVerdictError(Rejected(stage="plan", reason=idle)) if idle else None

    def reply(self, outcome: Outcome, stage: Stage, seconds: float, cases: Sequence[Case]) -> dict[str, Any]:
        """What an untrusted child said about `cases`, or why it said nothing."""
        report, code = outcome.report, outcome.report.get("exit_code", 0)
        if "setup_error" in report:
            raise EarlyVerdictError(Broken(reason=f"isolation failed: {report['setup_error']}"))
        if outcome.overflow:
            raise self.rejection("plan", "the candidate's plan is far too large", outcome.log, cases[0])
        if report["timed_out"]:
            cure = "; programs are interpreted one by one, so let fewer of them do more" if stage == "launch" else ""
            reason = f"still running after {seconds:g} s in stage {stage}{cure}"
            if stage != "launch":  # of many cases at once, hidden ones too: no word of the process is repeated
                raise EarlyVerdictError(Rejected(stage="timeout", reason=reason))
            raise self.rejection("timeout", reason, outcome.log, cases[0])
        if not outcome.reply:
            if code == -signal.SIGKILL:
                raise EarlyVerdictError(Broken(reason=f"a sandbox child was killed from outside in stage {stage}"))
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
            raise self.rejection(stage, f"the process {how} without an answer", outcome.log, cases[0])
        try:
            reply = wire.loads_foreign(outcome.reply)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict) or ("fault" in reply and stage == "trace"):  # candidate code runs in trace only
            raise self.rejection("tamper", "the sandbox child's reply is not of the expected form", "", cases[0])
        if "fault" in reply:
            raise EarlyVerdictError(Broken(reason=str(reply["fault"])[:500]))
        if "rejected" in reply:
            found = reply["rejected"] if isinstance(reply["rejected"], dict) else {}
            position = found.get("case")
            case = cases[position] if isinstance(position, int) and 0 <= position < len(cases) else cases[0]
            named: Stage = "compile" if found.get("stage") == "compile" else stage
            log = str(found.get("log", ""))[:4000] or outcome.log
            stop = self.rejection(named, str(found.get("reason"))[:500], log, case)
            stop.unfit = stage == "compile" and found.get("unfit") is True
            raise stop
        return reply

    def rejection(self, stage: Stage, reason: str, log: str, case: Case) -> EarlyVerdictError:
        """A rejection that says on which case, but nothing about hidden ones."""
        ran = stage in ("launch", "numerics", "timeout", "tamper")
        progress = (self.right, len(self.job.cases)) if ran else None
        if case.hidden:
            return EarlyVerdictError(Rejected(stage=stage, reason=HIDDEN, cases_right=progress))
        if ran or case is not self.job.cases[0]:
            reason = f"case {case.name}: {reason}"
        return EarlyVerdictError(Rejected(stage=stage, reason=reason, log=log, cases_right=progress), case)
