"""Helper processes for one purpose: their folder, the thread that they live with, their end, and questions to them."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.pool import Helper, Outcome, ProcessDiedError, run_untrusted


class Helpers:
    """Makes helpers, and ends them all. A context manager."""

    def __init__(self, purpose: str) -> None:
        """`purpose`: names folder and thread."""
        self._folder = Path(tempfile.mkdtemp(prefix=f"kernelwright-{purpose}-"))
        self._folder.chmod(0o755)
        self._starter = ThreadPoolExecutor(
            1, thread_name_prefix=f"{purpose}-starter"
        )  # processes die with their thread
        self._all: list[Helper] = []

    def make(self, module: str, *arguments: str, interpret: bool = False, gpu: str | None = None) -> Helper:
        """A helper with a folder of its own; it starts when it is asked, or told to. Arguments as of `Helper`."""
        folder = self._folder / str(len(self._all))
        folder.mkdir()
        folder.chmod(0o755)
        helper = Helper(self._starter, folder, module, *arguments, interpret=interpret, gpu=gpu)
        self._all.append(helper)
        return helper

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._starter.shutdown()  # they die with this thread, and nobody starts others
        for helper in self._all:
            helper.end()
        shutil.rmtree(self._folder, ignore_errors=True)


def ask_untrusted(
    zygote: Helper, request: dict[str, Any], seconds: float, memory_mib: int, what: str, shared: tuple[int, ...] = ()
) -> Outcome:
    """As `run_untrusted`, and once more in a new process where one has died: a host short of memory ends any.

    Args:
        what: is to be isolated, for the error.

    Raises:
        ProcessDiedError: it died twice, or cannot be started.
        RuntimeError: this host cannot isolate it.
    """
    try:
        outcome = run_untrusted(zygote, request, seconds, memory_mib, shared)
    except ProcessDiedError:
        outcome = run_untrusted(zygote, request, seconds, memory_mib, shared)
    if "setup_error" in outcome.report:
        raise RuntimeError(f"{what} cannot be isolated: {outcome.report['setup_error']}; see python -m sandbox doctor")
    return outcome
