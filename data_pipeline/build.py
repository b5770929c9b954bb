"""The data stage: harvest packages, propose synthetic tasks, admit what the sandbox passes, split, summarise.

Resumes: packages already in `kernels.jsonl` are not downloaded again, pairs already judged are not judged again.
"""

import math
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from configs.schema import Config
from configs.stamp import write_json
from data_pipeline.admit import Admission, Pair, admit
from data_pipeline.harvest import harvest
from data_pipeline.splits import split_tasks
from data_pipeline.store import load_kernels, write_records
from data_pipeline.synthetic import FAMILIES, propose
from data_pipeline.task import Kernel, Task
from data_pipeline.verify import Judging
from sandbox.protocol import Sandbox
from sandbox.types import Record

SPARE_HELDOUT = 1.25
"""Held-out families are proposed with this surplus, because some proposals are refused."""


class Summary(Record):
    """What the data stage made; `summary.json`."""

    harvested_kernels: int
    kernels_with_launchers: int
    launchers: int
    """Python functions that launch a harvested kernel, counted once for each kernel that they launch."""
    licences: dict[str, int]
    """Harvested kernels by licence."""
    proposed_tasks: int
    admitted_tasks: int
    """Proposals that passed quality and sandbox; held-out families beyond `data.heldout_tasks` included."""
    refused: dict[str, int]
    """By stage of the sandbox, or `quality`."""
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


async def build(config: Config, sandbox: Sandbox, advance: Callable[[int], None] = lambda count: None) -> Summary:
    """Run the stage into `<out>/data`.

    Raises:
        ValueError: a held-out family does not exist, or no task was admitted.
        PackageUnavailableError: a package cannot be downloaded.
        SandboxBrokenError: the sandbox gives no verdicts.
    """
    started = time.monotonic()
    folder = config.out_dir / "data"
    pairs = proposals(config)
    kernels = _harvest_missing(config, folder)
    concurrency = 2 * (config.sandbox.workers or os.cpu_count() or 1)  # one judged, one queued: workers never wait
    admission = await admit(pairs, sandbox, Judging.from_config(config.sandbox), folder, concurrency, advance)
    admitted = set(admission.admitted)
    kept = split_tasks(
        (task for task, _ in pairs if task.id in admitted), config.data.heldout_families, config.data.heldout_tasks
    )
    if pairs and not kept:
        raise ValueError(f"no task was admitted: refused {admission.refused}, broken {admission.broken}; see {folder}")
    write_records(folder / "tasks.jsonl", kept)
    summary = _summary(kernels, pairs, admission, kept, time.monotonic() - started)
    write_json(folder / "summary.json", summary.model_dump(mode="json"))
    return summary


def proposals(config: Config) -> list[Pair]:
    """The synthetic pairs that the config asks for: held-out families only as many as will be kept, and spares.

    Raises:
        ValueError: a held-out family is not one that any source makes.
    """
    unknown = sorted(set(config.data.heldout_families) - set(FAMILIES))
    if unknown:
        raise ValueError(f"data.heldout_families={unknown} do not exist; there are {', '.join(FAMILIES)}")
    wanted = math.ceil(config.data.heldout_tasks * SPARE_HELDOUT) + 1
    limits = dict.fromkeys(config.data.heldout_families, wanted)
    return list(propose(config.data.synthetic_tasks, config.data.seed, limits))


def _harvest_missing(config: Config, folder: Path) -> list[Kernel]:
    """Kernels of all configured packages; those of packages no longer configured are dropped."""
    before: dict[tuple[str, str], list[Kernel]] = {}
    for kernel in load_kernels(folder):
        before.setdefault((kernel.source.origin, kernel.source.version), []).append(kernel)
    kernels: list[Kernel] = []
    for package in config.data.packages:
        known = before.get((f"package:{package.name}", package.version))
        kernels += known or harvest(package.name, package.version)
    write_records(folder / "kernels.jsonl", kernels)
    return kernels


def _summary(
    kernels: list[Kernel], pairs: list[Pair], admission: Admission, kept: list[Task], seconds: float
) -> Summary:
    return Summary(
        harvested_kernels=len(kernels),
        kernels_with_launchers=sum(bool(kernel.launchers) for kernel in kernels),
        launchers=sum(len(kernel.launchers) for kernel in kernels),
        licences=dict(Counter(kernel.source.licence for kernel in kernels)),
        proposed_tasks=len(pairs),
        admitted_tasks=len(admission.admitted),
        refused=admission.refused,
        broken=admission.broken,
        families=dict(Counter(task.family for task in kept)),
        splits=dict(Counter(task.split for task in kept)),
        judged_now=admission.judged_now,
        seconds=round(seconds, 1),
    )
