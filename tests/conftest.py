"""One sandbox for the whole session, and the check that it leaves nothing behind."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import corpus
import pytest

from sandbox.local import LocalSandbox

MARK = "kernelwright_was_here"
"""Part of the name of every file that an exploit tries to leave."""
NOBODY = 65534


@pytest.fixture(scope="session")
def sandbox() -> Iterator[LocalSandbox]:
    """A sandbox whose temporary folder is its own, so that what it leaves can be told from what others do."""
    folder = Path(tempfile.mkdtemp(prefix="kernelwright-tests-"))
    folder.chmod(0o755)
    before = strangers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        shared = LocalSandbox(workers=2)
        yield shared
        shared.close()
    wait_for_end(folder)
    survivors = processes_with(f"TMPDIR={folder}")
    left, marked = list(folder.iterdir()), strangers() - before
    assert not survivors, f"processes outlive the sandbox: {survivors}"
    assert not left, f"the sandbox leaves files: {left}"
    assert not marked, f"candidates wrote outside: {sorted(map(str, marked))}"
    folder.rmdir()


def strangers() -> set[Path]:
    """Files that an exploit would have left had it been able to write there."""
    roots = [Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path.home(), Path.cwd(), corpus.HERE.parent]
    roots += [Path.home() / ".triton" / "cache", *(Path(path) for path in sys.path if path.endswith("-packages"))]
    found = {path for root in roots if root.is_dir() for path in root.glob(f"*{MARK}*")}
    return found | {path for path in Path("/dev/shm").iterdir() if path.lstat().st_uid == NOBODY}


def wait_for_end(folder: Path, seconds: float = 5.0) -> None:
    """Killed processes need a moment until they are gone."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and processes_with(f"TMPDIR={folder}"):
        time.sleep(0.05)


def processes_with(setting: str) -> list[int]:
    """Processes that were started with `setting` in their environment, this one aside."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
            if setting.encode() in environment:
                found.append(int(process.name))
    return found
