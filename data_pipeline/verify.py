"""The one scorer: completion → verdict. RL, evaluation and data admission all call `verify` and nothing else.

They differ only in what they do with the verdict, so a kernel that passes here passes everywhere.
"""

from typing import Self

from configs.schema import SandboxConfig
from data_pipeline.extract import extract_kernel
from data_pipeline.task import Task
from sandbox.protocol import Sandbox
from sandbox.types import Broken, Limits, Passed, Policy, Record, Rejected, Target, TimingRequest


class Judging(Record):
    """How strictly, and within which limits, attempts are judged; the same for a whole run."""

    policy: Policy = "triton_only"
    targets: tuple[Target, ...] = ()
    """Compile ahead of time for these as well; none: the verdict carries no static statistics."""
    limits: Limits = Limits()
    timing: TimingRequest | None = None
    """What to measure of a right candidate, where there is a GPU."""

    @classmethod
    def from_config(cls, config: SandboxConfig) -> Self:
        """The judging that `config.sandbox` asks for."""
        limits = Limits(
            trace_seconds=config.trace_seconds,
            run_seconds=config.run_seconds,
            compile_seconds=config.compile_seconds,
            memory_mib=config.memory_mib,
        )
        timing = TimingRequest() if config.timing else None
        return cls(policy=config.policy, targets=config.targets, limits=limits, timing=timing)


async def verify(task: Task, completion: str, sandbox: Sandbox, judging: Judging) -> Passed | Rejected | Broken:
    """Extract the kernel from a model's completion and let the sandbox judge it on all cases of the task.

    A completion without a usable code block is `Rejected(stage="extract")` and never reaches the sandbox.
    """
    kernel = extract_kernel(completion, task.entry_point)
    if isinstance(kernel, Rejected):
        return kernel
    job = task.job(kernel, policy=judging.policy, targets=judging.targets, limits=judging.limits, timing=judging.timing)
    return await sandbox.run(job)
