"""The sandbox on this machine: screen → trace → plan → compile → launch → numerics, first failure wins.

`LocalSandbox` is the supervisor: it holds queue, limits and verdict assembly, and imports no torch. Each job runs in
a worker thread; everything dangerous happens in processes of `sandbox.pool`.
"""

import asyncio
import os
import queue
import shutil
import signal
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox import kernel_source, plan, wire
from sandbox.pool import Helper, Outcome, ProcessDiedError, run_untrusted
from sandbox.screen import screen
from sandbox.types import PROTOCOL_VERSION, Broken, Case, CaseResult, Job, KernelStats, Passed, Rejected, Target

DEFAULT_TARGET: Target = "sm_90"
"""What tracing lowers for where the job names no target: a candidate must at least be valid Triton."""
MAX_PLAN_BYTES = 1 << 20
JUDGE_SECONDS = 120.0


class _EarlyVerdictError(Exception):
    """Ends a job early with its verdict."""

    def __init__(self, verdict: Rejected | Broken) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class LocalSandbox:
    """Judges candidates on this machine's CPU. An async context manager; safe to use from several event loops."""

    def __init__(self, workers: int = 0) -> None:
        """Args:
        workers: candidates judged at the same time; 0 means one a CPU core.
        """
        count = workers or os.cpu_count() or 1
        self._folder = Path(tempfile.mkdtemp(prefix="kernelwright-"))
        self._folder.chmod(0o755)
        self.tracer = Helper(self._folder, "sandbox.zygote", "trace")
        self.interpreter = Helper(self._folder, "sandbox.zygote", "interpret", interpret=True)
        self.compiler = Helper(self._folder, "sandbox.zygote", "compile")
        self.judges: queue.SimpleQueue[Helper] = queue.SimpleQueue()
        self._all_judges = [Helper(self._folder, "sandbox.judge") for _ in range(count)]
        for judge in self._all_judges:
            self.judges.put(judge)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="sandbox")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def run(self, job: Job) -> Passed | Rejected | Broken:
        """Judge one candidate. Never raises for anything a candidate, a task or the host does."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.judge, job)

    def judge(self, job: Job) -> Passed | Rejected | Broken:
        """`run` without an event loop; blocks."""
        judge = self.judges.get()
        try:
            return _Trial(self, judge, job).verdict()
        except _EarlyVerdictError as stop:
            return stop.verdict
        except ProcessDiedError as error:
            return Broken(reason=str(error))
        finally:
            self.judges.put(judge)

    def layers(self) -> frozenset[str]:
        """Isolation layers that this host gives (starts the tracer if need be)."""
        with self.tracer.lock:
            self.tracer.channel()
        return frozenset(self.tracer.hello["layers"])

    def close(self) -> None:
        """End all processes."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        closing = [
            threading.Thread(target=h.close) for h in (self.tracer, self.interpreter, self.compiler, *self._all_judges)
        ]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Trial:
    """One job on its way through the stages."""

    def __init__(self, sandbox: LocalSandbox, judge: Helper, job: Job) -> None:
        self.sandbox, self.judge, self.job = sandbox, judge, job
        self.right = 0

    def verdict(self) -> Passed:
        screened = screen(self.job)
        if isinstance(screened, Rejected):
            raise _EarlyVerdictError(screened)
        described = self._ask({
            "op": "describe", "reference": self.job.reference, "entry_point": self.job.entry_point,
            "cases": [case.model_dump() for case in self.job.cases],
        })["cases"]  # fmt: skip
        plans = self._trace(described, DEFAULT_TARGET, ttir=False)
        checked = [self._check(p, d) for p, d in zip(plans, described, strict=True)]
        modules = [self._kernel_module(screened, p) for p in plans]
        static = tuple(s for target in self.job.targets for s in self._compile(described[:1], target))
        results = []
        for number, case in enumerate(self.job.cases):
            results.append(
                self._run_case(number, case, described[number], plans[number], checked[number], modules[number])
            )
            self.right += 1
        return Passed(
            cases=tuple(results), static=static, stamp={"protocol": PROTOCOL_VERSION, "executor": "interpreter"}
        )

    def _trace(self, described: list[Any], target: Target, ttir: bool) -> list[plan.Plan]:
        request = {
            "candidate": self.job.candidate, "entry_point": self.job.entry_point, "target": target, "cases": described,
            "ttir": ttir,
        }  # fmt: skip
        limits = self.job.limits
        outcome = run_untrusted(self.sandbox.tracer, request, limits.trace_seconds, limits.memory_mib, ())
        reply = self._reply(outcome, "trace", limits.trace_seconds)
        data = reply.get("plans")
        if not isinstance(data, list) or len(data) != len(described):
            raise _EarlyVerdictError(
                Rejected(stage="tamper", reason="the tracer's reply is not of the expected form", log=outcome.log)
            )
        if not ttir and len(outcome.reply) > MAX_PLAN_BYTES:
            raise _EarlyVerdictError(Rejected(stage="plan", reason=f"the plan exceeds {MAX_PLAN_BYTES} bytes"))
        parsed = [plan.parse(item) for item in data]
        for item in parsed:
            if isinstance(item, Rejected):
                raise _EarlyVerdictError(item)
        return [item for item in parsed if isinstance(item, plan.Plan)]

    def _check(self, candidate_plan: plan.Plan, described: dict[str, Any]) -> plan.OutputTree:
        sizes = [tensor["nbytes"] for tensor in described["tensors"]]
        checked = plan.check(candidate_plan, sizes, self.job.policy, self.job.limits.arena_mib << 20)
        if isinstance(checked, Rejected):
            raise _EarlyVerdictError(checked)
        return checked

    def _kernel_module(self, tree: Any, candidate_plan: plan.Plan) -> kernel_source.KernelModule:
        launched = {k.name for k in candidate_plan.kernels}
        launched |= {
            argument.name
            for step in candidate_plan.steps if isinstance(step, plan.Launch)
            for argument in step.arguments.values() if isinstance(argument, plan.Symbol) and argument.kind == "function"
        }  # fmt: skip
        constants = {name for kernel in candidate_plan.kernels for name in kernel.constants}
        try:
            return kernel_source.build(tree, launched, constants)
        except (kernel_source.KernelError, RecursionError) as error:
            raise _EarlyVerdictError(Rejected(stage="plan", reason=str(error)[:500])) from error

    def _compile(self, described: list[Any], target: Target) -> list[KernelStats]:
        kernels = [
            k.model_dump(include={"name", "ttir", "options"})
            for p in self._trace(described, target, ttir=True)
            for k in p.kernels
        ]
        limits = self.job.limits
        seconds = limits.compile_seconds * max(1, len(kernels))
        request = {"kernels": kernels, "target": target}
        outcome = run_untrusted(self.sandbox.compiler, request, seconds, limits.memory_mib, ())
        return [KernelStats.model_validate(s) for s in self._reply(outcome, "compile", seconds).get("static", [])]

    def _run_case(
        self,
        number: int,
        case: Case,
        described: Any,
        candidate_plan: plan.Plan,
        tree: plan.OutputTree,
        module: kernel_source.KernelModule,
    ) -> CaseResult:
        buffers = [buffer.model_dump() for buffer in candidate_plan.buffers]
        drawn, fds = self._ask_fds({"op": "draw", "case": number, "buffers": buffers, "described": described})
        request = {
            "plan": candidate_plan.model_dump(), "layout": drawn["layout"], "source": module.source,
            "functions": list(module.functions), "aliases": module.aliases,
        }  # fmt: skip
        limits = self.job.limits
        try:
            outcome = run_untrusted(
                self.sandbox.interpreter, request, limits.run_seconds, limits.memory_mib + limits.arena_mib, tuple(fds)
            )
        finally:
            for fd in fds:
                os.close(fd)
        reply = self._reply(outcome, "launch", limits.run_seconds, case)
        self._check_effect(candidate_plan, tree, reply)
        request = {"op": "compare", "structure": tree.structure, "views": [v.model_dump() for v in tree.views]}
        compared = self._ask({**request, "tolerance": self.job.tolerance.model_dump()})
        if "rejected" in compared:
            raise _EarlyVerdictError(
                self._reject(compared["rejected"]["stage"], compared["rejected"]["reason"], "", case)
            )
        launches = sum(isinstance(step, plan.Launch) for step in candidate_plan.steps)
        return CaseResult(
            name=case.name, hidden=case.hidden, distribution=case.distribution, rel_l2=compared["rel_l2"],
            limit_share=compared["limit_share"], launches=launches,
        )  # fmt: skip

    def _check_effect(self, candidate_plan: plan.Plan, tree: plan.OutputTree, reply: dict[str, Any]) -> None:
        """Every output must have been changed by a launch, or copied from what one changed: decoys do nothing."""
        changed = reply.get("changed")
        if not isinstance(changed, list) or len(changed) != len(candidate_plan.steps):
            raise _EarlyVerdictError(
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
                raise _EarlyVerdictError(
                    Rejected(stage="plan", reason=f"no Triton kernel changes anything in output {number}")
                )

    def _reply(self, outcome: Outcome, stage: Any, seconds: float, case: Case | None = None) -> dict[str, Any]:
        """What an untrusted child said, or why it said nothing."""
        report = outcome.report
        if "setup_error" in report:
            raise _EarlyVerdictError(Broken(reason=f"isolation failed: {report['setup_error']}"))
        if outcome.overflow:
            raise _EarlyVerdictError(self._reject("plan", "the candidate's plan is far too large", outcome.log, case))
        if report["timed_out"]:
            raise _EarlyVerdictError(
                self._reject("timeout", f"still running after {seconds:g} s in stage {stage}", outcome.log, case)
            )
        code = report["exit_code"]
        if not outcome.reply:
            if code == -signal.SIGKILL:
                raise _EarlyVerdictError(Broken(reason=f"a sandbox child was killed from outside in stage {stage}"))
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
            raise _EarlyVerdictError(self._reject(stage, f"the process {how} without an answer", outcome.log, case))
        try:
            reply = wire.loads(outcome.reply)
        except (ValueError, RecursionError) as error:
            raise _EarlyVerdictError(
                Rejected(stage="tamper", reason="the sandbox child's reply is no valid JSON")
            ) from error
        if not isinstance(reply, dict) or "setup_error" in reply or "fault" in reply:
            reason = str(reply.get("fault") or reply.get("setup_error")) if isinstance(reply, dict) else "no object"
            raise _EarlyVerdictError(Broken(reason=reason[:500]))
        if "rejected" in reply:
            found = reply["rejected"] if isinstance(reply["rejected"], dict) else {}
            if case is None and isinstance(found.get("case"), int) and 0 <= found["case"] < len(self.job.cases):
                case = self.job.cases[found["case"]]
            named = found.get("stage") if found.get("stage") in ("trace", "compile") else stage
            raise _EarlyVerdictError(
                self._reject(
                    named, str(found.get("reason"))[:500], str(found.get("log", ""))[:4000] or outcome.log, case
                )
            )
        return reply

    def _reject(self, stage: Any, reason: str, log: str, case: Case | None) -> Rejected:
        """A rejection that says on which case, but nothing about hidden ones."""
        progress = (self.right, len(self.job.cases)) if stage in ("launch", "numerics", "timeout", "tamper") else None
        if case is None or (stage in ("trace", "compile", "plan") and case is self.job.cases[0]):
            return Rejected(stage=stage, reason=reason, log=log, cases_right=progress)
        if case.hidden:
            return Rejected(stage=stage, reason="fails on a hidden case", cases_right=progress)
        return Rejected(stage=stage, reason=f"case {case.name}: {reason}", log=log, cases_right=progress)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._ask_fds(request)[0]

    def _ask_fds(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        reply, fds = self.judge.ask(request, JUDGE_SECONDS)
        if "fault" in reply:
            raise _EarlyVerdictError(Broken(reason=f"the task's reference failed: {reply['fault']}"))
        return reply, fds
