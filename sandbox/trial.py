"""One job on its way through the stages: screen → trace → plan → compile → launch → numerics, first failure wins."""

import os
import signal
from typing import Any, NamedTuple

from sandbox import kernel_source, plan, wire
from sandbox.pool import Helper, Outcome, run_untrusted
from sandbox.screen import screen
from sandbox.types import PROTOCOL_VERSION, Broken, Case, CaseResult, Job, KernelStats, Passed, Rejected, Stage, Target

DEFAULT_TARGET: Target = "sm_90"
"""What tracing lowers for where the job names no target: a candidate must at least be valid Triton."""
MAX_PLAN_BYTES = 1 << 20
JUDGE_SECONDS = 120.0
HIDDEN = "fails on a hidden case"


class EarlyVerdictError(Exception):
    """Ends a job early with its verdict."""

    def __init__(self, verdict: Rejected | Broken) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class Planned(NamedTuple):
    """One case's plan, checked: its outputs, and the kernel source that the interpreter may run."""

    plan: plan.Plan
    tree: plan.OutputTree
    module: kernel_source.KernelModule


class Trial:
    """One job on its way through the stages."""

    def __init__(self, tracer: Helper, interpreter: Helper, compiler: Helper, judge: Helper, job: Job) -> None:
        self.tracer, self.interpreter, self.compiler, self.judge, self.job = tracer, interpreter, compiler, judge, job
        self.right = 0

    def verdict(self) -> Passed:
        screened = screen(self.job)
        if isinstance(screened, Rejected):
            raise EarlyVerdictError(screened)
        described = self._ask({
            "op": "describe", "reference": self.job.reference, "entry_point": self.job.entry_point,
            "cases": [case.model_dump() for case in self.job.cases],
        })["cases"]  # fmt: skip
        planned = self._plan_fairly(screened, described)
        static = tuple(s for target in self.job.targets for s in self._compile(described[:1], target))
        results = []
        for number, case in enumerate(self.job.cases):
            results.append(self._run_case(number, case, described[number], planned[number]))
            self.right += 1
        stamp = {"protocol": PROTOCOL_VERSION, "executor": "interpreter"}
        return Passed(cases=tuple(results), static=static, stamp=stamp)

    def _plan_fairly(self, tree: Any, described: list[Any]) -> list[Planned]:
        """Plans of all cases. A rejection is explained from public cases alone: a process that has seen hidden shapes
        could say them in its error.
        """
        cases = self.job.cases
        try:
            return self._plan(tree, described, cases)
        except EarlyVerdictError as stop:
            public = [number for number, case in enumerate(cases) if not case.hidden]
            if isinstance(stop.verdict, Broken) or len(public) == len(cases):
                raise
            self._plan(tree, [described[n] for n in public], tuple(cases[n] for n in public))
            raise EarlyVerdictError(Rejected(stage=stop.verdict.stage, reason=HIDDEN)) from stop

    def _plan(self, tree: Any, described: list[Any], cases: tuple[Case, ...]) -> list[Planned]:
        plans = self._trace(described, cases, DEFAULT_TARGET, ttir=False)
        return [
            Planned(p, self._check(p, layout), self._kernel_module(tree, p))
            for p, layout in zip(plans, described, strict=True)
        ]

    def _trace(self, described: list[Any], cases: tuple[Case, ...], target: Target, ttir: bool) -> list[plan.Plan]:
        request = {
            "candidate": self.job.candidate, "entry_point": self.job.entry_point, "target": target, "cases": described,
            "ttir": ttir,
        }  # fmt: skip
        limits = self.job.limits
        outcome = run_untrusted(self.tracer, request, limits.trace_seconds, limits.memory_mib, ())
        reply = self._reply(outcome, "trace", limits.trace_seconds, cases)
        data = reply.get("plans")
        if not isinstance(data, list) or len(data) != len(described):
            raise EarlyVerdictError(
                Rejected(stage="tamper", reason="the tracer's reply is not of the expected form", log=outcome.log)
            )
        if not ttir and len(outcome.reply) > MAX_PLAN_BYTES:
            raise EarlyVerdictError(Rejected(stage="plan", reason=f"the plan exceeds {MAX_PLAN_BYTES} bytes"))
        parsed = [plan.parse(item) for item in data]
        for item in parsed:
            if isinstance(item, Rejected):
                raise EarlyVerdictError(item)
        return [item for item in parsed if isinstance(item, plan.Plan)]

    def _check(self, candidate_plan: plan.Plan, described: dict[str, Any]) -> plan.OutputTree:
        sizes = [tensor["nbytes"] for tensor in described["tensors"]]
        checked = plan.check(candidate_plan, sizes, self.job.policy, self.job.limits.arena_mib << 20)
        if isinstance(checked, Rejected):
            raise EarlyVerdictError(checked)
        return checked

    def _kernel_module(self, tree: Any, candidate_plan: plan.Plan) -> kernel_source.KernelModule:
        launched: dict[str, int | None] = {
            argument.name: None
            for step in candidate_plan.steps if isinstance(step, plan.Launch)
            for argument in step.arguments.values() if isinstance(argument, plan.Symbol) and argument.kind == "function"
        }  # fmt: skip
        launched |= {kernel.name: kernel.line for kernel in candidate_plan.kernels}
        constants = {name for kernel in candidate_plan.kernels for name in kernel.constants}
        try:
            return kernel_source.build(tree, launched, constants)
        except (kernel_source.KernelError, RecursionError) as error:
            raise EarlyVerdictError(Rejected(stage="plan", reason=str(error)[:500])) from error

    def _compile(self, described: list[Any], target: Target) -> list[KernelStats]:
        kernels = [
            k.model_dump(include={"name", "ttir", "options"})
            for p in self._trace(described, self.job.cases[:1], target, ttir=True)
            for k in p.kernels
        ]
        limits = self.job.limits
        seconds = limits.compile_seconds * max(1, len(kernels))
        request = {"kernels": kernels, "target": target}
        outcome = run_untrusted(self.compiler, request, seconds, limits.memory_mib, ())
        return [
            KernelStats.model_validate(s)
            for s in self._reply(outcome, "compile", seconds, self.job.cases[:1]).get("static", [])
        ]

    def _run_case(self, number: int, case: Case, described: Any, planned: Planned) -> CaseResult:
        candidate_plan, tree, module = planned
        buffers = [buffer.model_dump() for buffer in candidate_plan.buffers]
        drawn, fds = self._ask_fds({"op": "draw", "case": number, "buffers": buffers, "described": described})
        request = {
            "plan": candidate_plan.model_dump(), "layout": drawn["layout"], **module.model_dump(mode="json"),
        }  # fmt: skip
        limits = self.job.limits
        try:
            outcome = run_untrusted(
                self.interpreter, request, limits.run_seconds, limits.memory_mib + limits.arena_mib, tuple(fds)
            )
        finally:
            for fd in fds:
                os.close(fd)
        reply = self._reply(outcome, "launch", limits.run_seconds, (case,))
        self._check_effect(candidate_plan, tree, reply)
        request = {"op": "compare", "structure": tree.structure, "views": [v.model_dump() for v in tree.views]}
        compared = self._ask({**request, "tolerance": self.job.tolerance.model_dump()})
        if "rejected" in compared:
            raise self._rejection(compared["rejected"]["stage"], compared["rejected"]["reason"], "", case)
        launches = sum(isinstance(step, plan.Launch) for step in candidate_plan.steps)
        return CaseResult(
            name=case.name, hidden=case.hidden, distribution=case.distribution, rel_l2=compared["rel_l2"],
            limit_share=compared["limit_share"], launches=launches,
        )  # fmt: skip

    def _check_effect(self, candidate_plan: plan.Plan, tree: plan.OutputTree, reply: dict[str, Any]) -> None:
        """Every output must have been changed by a launch, or copied from what one changed: decoys do nothing."""
        changed = reply.get("changed")
        if not isinstance(changed, list) or len(changed) != len(candidate_plan.steps):
            raise EarlyVerdictError(
                Rejected(stage="tamper", reason="the interpreter's reply is not of the expected form")
            )
        worked: set[int] = set()
        for step, buffers in zip(candidate_plan.steps, changed, strict=True):
            if isinstance(step, plan.Launch):
                worked |= set(buffers)
            elif isinstance(step, plan.Copy) and step.source.buffer in worked:
                worked.add(step.target.buffer)
        for number, view in enumerate(tree.views):
            if view.buffer not in worked and view.nbytes:
                raise EarlyVerdictError(
                    Rejected(stage="plan", reason=f"no Triton kernel changes anything in output {number}")
                )

    def _reply(self, outcome: Outcome, stage: Stage, seconds: float, cases: tuple[Case, ...]) -> dict[str, Any]:
        """What an untrusted child said about `cases`, or why it said nothing."""
        report, code = outcome.report, outcome.report.get("exit_code", 0)
        if "setup_error" in report:
            raise EarlyVerdictError(Broken(reason=f"isolation failed: {report['setup_error']}"))
        if outcome.overflow:
            raise self._rejection("plan", "the candidate's plan is far too large", outcome.log, cases[0])
        if report["timed_out"]:
            reason = f"still running after {seconds:g} s in stage {stage}"
            raise self._rejection("timeout", reason, outcome.log, cases[0])
        if not outcome.reply:
            if code == -signal.SIGKILL:
                raise EarlyVerdictError(Broken(reason=f"a sandbox child was killed from outside in stage {stage}"))
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
            raise self._rejection(stage, f"the process {how} without an answer", outcome.log, cases[0])
        try:
            reply = wire.loads(outcome.reply)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict) or ("fault" in reply and stage == "trace"):  # candidate code runs in trace only
            raise self._rejection("tamper", "the sandbox child's reply is not of the expected form", "", cases[0])
        if "fault" in reply:
            raise EarlyVerdictError(Broken(reason=str(reply["fault"])[:500]))
        if "rejected" in reply:
            found = reply["rejected"] if isinstance(reply["rejected"], dict) else {}
            position = found.get("case")
            case = cases[position] if isinstance(position, int) and 0 <= position < len(cases) else cases[0]
            named: Stage = "compile" if found.get("stage") == "compile" else stage
            log = str(found.get("log", ""))[:4000] or outcome.log
            raise self._rejection(named, str(found.get("reason"))[:500], log, case)
        return reply

    def _rejection(self, stage: Stage, reason: str, log: str, case: Case) -> EarlyVerdictError:
        """A rejection that says on which case, but nothing about hidden ones."""
        ran = stage in ("launch", "numerics", "timeout", "tamper")
        progress = (self.right, len(self.job.cases)) if ran else None
        if case.hidden:
            return EarlyVerdictError(Rejected(stage=stage, reason=HIDDEN, cases_right=progress))
        if ran or case is not self.job.cases[0]:
            reason = f"case {case.name}: {reason}"
        return EarlyVerdictError(Rejected(stage=stage, reason=reason, log=log, cases_right=progress))

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._ask_fds(request)[0]

    def _ask_fds(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        reply, fds = self.judge.ask(request, JUDGE_SECONDS)
        if "fault" in reply:
            raise EarlyVerdictError(Broken(reason=f"the task's reference failed: {reply['fault']}"))
        return reply, fds
