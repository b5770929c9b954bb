"""What is mounted inside a folder that a GPU's jail shows is in the jail too, read-only, and nothing else is new."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.jail.paths import mounts_below, readable_paths

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, os, sys, tempfile
from pathlib import Path
import numpy, torch, triton  # what the jail keeps readable
from sandbox.jail import isolation

driver, point = Path(sys.argv[1]), Path(tempfile.mkdtemp())
isolation.unshare(0x00020000)
isolation._mount("none", "/", None, isolation._MS_REC | isolation._MS_PRIVATE)
isolation._mount("tmpfs", str(driver), "tmpfs", 0)
(driver / "libcuda.so.1").write_text("a library")
point.chmod(0o777)
if os.fork() == 0:
    layers = isolation.available(point)
    assert "private root" in layers, "this host cannot isolate; see sandbox doctor"
    jail = isolation.Jail(layers, point, sys.argv[2])
    jail.prepare()
    if os.fork() == 0:
        jail.enter(memory_mib=512, cpu_seconds=20)
        seen = [str(path) for path in driver.iterdir()]
        try:
            (driver / "mine").write_text("x")
        except OSError as error:
            seen.append(type(error).__name__)
        os.write(1, json.dumps(seen).encode())
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
@pytest.mark.parametrize(("profile", "shown"), [("replay", True), ("run", False)])
def test_a_driver_mounted_into_a_container_is_shown(profile: str, shown: bool) -> None:
    """Mounted on a folder that every system has and none of this needs, in a mount namespace of the test's own."""
    driver = Path("/usr/local/share")
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(driver), profile],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "TMPDIR": "/tmp"},
    )  # fmt: skip
    assert answer.returncode == 0 and answer.stdout, answer.stderr
    seen = json.loads(answer.stdout)
    assert (f"{driver}/libcuda.so.1" in seen) == shown, seen
    assert any(name.endswith("Error") for name in seen), "it is read-only"


def test_only_mounts_inside_of_folders_count() -> None:
    found = mounts_below([Path("/")])
    assert Path("/proc") in found and Path("/") not in found
    assert not [path for path in mounts_below(readable_paths()) if path.is_relative_to("/proc")]
