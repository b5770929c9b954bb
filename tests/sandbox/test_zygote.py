"""The warm process that forks: what makes forking cheap."""

import subprocess
import sys
from pathlib import Path

import pytest

SHARE = """
from pathlib import Path
from sandbox.jail import zygote

def huge():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("AnonHugePages")).split()[1]) >> 10

heap = [bytearray(b"x" * (1 << 20)) for _ in range(64)]
before = huge()
zygote._use_huge_pages()
assert all(part == b"x" * (1 << 20) for part in heap)
print(huge() - before)
"""


def test_a_warm_heap_lies_on_huge_pages() -> None:
    version = tuple(map(int, Path("/proc/sys/kernel/osrelease").read_text().split("-")[0].split(".")[:2]))
    if version < (6, 1) or not Path("/sys/kernel/mm/transparent_hugepage").exists():
        pytest.skip("this kernel has no huge pages on demand")
    done = subprocess.run([sys.executable, "-c", SHARE], check=True, capture_output=True, text=True)
    assert int(done.stdout) > 0  # MiB; how many depends on the free memory of the host
