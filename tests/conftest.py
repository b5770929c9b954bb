"""One sandbox for the whole session, and the check that it leaves nothing behind."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.bench import corpus, host
from sandbox.local import LocalSandbox

for library in ("OMP", "MKL", "OPENBLAS"):  # each test process has a core; a second thread would wait for the others'
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def sandbox() -> Iterator[LocalSandbox]:
    """A sandbox whose temporary folder is its own, so that what it leaves can be told from what others do."""
    folder = Path(tempfile.mkdtemp(prefix="kernelwright-tests-"))
    folder.chmod(0o755)
    before = host.strangers(corpus.HERE.parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        shared = LocalSandbox(workers=2)
    yield shared
    shared.close()
    survivors = host.wait_for_end(folder)
    left, marked = list(folder.iterdir()), host.strangers(corpus.HERE.parent) - before
    assert not survivors, f"processes outlive the sandbox: {survivors}"
    assert not left, f"the sandbox leaves files: {left}"
    assert not marked, f"candidates wrote outside: {sorted(map(str, marked))}"
    folder.rmdir()
