"""The one interface that everything else sees of the sandbox."""

from typing import Protocol

from sandbox.types import Broken, Job, Passed, Rejected


class Sandbox(Protocol):
    """Judges jobs. Implemented by `sandbox.local.LocalSandbox`; further ones (remote) plug in here."""

    async def run(self, job: Job) -> Passed | Rejected | Broken: ...
