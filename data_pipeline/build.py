"""The data stage: collect proposals from all sources, screen them, admit what the sandbox passes, split, write.

Everything goes through the ledger, so a run that was killed goes on where it was, and ends in the same data set.
"""

import asyncio
import resource
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from configs.errors import UsageError
from configs.schema import Config, DataConfig, GitConfig, PackageConfig
from configs.stages import claim
from configs.stamp import write_json
from data_pipeline.admit import Admitter
from data_pipeline.card import write_card
from data_pipeline.checks import checks
from data_pipeline.contamination import Benchmarks, kernelbench, tritonbench
from data_pipeline.families import FAMILIES
from data_pipeline.ledger import Ledger, Row
from data_pipeline.probe import Probe, Prober
from data_pipeline.screening import screen
from data_pipeline.sources import Checks, Proposal, Source
from data_pipeline.sources.git import git
from data_pipeline.sources.hub import hub
from data_pipeline.sources.inductor import inductor
from data_pipeline.sources.opdb import opdb
from data_pipeline.sources.package import package
from data_pipeline.sources.synthetic import synthetic
from data_pipeline.splits import split_tasks
from data_pipeline.store import write_kernels, write_tasks
from data_pipeline.synthetic import FAMILIES as SYNTHETIC_FAMILIES
from data_pipeline.task import Kernel, Solution, Task
from data_pipeline.verify import Judging
from sandbox.local import cores
from sandbox.protocol import Sandbox
from sandbox.types import Passed, Record

TOGETHER = 200
CLOCK_SECONDS = 5.0
GUESS_SECONDS = 8.0
"""Wall-clock of an examination that a source asks for: there are dozens for each pair, and most guesses are wrong."""
Watch = Callable[[int, int], None]
"""(proposals decided, proposals known so far), of all sources."""


class Summary(Record):
    """What the data stage made; `summary.json`."""

    harvested_kernels: int
    """Kept: licensed, no duplicate, no benchmark item."""
    kernels_found: int
    kernels_with_launchers: int
    launchers: int
    """Python functions that launch a kept kernel, counted once for each kernel that they launch."""
    licences: dict[str, int]
    """Harvested kernels by licence, refused ones too."""
    proposed_tasks: int
    admitted_tasks: int
    """Proposals that passed quality and sandbox; held-out families beyond `data.heldout_tasks` included."""
    admitted_by_source: dict[str, int]
    """Tasks and kernels by the origin in their provenance."""
    refused_by_source: dict[str, dict[str, int]]
    """Likewise, and by what refused them."""
    refused: dict[str, int]
    """Tasks by stage of the sandbox, or `licence`, `duplicate`, `benchmark`, `quality`."""
    refused_kernels: dict[str, int]
    """By `licence`, `duplicate` or `benchmark`."""
    decontaminated: bool
    """Whether benchmarks were there to compare with (`data.kernelbench`, `data.tritonbench`)."""
    broken: int
    """Without a verdict, through no fault of the proposal; run again to retry them."""
    families: dict[str, int]
    """Tasks kept, by family."""
    splits: dict[str, int]
    """Tasks kept, by split."""
    with_solution: int
    """Tasks kept that have a Triton solution, for SFT."""
    without_solution: int
    """Tasks kept that are a reference alone, for RL and evaluation."""
    judged_now: int
    """Proposals judged in this run rather than an earlier one."""
    seconds: float
    """Wall-clock of this run."""


async def build(
    config: Config, sandbox: Sandbox, watch: Watch = lambda decided, known: None, probe: Probe | None = None
) -> Summary:
    """Run the stage into `<out>/data`.

    Args:
        probe: says which tasks are worth posing; None: `data_pipeline.quality` does.

    Raises:
        UsageError: the folder was made with other settings; a family does not exist; or no task was admitted.
        SourceUnavailableError: a package, a repository or a data set cannot be had.
        BenchmarkMissingError: a clone is not where the configuration says.
        SandboxBrokenError: the sandbox gives no verdicts.
    """
    started = time.monotonic()
    folder = config.out_dir / "data"
    done = claim(folder, settings(config))
    if done is not None and not done["broken"]:
        return Summary.model_validate(done).model_copy(update={"judged_now": 0})
    benchmarks = _benchmarks(config.data)
    workers, judging = config.sandbox.workers or cores(), Judging.from_config(config.sandbox)
    with ExitStack() as stack:
        guesses = probe or stack.enter_context(Prober(workers, GUESS_SECONDS))
        asked = checks(asyncio.get_running_loop(), guesses, sandbox, judging, workers)
        probe = probe or stack.enter_context(Prober(workers))
        chosen = sources(config.data, asked)
        ledger = Ledger(folder / "ledger.sqlite")
        stack.callback(ledger.close)
        progress = _Progress(ledger, watch)
        for source in chosen:
            if not ledger.finished(source.name):
                async for batch in _batches(source.proposals):
                    ledger.propose(batch)
                    progress.found(len(batch))
                ledger.finish(source.name)
        progress.read()
        screen(ledger, benchmarks, progress.advance)
        clock = _Clock(ledger, progress)
        concurrency = 2 * workers  # one judged, one queued: workers never wait
        judged = await Admitter(ledger, sandbox, judging, concurrency, probe, clock.judged).run()
        clock.write()
        summary = _export(config, ledger, judged, benchmarks is not None, started)
    write_json(folder / "summary.json", summary.model_dump(mode="json"))
    return summary


class _Progress:
    """Counts for whoever watches."""

    def __init__(self, ledger: Ledger, watch: Watch) -> None:
        self.ledger, self.watch = ledger, watch
        self.decided = self.known = 0

    def read(self) -> None:
        """From the ledger: exact, and a pass over all of it."""
        states = {state: count for (state,), count in self.ledger.count("state").items()}
        self.known = sum(states.values())
        self.advance(states.get("admitted", 0) + states.get("refused", 0) - self.decided)

    def found(self, count: int) -> None:
        self.known += count
        self.watch(self.decided, self.known)

    def advance(self, count: int) -> None:
        self.decided += count
        self.watch(self.decided, self.known)


class _Clock:
    """Writes down how fast a run judges and how much memory it has needed, every few seconds: it may be killed."""

    def __init__(self, ledger: Ledger, progress: _Progress) -> None:
        self.ledger, self.progress, self.run = ledger, progress, ledger.begin_run()
        self.count, self.started, self.written = 0, time.monotonic(), 0.0

    def judged(self, count: int) -> None:
        self.count += count
        self.progress.advance(count)
        if time.monotonic() > self.written + CLOCK_SECONDS:
            self.write()

    def write(self) -> None:
        self.written = time.monotonic()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.ledger.measured(self.run, self.count, self.written - self.started, peak)


def settings(config: Config) -> dict[str, Any]:
    """What decides the result of this stage."""
    return {
        "data": config.data.model_dump(mode="json"),
        "policy": config.sandbox.policy,
        "targets": list(config.sandbox.targets),
    }


def sources(data: DataConfig, checks: Checks) -> list[Source]:
    """Everything that the config asks for; of two duplicates, the one whose source stands first here stays.

    Raises:
        UsageError: a family is not one that any source makes.
    """
    made, known = {*SYNTHETIC_FAMILIES}, {*SYNTHETIC_FAMILIES, *FAMILIES}
    keys = (("synthetic_families", data.synthetic_families, made), ("heldout_families", data.heldout_families, known))
    for key, named, families in keys:
        if unknown := sorted(set(named) - families):
            raise UsageError(f"data.{key}={unknown} do not exist; there are {', '.join(sorted(families))}")

    def asked(one: PackageConfig | GitConfig) -> Checks | None:
        return checks if one.pairing else None

    return [
        *(
            Source(f"package:{p.name}=={p.version}", partial(package, p.name, p.version, asked(p)))
            for p in data.packages
        ),
        *(Source(f"git:{g.url}@{g.revision}", partial(git, g.url, g.revision, asked(g))) for g in data.git),
        *([Source(f"opdb:torch {version('torch')}", opdb)] if data.opdb else ()),
        Source("synthetic", partial(synthetic, data)),
        *([Source(f"inductor:{data.inductor}", partial(inductor, Path(data.inductor)))] if data.inductor else ()),
        *(Source(f"hub:{h.name}@{h.revision}/{h.split}", partial(hub, h)) for h in data.hub),
    ]


async def _batches(proposals: Callable[[], Iterable[Proposal]]) -> AsyncIterator[list[Proposal]]:
    """Made in a thread of their own: a source may wait for answers that come through this event loop."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="source") as thread:
        stream = await loop.run_in_executor(thread, lambda: iter(proposals()))
        while batch := await loop.run_in_executor(thread, lambda: list(islice(stream, TOGETHER))):
            yield batch


def _benchmarks(data: DataConfig) -> Benchmarks | None:
    """What must not be trained on; None where no clone is named."""
    items = [
        *(kernelbench(Path(data.kernelbench)) if data.kernelbench else ()),
        *(tritonbench(Path(data.tritonbench)) if data.tritonbench else ()),
    ]
    return Benchmarks(items) if items else None


def _export(config: Config, ledger: Ledger, judged: int, decontaminated: bool, started: float) -> Summary:
    folder, data = config.out_dir / "data", config.data
    admitted = sum(ledger.count("state", kind="task", state="admitted").values())
    proposed = sum(ledger.count("kind", kind="task").values())
    refused = {by: n for (by,), n in ledger.count("refused_by", kind="task", state="refused").items()}
    families: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    solved: Counter[bool] = Counter()
    launchers: list[int] = []

    def tasks() -> Iterator[tuple[Task, Solution | None]]:
        rows = ((row.task(), row) for row in ledger.rows("admitted", "task"))
        for task, row in split_tasks(rows, data.heldout_families, data.heldout_tasks):
            families[task.family] += 1
            splits[task.split] += 1
            solved[bool(row.code)] += 1
            yield task, _solution(row)

    def kernels() -> Iterator[Kernel]:
        for row in ledger.rows("admitted", "kernel"):
            kernel = row.kernel()
            launchers.append(len(kernel.launchers))
            yield kernel

    write_tasks(folder, tasks())
    write_kernels(folder, kernels())
    write_card(folder, ledger)
    broken = sum(ledger.count("state", kind="task", state="clean").values())
    if proposed and not splits:
        raise UsageError(f"no task was admitted: refused {refused}, broken {broken}; see {folder / 'ledger.sqlite'}")
    return Summary(
        harvested_kernels=len(launchers),
        kernels_found=sum(ledger.count("kind", kind="kernel").values()),
        kernels_with_launchers=sum(n > 0 for n in launchers),
        launchers=sum(launchers),
        licences={licence: n for (licence,), n in ledger.count("licence", kind="kernel").items()},
        proposed_tasks=proposed,
        admitted_tasks=admitted,
        admitted_by_source={origin: n for (origin,), n in ledger.count("origin", state="admitted").items()},
        refused_by_source=_refused_by_source(ledger),
        refused=refused,
        refused_kernels={by: n for (by,), n in ledger.count("refused_by", kind="kernel", state="refused").items()},
        decontaminated=decontaminated,
        broken=broken,
        families=dict(families),
        splits=dict(splits),
        with_solution=solved[True],
        without_solution=solved[False],
        judged_now=judged,
        seconds=round(time.monotonic() - started, 1),
    )


def _solution(row: Row) -> Solution | None:
    if not row.code:
        return None
    return Solution(task_id=row.id, code=row.code, verdict=Passed.model_validate_json(row.verdict))


def _refused_by_source(ledger: Ledger) -> dict[str, dict[str, int]]:
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (origin, by), count in ledger.count("origin", "refused_by", state="refused").items():
        found[origin][by] = count
    return dict(found)
