"""A package of the index as data: downloaded by name and version, read, nothing of it run.

Differs from `pip download` alone: pip builds a source distribution to learn its metadata, which executes the
package's code. Wheels are therefore the only thing pip is asked for; an sdist is read only where it lies in a folder
of PIP_FIND_LINKS already.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlparse

from data_pipeline.archives import licence
from data_pipeline.harvest import harvest_archive
from data_pipeline.sources import Checks, Proposal, SourceUnavailableError
from data_pipeline.task import Provenance

DOWNLOAD_SECONDS = 1800


def package(name: str, version: str, checks: Checks | None = None) -> list[Proposal]:
    """All Triton kernels of NAME==VERSION, sorted by file and line; equal code counts once. Then what pairing makes of
    them, if it may ask `checks`.

    Raises:
        SourceUnavailableError: it cannot be downloaded.
    """
    with tempfile.TemporaryDirectory(prefix="kernelwright-package-") as folder:
        path = download(name, version, Path(folder))
        source = Provenance(origin=f"package:{name}", version=version, licence=licence(path))
        return harvest_archive(path, source, f"pkg-{name}", checks)


def download(name: str, version: str, folder: Path) -> Path:
    """Fetch NAME==VERSION into `folder` with pip, which honours PIP_INDEX_URL, PIP_NO_INDEX and PIP_FIND_LINKS.

    Raises:
        SourceUnavailableError: no wheel of that version can be had, nor an sdist from PIP_FIND_LINKS.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--dest", str(folder), f"{name}=={version}"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False)
    found = _matching(folder, name, version, ".whl") if answer.returncode == 0 else None
    path = found or _local_sdist(name, version)
    if path is None:
        errors = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
        raise SourceUnavailableError(
            f"cannot obtain {name}=={version} from the package index: {' '.join(errors) or answer.stderr[-500:]} "
            f"Check name and version in data.packages, or the network; offline, put its wheel or sdist into a folder "
            f"and set PIP_FIND_LINKS to it, or leave the package out with data.packages=[]"
        )
    return path


def _matching(folder: Path, name: str, version: str, suffix: str) -> Path | None:
    start = _normal(name) + "-" + version.lower()
    files = (path for path in sorted(folder.iterdir()) if path.name.endswith(suffix))
    return next(
        (f for f in files if re.match(rf"{re.escape(start)}(-|{re.escape(suffix)})", _normal_file(f.name))), None
    )


def _local_sdist(name: str, version: str) -> Path | None:
    for link in os.environ.get("PIP_FIND_LINKS", "").split():
        folder = Path(unquote(urlparse(link).path) if link.startswith("file:") else link)
        found = _matching(folder, name, version, ".tar.gz") if folder.is_dir() else None
        if found:
            return found
    return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _normal_file(name: str) -> str:
    """`Liger.Kernel-0.8.5-…` → `liger_kernel-0.8.5-…`: only the distribution name is normalised."""
    project, dash, rest = name.partition("-")
    while rest and not rest[0].isdigit():
        more, dash, rest = rest.partition("-")
        project += "_" + more
    return _normal(project) + dash + rest.lower()
