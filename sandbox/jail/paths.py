"""What of the host's files a jail shows: what Python, torch and compilers read, and what is mounted inside of it."""

import functools
import re
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path


@functools.cache
def readable_paths() -> tuple[Path, ...]:
    """What Python, torch, Triton and its bundled compilers need to read; never the project, home or /tmp. Found once:
    a warm process asks before it forks.
    """
    stdlib = {sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    packages = {
        str(Path(module.__file__).parent.parent)
        for name in ("torch", "triton", "numpy")
        if (module := sys.modules.get(name)) is not None and module.__file__
    }
    system = {"/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache"}
    wanted = {Path(p) for p in (*stdlib, *packages, *system, f"{sys.base_prefix}/lib", f"{sys.base_prefix}/bin")}
    return tuple(sorted({path for path in wanted if path.exists()}, key=lambda path: len(path.parts)))


def mounts_below(folders: Iterable[Path]) -> list[Path]:
    """What is mounted inside these folders, outermost first: a bind mount does not take it along. Containers get a
    driver's libraries so.
    """
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    places = {Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4])) for line in lines}
    real = [folder for folder in folders if folder.is_dir() and not folder.is_symlink()]
    found = {place for place in places if place.exists() and any(folder in place.parents for folder in real)}
    return sorted(found, key=lambda place: len(place.parts))
