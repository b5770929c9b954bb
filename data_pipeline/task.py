"""The records that flow through the pipeline: Task, Solution, Attempt, and the messages of a prompt."""

from typing import Literal, TypedDict

from sandbox.types import TOLERANCES, Broken, Case, Job, Limits, Passed, Policy, Record, Rejected, Target, TimingRequest

Split = Literal["train", "heldout"]
PromptFormat = Literal["plain", "kernelbench", "tritonbench"]


class Provenance(Record):
    """Where a record came from, precisely enough to fetch it again."""

    origin: str
    """`package:liger-kernel`, `git:https://…`, `hub:GPUMODE/KernelBook`, `synthetic`, `suite`, …"""
    version: str
    """Of a package, a generator or a data set; of a repository the commit."""
    path: str = ""
    """File inside the origin."""
    licence: str
    """SPDX identifier where the origin states one."""


class Task(Record):
    """One thing to be written in Triton, with everything needed to judge an attempt."""

    id: str
    """Stable: derived from the content, never from a counter or the time."""
    family: str
    """Operator family; splits are made by it."""
    source: Provenance
    description: str
    """What the operator computes, in a sentence or two."""
    reference: str
    """Python source: `<entry_point>(*inputs)` and `make_inputs(case, draw)`, or KernelBench's `Model`, `get_inputs` and
    `get_init_inputs`."""
    entry_point: str
    """What a candidate defines: the reference's function, or `ModelNew`."""
    cases: tuple[Case, ...]
    hidden_cases: tuple[Case, ...]
    tolerance: str
    """Code into `sandbox.types.TOLERANCES`."""
    difficulty: int
    """Number of operators in the program."""
    split: Split = "train"
    prompt_format: PromptFormat = "plain"
    """How the task is posed: in our own words, or in the way of one of the two benchmarks."""
    mutates: tuple[int, ...] = ()
    """As of a job."""
    rehearsal: tuple[Case, ...] | None = None
    """As of a job. None: the first public case. Where even that is large, no case or a smaller one: what takes the
    interpreter too long is rejected."""

    def job(
        self, candidate: str, *, policy: Policy, targets: tuple[Target, ...], limits: Limits,
        timing: TimingRequest | None,
    ) -> Job:  # fmt: skip
        """The sandbox's question for one candidate; hidden cases included."""
        return Job(
            reference=self.reference,
            candidate=candidate,
            entry_point=self.entry_point,
            cases=self.cases + self.hidden_cases,
            rehearsal=self.cases[:1] if self.rehearsal is None else self.rehearsal,
            mutates=self.mutates,
            tolerance=TOLERANCES[self.tolerance],
            policy=policy,
            targets=targets,
            limits=limits,
            timing=timing,
        )


class Solution(Record):
    """A candidate that our own sandbox passed on its task."""

    task_id: str
    code: str
    verdict: Passed


class Kernel(Record):
    """A harvested `@triton.jit` function with the Python functions that launch it."""

    id: str
    name: str
    source: Provenance
    code: str
    """The kernel and the jit functions of the same file that it calls."""
    launchers: tuple[str, ...]
    """Source of each Python function that launches it."""
    kind: Literal["paired", "text"] = "text"
    """`paired`: became a task with a reference; `text`: SFT text without a reference."""


class Attempt(Record):
    """An earlier answer to a task, shown to the model when it is to improve on it."""

    code: str
    verdict: Passed | Rejected | Broken


class Message(TypedDict):
    """One chat message, as `transformers` chat templates take it."""

    role: Literal["system", "user", "assistant"]
    content: str
