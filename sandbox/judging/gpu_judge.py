"""The judge on a GPU: as `sandbox.judging.judge`, with a CUDA context of its own and a replayer to put questions to.

Inputs lie in device memory that both processes map; expected values only in the judge's own. For timing the judge
draws several sets, measures the baseline itself, and alternates with the replayer's samples of the candidate.
"""

import gc
import socket
import sys
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from sandbox.jail import isolation
from sandbox.judging import baselines, timing
from sandbox.judging.baselines import Recorded
from sandbox.judging.exam import Asked, Exam, ask, rejected, telling
from sandbox.judging.gpu_arena import SharedArena
from sandbox.judging.judge import Question, Reply, answer, same_layout
from sandbox.judging.reference import Reference
from sandbox.judging.replayer_link import ReplayerLink, StopError, stoppable
from sandbox.judging.rotation import MIN_SETS, affordable, wanted
from sandbox.plans import arena
from sandbox.plans.plan import Buffer, View
from sandbox.replaying import cuda
from sandbox.replaying.graphs import RELEASE_EVERY, EventTimer, Flush, TimedGraph
from sandbox.types import Baseline, Case, Tolerance

REFERENCES = 64
GUARD_SPREAD = 16
LOAD_SECONDS = 60.0
TUNE_SAMPLES = 5
WALL_FACTOR, WALL_SLACK_MS = 1.5, 5.0
"""A sample may take this much longer on the judge's clock than the replayer claims: messages, restoring the caches."""
MAX_TIMING_SECONDS = 60.0
DECOYS = 1


class GpuJudge:
    """State between questions: loaded references, the arena, the replayer, the exam that is being timed."""

    def __init__(self) -> None:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # torch types it not
        self.flush, self.properties = Flush(), torch.cuda.get_device_properties(0)
        self.machine = cuda.machine()
        self.references: OrderedDict[tuple[str, str], Reference] = OrderedDict()
        self.replayer = ReplayerLink()
        self.arena, self.loads = SharedArena(), 0
        self.posed: Asked | None = None
        self.exam: Exam | None = None
        self.baselines: dict[Baseline, Recorded] = {}

    def attach(self, request: dict[str, Any], files: list[int]) -> Reply:
        """A new replayer; its socket comes along."""
        self.replayer.attach(files[0])
        if self.arena.memory.numel():
            self._share()
        return {"device": cuda.description(), "stamp": cuda.stamp()}, ()

    def trim(self, request: dict[str, Any], files: list[int]) -> Reply:
        """Give back memory that is only kept for speed, the replayer's too."""
        self._forget()
        self.posed = None
        self.arena.release()
        self.replayer.ask({"op": "trim"}, LOAD_SECONDS)
        gc.collect()  # frames in which memory ran out hold tensors in cycles
        torch.cuda.empty_cache()
        cuda.reset_stack()
        return {}, ()

    def describe(self, request: dict[str, Any], files: list[int]) -> Reply:
        reference = self._reference(request)
        return {"cases": [reference.describe(Case.model_validate(case)) for case in request["cases"]]}, ()

    def load(self, request: dict[str, Any], files: list[int]) -> Reply:
        """Hand the cubins of one candidate to the replayer."""
        self._forget()
        self.posed = None
        self.loads += 1
        if self.loads % RELEASE_EVERY == 0:
            torch.cuda.empty_cache()
        return self.replayer.ask({"op": "load", "binaries": request["binaries"]}, LOAD_SECONDS), ()

    def run(self, request: dict[str, Any], files: list[int]) -> Reply:
        """One case, once: `changed` from the replayer, the comparison and `tells`, or a rejection."""
        exam, work = self._exam(request, 1, 0)
        question = {"op": "run", "work": work, "block": exam.order[0]}
        reply = self.replayer.ask(question, request["seconds"])
        views = [View.model_validate(v) for v in request["outputs"]]
        found = exam.check(views, request["structure"], Tolerance.model_validate(request["tolerance"]))
        return {**reply, **found, "tells": exam.tells()}, ()

    def pose(self, request: dict[str, Any], files: list[int]) -> Reply:
        """Draw rotating sets of a case, and work out what is right for each. Nobody needs the GPU alone for that."""
        self._forget()
        reference, case = self._reference(request), Case.model_validate(request["case"])
        buffers = [Buffer.model_validate(b) for b in request["plan"]["buffers"]]
        nbytes = sum(b.nbytes for b in buffers)
        sets = wanted(reference, case, nbytes, self.properties.L2_cache_size)
        sets, _ = self._affordable(request, buffers, nbytes, min(sets, MIN_SETS) if request["tuning"] else sets, DECOYS)
        self.posed = self._asked(request, sets)
        return {"sets": sets}, ()

    def tune(self, request: dict[str, Any], files: list[int]) -> Reply:
        """Check and time several plans of one case; reply `best`, the position of the fastest one."""
        times: list[float] = []
        walls: list[float] = []
        for candidate in request["variants"]:
            exam, graph, found = self._record({**request, **candidate})
            if "rejected" in found:
                return found, ()
            samples = []
            for _ in range(TUNE_SAMPLES):
                exam.restore()
                samples.append(self._sample({**request, "graph": graph}, walls))
            times.append(median(samples) / len(exam.drawn))
        return {"best": times.index(min(times)), "ms": times}, ()

    def prepare(self, request: dict[str, Any], files: list[int]) -> Reply:
        """Record candidate and baselines over what was posed, check the candidate's outputs on every set."""
        reference = self._reference(request)
        exam, graph, found = self._record(request)
        if "rejected" in found:
            return found, ()
        exam.restore()  # a kernel must not find its own work there, and so that this is no sample
        torch.cuda.synchronize()
        share = self.replayer.ask({"op": "share", "graph": graph}, request["seconds"])["share"]
        exam.restore()
        torch.cuda.synchronize()
        pool = torch.cuda.graph_pool_handle()
        for name in request["baselines"]:
            self.baselines[name] = baselines.record(reference, exam, self.flush, name, pool)
        self.exam = exam
        peaks = {name: recorded.peak_mib for name, recorded in self.baselines.items()}
        found = {"graph": graph, "share": share, "sets": len(exam.drawn), "peaks": peaks, "breaks": reference.breaks}
        return found, ()

    def time(self, request: dict[str, Any], files: list[int]) -> Reply:
        """Interleaved samples of what `prepare` recorded. Nothing else may run on the GPU meanwhile."""
        exam = self.exam
        assert exam is not None
        views, tolerance = [View.model_validate(v) for v in request["outputs"]], Tolerance(**request["tolerance"])
        walls: list[float] = []

        def candidate() -> float:
            ms = self._sample(request, walls)
            if "rejected" in (found := exam.check_again(views, tolerance)):
                raise StopError(found)
            exam.restore()  # also for the baseline, which reads the same inputs
            return ms / len(exam.drawn)

        def baseline(graph: TimedGraph | EventTimer) -> Callable[[], float]:
            def sample() -> float:
                ms = graph.sample() / len(exam.drawn)
                if request["mutates"]:
                    exam.restore()
                return ms

            return sample

        exam.restore()
        contenders = {name: baseline(recorded.timer) for name, recorded in self.baselines.items()}
        timed, samples = timing.interleave(candidate, contenders, request["runs"])
        return self._summary(timed, samples, walls, self._cost(request, exam), len(exam.drawn)), ()

    def _sample(self, request: dict[str, Any], walls: list[float]) -> float:
        """One sample of the candidate in ms, and in `walls` what it took by our clock; all of them must end in time."""
        torch.cuda.synchronize()  # the other process must find the arena restored
        started = time.perf_counter()
        ms = float(self.replayer.ask({"op": "sample", "graph": request["graph"]}, request["seconds"])["ms"])
        walls.append(1e3 * (time.perf_counter() - started))
        if sum(walls) > 1e3 * MAX_TIMING_SECONDS:
            raise StopError(rejected("timeout", f"timing takes longer than {MAX_TIMING_SECONDS:g} s"))
        return ms

    def _summary(
        self, timed: list[float], samples: dict[Baseline, list[float]], walls: list[float], cost: timing.Cost, sets: int
    ) -> dict[str, Any]:
        claimed = median(timed)
        if claimed < timing.floor_ms(cost, self.machine):
            least = timing.roofline(cost, self.machine)[0]
            return rejected("tamper", f"a time of {claimed:.2g} ms is below what the hardware allows ({least:.2g} ms)")
        if median(walls) > WALL_FACTOR * claimed * sets + WALL_SLACK_MS:
            return rejected("tamper", "the claimed time does not fit the wall clock")
        least, limit = timing.roofline(cost, self.machine)
        clocks = {name: recorded.timer.clock for name, recorded in self.baselines.items()}
        return {
            "roofline_ms": least,
            "limited_by": limit,
            "clocks": clocks,
            "ratios": {name: timing.compare(timed, samples[name]).model_dump() for name in clocks},
        }

    def _cost(self, request: dict[str, Any], exam: Exam) -> timing.Cost:
        case = Case.model_validate(request["case"])
        outputs = sum(one.honest.numel() * one.honest.element_size() for one in exam.expected[0])
        inputs = sum(t.numel() * t.element_size() for t in exam.drawn[0].tensors)
        declared = self._reference(request).cost(case)
        moved = {"bytes": inputs + outputs, "flops": 0, **(declared or {})}
        return timing.Cost(**moved, declared=declared is not None, output_bytes=outputs)

    def _record(self, request: dict[str, Any]) -> tuple[Exam, int, dict[str, Any]]:
        """The sets that were posed, the candidate's graph over them, and whether its first run was right."""
        assert self.posed is not None
        exam, work = self._exam(request, len(self.posed.drawn), DECOYS, self.posed)
        question = {"op": "record", "work": work, "blocks": exam.order}
        recorded = self.replayer.ask(question, request["seconds"])
        exam.keep(recorded["sets"])
        views = [View.model_validate(v) for v in request["outputs"]]
        return exam, recorded["graph"], exam.check(views, request["structure"], Tolerance(**request["tolerance"]))

    def _exam(
        self, request: dict[str, Any], sets: int, decoys: int, posed: Asked | None = None
    ) -> tuple[Exam, dict[str, Any]]:
        """Sets of a case in the arena, fresh ones unless they are given, and the work for the replayer."""
        buffers = [Buffer.model_validate(b) for b in request["plan"]["buffers"]]
        where = arena.layout([b.nbytes for b in buffers], GUARD_SPREAD)
        sets, decoys = self._affordable(request, buffers, where.nbytes, sets, decoys)
        self._reserve((sets + decoys) * where.nbytes)
        if any(step["kind"] == "torch" for step in request["plan"]["steps"]):
            self.replayer.warm_up(LOAD_SECONDS)
        memory, mutates = self.arena.memory, tuple(request["mutates"])
        unit = arena.TMA_BYTES if request["tma"] else 1

        def put() -> Exam:
            asked = posed.first(sets) if posed is not None else self._asked(request, sets)
            return Exam(asked, buffers, where, memory, mutates, decoys, unit)

        exam = telling(put) if request["telling"] else put()
        torch.cuda.synchronize()
        work = {"plan": request["plan"], "outputs": request["outputs"], "kernels": request["kernels"]}
        return exam, {**work, "layout": where.model_dump()}

    def _asked(self, request: dict[str, Any], sets: int) -> Asked:
        reference, case = self._reference(request), Case.model_validate(request["case"])
        drawn = [reference.draw(case)]
        drawn += [reference.draw(case, drawn[0].model) for _ in range(sets - 1)]
        same_layout(reference.description(drawn[0]), request["described"])
        return ask(reference, drawn, tuple(request["mutates"]))

    def _affordable(
        self, request: dict[str, Any], buffers: list[Buffer], nbytes: int, sets: int, decoys: int
    ) -> tuple[int, int]:
        own = sum(b.nbytes for b in buffers if b.input is None)
        return affordable(sets, decoys, nbytes, own, request["arena_bytes"], self.properties.total_memory)

    def _reserve(self, nbytes: int) -> None:
        if not self.arena.fits(nbytes):
            self._forget()
            self.arena.resize(nbytes)
            self._share()

    def _share(self) -> None:
        self.replayer.ask({"op": "arena", "nbytes": self.arena.memory.numel()}, LOAD_SECONDS, (self.arena.fd,))

    def _forget(self) -> None:
        self.exam = None
        self.baselines.clear()

    def _reference(self, request: dict[str, Any]) -> Reference:
        key = (request["reference"], request["entry_point"])
        if key not in self.references:
            self.references[key] = Reference(*key, device="cuda")
            if len(self.references) > REFERENCES:
                self.references.popitem(last=False)
        self.references.move_to_end(key)
        return self.references[key]


def main() -> None:
    """`python -m sandbox.judging.gpu_judge FD`; CUDA_VISIBLE_DEVICES says on which GPU."""
    isolation.die_with_parent()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # a task's own, to whoever judges
    baselines.set_up_compiling()
    judge = GpuJudge()
    questions: tuple[Question, ...] = (
        judge.attach, judge.trim, judge.describe, judge.load, judge.run, judge.pose, judge.tune, judge.prepare,
        judge.time,
    )  # fmt: skip
    answer(socket.socket(fileno=int(sys.argv[1])), {q.__name__: stoppable(q) for q in questions})


if __name__ == "__main__":
    main()
