"""A trial on a GPU: compiled kernels, replayed on inputs of the judge's and timed against the reference."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, get_args

from sandbox.compiling.binary import Binary, BinaryCache
from sandbox.early_verdict import EarlyVerdictError, situated
from sandbox.gpu_pool import Gpu, Pair
from sandbox.kernels.request import KernelRequest
from sandbox.plans import plan
from sandbox.traces import with_others
from sandbox.trial import TRIES, Tools, Trial
from sandbox.types import (
    COMPILED_BASELINES,
    PROTOCOL_VERSION,
    Broken,
    Case,
    CaseResult,
    Job,
    Passed,
    Rejected,
    Target,
    Timing,
)

JUDGE_SECONDS, PREPARE_SECONDS = 300.0, 600.0
"""Two baselines under `torch.compile` take their time before anything is timed."""
VARIANT_THREADS = 4
MAX_CUBIN_BYTES = 48 << 20
"""All kernels of one candidate as text, every configuration's; a frame between processes holds little more."""


class Planned(NamedTuple):
    """One case's plan, checked: its outputs, and its kernels' binaries by key, in the plan's order."""

    plan: plan.Plan
    tree: plan.OutputTree
    binaries: dict[str, Binary]
    kernels: list[str]
    others: tuple[tuple[str, "Planned"], ...] = ()
    """Those of other calls for which it does not stand, and which calls these are."""

    def work(self) -> dict[str, Any]:
        """What judge and replayer need of it."""
        return {
            "plan": self.plan.model_dump(),
            "outputs": [view.model_dump() for view in self.tree.views],
            "structure": self.tree.structure,
            "kernels": self.kernels,
            "tma": any(binary.tma for binary in self.binaries.values()),
        }


class GpuTrial(Trial):
    """One job, executed by a replayer."""

    def __init__(
        self, tools: Tools, gpu: Gpu, cache: BinaryCache, described: dict[tuple[str, ...], list[Any]], job: Job
    ) -> None:
        super().__init__(tools, job)
        self.gpu, self.cache, self.known = gpu, cache, described

    def verdict(self) -> Passed:
        self.screened()
        self.gpu.identify()
        self.device = self.gpu.device
        self.target = self._target()
        described = self._described()
        best = 0

        def planned(described: Sequence[Any], cases: Sequence[Case]) -> list[Planned]:
            return self.fitting(described, cases, self._planned, best)

        ready = self.fairly(described, planned)
        static = self.statistics(described)
        marked = [number for number, case in enumerate(self.job.cases) if case.timed]
        timed = (marked or [self._main_case(described)]) if self.job.timing is not None else []
        try:
            if self.variants > 1:
                with self.gpu.pair() as pair:
                    self._run_all(pair, described, ready)
                best = self._tune(described, self._main_case(described))
                ready = self.fairly(described, planned) if best else ready
            self.surely(described, self.target, best)
            with self.gpu.pair() as pair:
                results = self._run_all(pair, described, ready)
                measured = [self._time(pair, number, described[number], ready[number]) for number in timed]
        except EarlyVerdictError as stop:
            raise self.openly(stop, described, ready, planned) from stop
        return Passed(
            cases=tuple(results),
            timings=tuple(t for timings, _ in measured for t in timings) if measured else None,
            coverage=min((share for _, share in measured), default=None),
            static=static,
            stamp={"protocol": PROTOCOL_VERSION, "executor": "replay", **self.gpu.stamp},
        )

    def _target(self) -> Target:
        name = f"sm_{self.gpu.device['major']}{self.gpu.device['minor']}"
        for target in get_args(Target):
            if target == name:
                return target  # type: ignore[no-any-return]  # mypy does not narrow through get_args
        raise EarlyVerdictError(Broken(reason=f"no compile target for {self.gpu.device['name']} ({name})"))

    def _described(self) -> list[Any]:
        """Layouts of all cases; the same for every candidate of a task, and compared with every draw."""
        cases = [case.model_dump() for case in self.job.cases]
        key = (self.job.reference, self.job.entry_point, str(cases))
        if key not in self.known:
            with self.gpu.pair() as pair, self.gpu.turns.shared():
                self.known[key] = self._ask(pair, {"op": "describe", "cases": cases}, self.job.cases[0])["cases"]
        return self.known[key]

    def _planned(self, described: Sequence[Any], cases: Sequence[Case], variant: int) -> list[Planned]:
        return with_others(self.trace(described, cases, self.target, variant), described, self._ready)

    def _ready(self, plans: Sequence[plan.Plan], described: Sequence[Any]) -> list[Planned]:
        """Traced plans, checked, and compiled."""
        for p, layout in zip(plans, described, strict=True):
            self.checked(p, layout, self.job.limits.gpu_arena_mib)
        launches = [self.kernels(p) for p in plans]
        binaries = self._compiled([kernel for one in launches for kernel in one])
        return [self._settled(*one, binaries) for one in zip(plans, described, launches, strict=True)]

    def _settled(
        self, traced: plan.Plan, described: Any, launches: list[KernelRequest], binaries: dict[str, Binary]
    ) -> Planned:
        """The plan with arguments as the compiler takes them, and the binaries that it needs."""
        signatures = {key: binary.signature for key, binary in binaries.items()}
        keys = [self._key(kernel) for kernel in launches]
        settled, tree, keys = self.settled(traced, described, keys, signatures, self.job.limits.gpu_arena_mib)
        return Planned(settled, tree, {key: binaries[key] for key in keys}, keys)

    def _key(self, kernel: KernelRequest) -> str:
        return self.cache.key(self.gpu.stamp["triton"], self.target, kernel.options, kernel.identity())

    def _compiled(self, kernels: list[KernelRequest]) -> dict[str, Binary]:
        """Binaries of all kernels by key; what the cache does not have is compiled in one child."""
        wanted = {self._key(kernel): kernel for kernel in kernels}
        found = {key: binary for key in wanted if (binary := self.cache.get(key)) is not None}
        missing = {key: kernel for key, kernel in wanted.items() if key not in found}
        if missing:
            reply = self.compile(list(missing.values()), self.target, static=False)
            for key, data in zip(missing, reply["binaries"], strict=True):
                found[key] = Binary.model_validate(data)
                self.cache.put(key, found[key])
        return found

    def _load(self, pair: Pair, ready: list[Planned]) -> None:
        """Have the replayer load the kernels of these plans."""
        every = [one for first in ready for one in (first, *(other for _, other in first.others))]
        binaries = {key: binary.model_dump() for one in every for key, binary in one.binaries.items()}
        if sum(len(binary["cubin"]) for binary in binaries.values()) > MAX_CUBIN_BYTES:
            reason = f"the kernels have more than {MAX_CUBIN_BYTES} bytes of machine code in all; unroll less"
            raise EarlyVerdictError(Rejected(stage="compile", reason=reason))
        with self.gpu.turns.shared():
            self._ask(pair, {"op": "load", "binaries": binaries}, self.job.cases[0])

    def _run_all(self, pair: Pair, described: Sequence[Any], ready: list[Planned]) -> list[CaseResult]:
        self._load(pair, ready)
        self.right = 0
        results: list[CaseResult] = []
        for case, layout, one in zip(self.job.cases, described, ready, strict=True):
            number = len(results)
            reply = self._run(pair, number, layout, one)
            for where, other in one.others:
                with situated(where, case):
                    self._run(pair, number, layout, other)
            results.append(self.result(case, one.plan, reply))
        return results

    def _run(self, pair: Pair, number: int, described: Any, ready: Planned) -> dict[str, Any]:
        """The judge's numbers of a case that is right."""
        case, request = self.job.cases[number], {"op": "run", **ready.work()}
        for attempt in range(1, TRIES + 1):
            exam = {**self._exam(number, described), "telling": attempt > 1}
            with self.gpu.turns.shared():
                reply = self._ask(pair, {**request, **exam}, case)
            idle = self.idle(case, ready.plan, ready.tree, reply, described)
            if idle is None and (reply["tells"] or attempt > 1):
                break
            if idle is not None and attempt == TRIES:
                raise idle
        return reply

    def _main_case(self, described: Sequence[Any]) -> int:
        """The first case that is marked as timed, else the public one (if there is any) with the largest inputs."""
        cases = self.job.cases
        sizes = [sum(tensor["nbytes"] for tensor in layout["tensors"]) for layout in described]
        return max(range(len(cases)), key=lambda n: (cases[n].timed, not cases[n].hidden, sizes[n]))

    def _tune(self, described: Sequence[Any], number: int) -> int:
        """The fastest autotune variant on a case, after all that fit were right on it. None holds a pair from others
        while it is compiled.
        """
        case = self.job.cases[number]

        def planned(variant: int) -> Planned | None:
            try:
                return self._planned([described[number]], [case], variant)[0]
            except EarlyVerdictError as stop:
                if stop.unfit:
                    return None
                raise (self.silently(stop) if case.hidden else stop) from stop

        with ThreadPoolExecutor(VARIANT_THREADS) as pool:
            tried = enumerate(list(pool.map(planned, range(self.variants))))
        candidates = {variant: one for variant, one in tried if one is not None}
        variants, exam = [one.work() for one in candidates.values()], self._exam(number, described[number])
        with self.gpu.pair() as pair:
            self._load(pair, list(candidates.values()))
            with self.gpu.turns.shared():
                self._ask(pair, {"op": "pose", "tuning": True, **variants[0], **exam}, case)
            with self.gpu.turns.alone():
                best = self._ask(pair, {"op": "tune", "variants": variants, **exam}, case)["best"]
        return list(candidates)[int(best)]

    def _time(self, pair: Pair, number: int, described: Any, ready: Planned) -> tuple[list[Timing], float]:
        """Timings of a case against every baseline, and the share of time spent in launches."""
        case, timing = self.job.cases[number], self.job.timing
        assert timing is not None
        request = {**ready.work(), **self._exam(number, described)}
        with self.gpu.turns.shared():
            self._ask(pair, {"op": "pose", "tuning": False, **request}, case)
        tunes = set(timing.baselines) != {"eager"}  # compilers and libraries choose among kernels by timing them
        with self.gpu.turns.alone() if tunes else self.gpu.turns.shared():
            prepared = self._ask(pair, {"op": "prepare", "baselines": timing.baselines, **request}, case)
        request = {"op": "time", "graph": prepared["graph"], "runs": timing.runs, **request}
        with self.gpu.turns.alone():
            measured = self._ask(pair, request, case)
        own = sum(buffer.nbytes for buffer in ready.plan.buffers if buffer.input is None) / 2**20
        timings = [
            Timing(
                case=case.name, baseline=name, **ratio, candidate_peak_mib=own,
                baseline_peak_mib=prepared["peaks"][name], roofline_ms=measured["roofline_ms"],
                baseline_breaks=prepared["breaks"] if name in COMPILED_BASELINES else 0,
                limited_by=measured["limited_by"], clock=measured["clocks"][name],
                stamp=self.gpu.stamp,
            )
            for name, ratio in measured["ratios"].items()
        ]  # fmt: skip
        return timings, prepared["share"]

    def _exam(self, number: int, described: Any) -> dict[str, Any]:
        """What the judge needs to know of a case, whatever it does with it."""
        return {
            "case": self.job.cases[number].model_dump(),
            "telling": False,
            "described": described,
            "mutates": self.job.mutates,
            "tolerance": self.job.tolerance.model_dump(),
            "arena_bytes": self.job.limits.gpu_arena_mib << 20,
            "seconds": self.job.limits.gpu_seconds,
        }

    def _ask(self, pair: Pair, request: dict[str, Any], case: Case) -> dict[str, Any]:
        """The judge's reply; a rejection or a fault ends the trial."""
        request = {"reference": self.job.reference, "entry_point": self.job.entry_point, **request}
        reply = pair.ask(request, PREPARE_SECONDS if request["op"] == "prepare" else JUDGE_SECONDS)
        if "fault" in reply:
            raise EarlyVerdictError(Broken(reason=str(reply["fault"])[:500]))
        if "rejected" in reply:
            raise self.rejection(reply["rejected"]["stage"], reply["rejected"]["reason"], "", case)
        return reply
