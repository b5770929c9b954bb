"""What the host looks like around a run: processes, memory, descriptors, files, GPU memory and use. Linux only."""

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.gpu_pool import visible_gpus
from sandbox.jail.isolation import FIRST_UID, NOBODY
from sandbox.types import Record

MARK = "kernelwright_was_here"
"""Part of the name of every file that an exploit tries to leave."""
SAMPLE_SECONDS = 0.2


class Snapshot(Record):
    """The host at one moment."""

    processes: int
    """Descendants of this process."""
    rss_mib: float
    """Resident memory of this process, the supervisor."""
    descendants_mib: float
    """Resident anonymous memory of its descendants, of which those forked from one another share a part."""
    descriptors: int
    """Open file descriptors of this process."""
    files: int
    """Files below the run's temporary folder."""
    gpu_mib: float | None
    """GPU memory in use on the GPUs that this process may use; None without NVML."""


def snapshot(folder: Path) -> Snapshot:
    """The host now, with the files of `folder`."""
    below = descendants(os.getpid())
    return Snapshot(
        processes=len(below),
        rss_mib=_mib(os.getpid(), "VmRSS"),
        descendants_mib=sum(_mib(process, "RssAnon") for process in below),
        descriptors=len(os.listdir("/proc/self/fd")),  # noqa: PTH208  (a Path per entry would open more)
        files=sum(len(files) for _, _, files in os.walk(folder)),
        gpu_mib=gpu_mib(),
    )


def _mib(process: int, field: str) -> float:
    """A field of a process's status in MiB; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)


def descendants(root: int) -> list[int]:
    """Process ids below `root`, however deep."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def processes_of(folder: Path) -> list[int]:
    """Processes whose temporary folder is `folder` or below it, this one aside: a sandbox's, orphans too."""
    setting, found = f"TMPDIR={folder}".encode(), []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
            if any(entry == setting or entry.startswith(setting + b"/") for entry in environment):
                found.append(int(process.name))
    return found


def wait_for_end(folder: Path, seconds: float = 5.0) -> list[int]:
    """Killed processes need a moment until they are gone. Returns those that are still there after `seconds`."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def strangers(*folders: Path) -> set[Path]:
    """Files that an exploit would have left had it been able to write there."""
    roots = [Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path.home(), Path.cwd(), *folders]
    roots += [Path.home() / ".triton" / "cache", *(Path(path) for path in sys.path if path.endswith("-packages"))]
    found = {path for root in roots if root.is_dir() for path in root.glob(f"*{MARK}*")}
    with contextlib.suppress(FileNotFoundError):
        shared = list(Path("/dev/shm").iterdir())
        found |= {path for path in shared if (uid := path.lstat().st_uid) == NOBODY or uid >= FIRST_UID}
    return found


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A temporary folder for everything that is started inside, so that what it leaves can be told from the rest."""
    before = os.environ.get("TMPDIR")
    folder = Path(tempfile.mkdtemp(prefix="kernelwright-bench-"))
    folder.chmod(0o755)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    try:
        yield folder
    finally:
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before
        tempfile.tempdir = None
        with contextlib.suppress(OSError):  # not empty: a finding of the soak, left for whoever looks into it
            folder.rmdir()


def nvml() -> tuple[Any, str]:
    """The initialised NVML module and "", or None and why there is none."""
    try:
        module = import_module("pynvml")
    except ImportError:
        return None, "nvidia-ml-py is not installed (pip install nvidia-ml-py)"
    try:
        module.nvmlInit()
    except module.NVMLError as error:
        return None, f"NVML does not start: {error}"
    return module, ""


def _handles(module: Any) -> list[Any]:
    """NVML's handles of the GPUs that this process may use: CUDA_VISIBLE_DEVICES has numbers, or UUIDs' beginnings."""
    count = module.nvmlDeviceGetCount()
    known = [module.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
    named = {str(number): handle for number, handle in enumerate(known)}
    by_uuid = {module.nvmlDeviceGetUUID(handle): handle for handle in known}
    found = [named.get(name) or next((h for u, h in by_uuid.items() if u.startswith(name)), None)
             for name in visible_gpus()]  # fmt: skip
    return [handle for handle in found if handle is not None]


def gpu_mib() -> float | None:
    """GPU memory in use on the GPUs that this process may use, in MiB."""
    module, _ = nvml()
    if module is None:
        return None
    return float(sum(module.nvmlDeviceGetMemoryInfo(handle).used for handle in _handles(module)) / 2**20)


class GpuUse:
    """Samples how busy the first `gpus` GPUs are while the block runs. NVML's number is the share of its last window
    (a sixth of a second to a second) in which any kernel ran.
    """

    def __init__(self, gpus: int) -> None:
        self.gpus, self.busy, self.reason = gpus, list[float](), ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="gpu-use")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def idle_share(self) -> float | None:
        """Mean share of time without a running kernel; None (and a `reason`) if it could not be measured."""
        return 1.0 - sum(self.busy) / len(self.busy) if self.busy else None

    def _sample(self) -> None:
        module, self.reason = nvml() if self.gpus else (None, "there is no GPU")
        if module is None:
            return
        handles = _handles(module)[: self.gpus]
        while not self._stop.wait(SAMPLE_SECONDS):
            rates = [module.nvmlDeviceGetUtilizationRates(handle).gpu / 100 for handle in handles]
            self.busy.append(sum(rates) / len(rates))
        self.reason = "" if self.busy else "the run was shorter than one sample"
