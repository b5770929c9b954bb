"""The data stage: collect proposals from all sources, screen them, admit what the sandbox passes, split, write.

Everything goes through the ledger, so a run that was killed goes on where it was, and ends in the same data set.
"""

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from configs.schema import Config, DataConfig
from configs.stages import claim
from configs.stamp import write_json
from data_pipeline.admit import Admitter, Probe, run_probe
from data_pipeline.card import write_card
from data_pipeline.contamination import Benchmarks, kernelbench, tritonbench
from data_pipeline.harvest import harvest
from data_pipeline.ledger import Ledger
from data_pipeline.screening import screen
from data_pipeline.splits import split_tasks
from data_pipeline.store import write_kernels, write_tasks
from data_pipeline.synthetic import FAMILIES, propose
from data_pipeline.task import Kernel, Solution, Task
from data_pipeline.verify import Judging
from sandbox.protocol import Sandbox
from sandbox.types import Passed, Record

SPARE_HELDOUT = 1.25
"""Held-out families are proposed with this surplus, because some proposals are refused."""
TOGETHER = 200
Proposal = tuple[Task, str] | Kernel


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
    judged_now: int
    """Proposals judged in this run rather than an earlier one."""
    seconds: float
    """Wall-clock of this run."""


async def build(
    config: Config, sandbox: Sandbox, advance: Callable[[int], None] = lambda count: None, probe: Probe = run_probe
) -> Summary:
    """Run the stage into `<out>/data`.

    Raises:
        OtherSettingsError: the folder was made with other settings.
        ValueError: a held-out family does not exist, or no task was admitted.
        PackageUnavailableError: a package cannot be downloaded.
        BenchmarkMissingError: a clone is not where the configuration says.
        SandboxBrokenError: the sandbox gives no verdicts.
    """
    started = time.monotonic()
    folder = config.out_dir / "data"
    done = claim(folder, settings(config))
    if done is not None and not done["broken"]:
        return Summary.model_validate(done).model_copy(update={"judged_now": 0})
    benchmarks = _benchmarks(config.data)
    chosen = sources(config.data)
    ledger = Ledger(folder / "ledger.sqlite")
    try:
        for name, proposals in chosen.items():
            if not ledger.finished(name):
                for batch in _batches(proposals()):
                    ledger.propose(batch)
                ledger.finish(name)
        screen(ledger, benchmarks)
        advance(sum(n for (state,), n in ledger.count("state", kind="task").items() if state != "clean"))
        concurrency = 2 * (config.sandbox.workers or os.cpu_count() or 1)  # one judged, one queued: workers never wait
        admitter = Admitter(ledger, sandbox, Judging.from_config(config.sandbox), concurrency, advance, probe)
        judged = await admitter.run()
        summary = _export(config, ledger, judged, benchmarks is not None, started)
    finally:
        ledger.close()
    write_json(folder / "summary.json", summary.model_dump(mode="json"))
    return summary


def settings(config: Config) -> dict[str, Any]:
    """What decides the result of this stage."""
    return {
        "data": config.data.model_dump(mode="json"),
        "policy": config.sandbox.policy,
        "targets": list(config.sandbox.targets),
    }


def sources(data: DataConfig) -> dict[str, Callable[[], Iterable[Proposal]]]:
    """Everything that the config asks for, by a name that says which version of it.

    Raises:
        ValueError: a family is not one that any source makes.
    """
    families = data.synthetic_families or FAMILIES
    for key, named in (("synthetic_families", families), ("heldout_families", data.heldout_families)):
        if unknown := sorted(set(named) - set(FAMILIES)):
            raise ValueError(f"data.{key}={unknown} do not exist; there are {', '.join(FAMILIES)}")
    found: dict[str, Callable[[], Iterable[Proposal]]] = {}
    for package in data.packages:
        found[f"package:{package.name}=={package.version}"] = partial(harvest, package.name, package.version)
    wanted = math.ceil(data.heldout_tasks * SPARE_HELDOUT) + 1
    limits = dict.fromkeys(data.heldout_families, wanted) | dict.fromkeys(set(FAMILIES) - set(families), 0)
    found["synthetic"] = partial(
        propose, data.synthetic_tasks, data.seed, limits, data.max_solution_pieces, data.operators
    )
    return found


def _batches(proposals: Iterable[Proposal]) -> Iterator[list[Proposal]]:
    stream = iter(proposals)
    while batch := list(islice(stream, TOGETHER)):
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
    launchers: list[int] = []

    def tasks() -> Iterator[tuple[Task, Solution]]:
        rows = ((row.task(), row) for row in ledger.rows("admitted", "task"))
        for task, row in split_tasks(rows, data.heldout_families, data.heldout_tasks):
            families[task.family] += 1
            splits[task.split] += 1
            yield task, Solution(task_id=task.id, code=row.code, verdict=Passed.model_validate_json(row.verdict))

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
        raise ValueError(f"no task was admitted: refused {refused}, broken {broken}; see {folder / 'ledger.sqlite'}")
    return Summary(
        harvested_kernels=len(launchers),
        kernels_found=sum(ledger.count("kind", kind="kernel").values()),
        kernels_with_launchers=sum(n > 0 for n in launchers),
        launchers=sum(launchers),
        licences={licence: n for (licence,), n in ledger.count("licence", kind="kernel").items()},
        proposed_tasks=proposed,
        admitted_tasks=admitted,
        refused=refused,
        refused_kernels={by: n for (by,), n in ledger.count("refused_by", kind="kernel", state="refused").items()},
        decontaminated=decontaminated,
        broken=broken,
        families=dict(families),
        splits=dict(splits),
        judged_now=judged,
        seconds=round(time.monotonic() - started, 1),
    )
