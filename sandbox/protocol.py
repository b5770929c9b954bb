"""The one interface that everything else sees of the sandbox."""

from typing import Protocol

from sandbox.types import Job, Passed, Rejected, Broken


class Sandbox(Protocol):
    """Judges jobs. Implemented by `sandbox.local.LocalSandbox`; further ones (remote) plug in here."""

    async def run(self, job: Job) -> Passed | Rejected | Broken: ...
