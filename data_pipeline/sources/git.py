"""A git repository as data: one commit fetched without its history, read as a tar, never checked out and never run."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from data_pipeline.archives import licence
from data_pipeline.harvest import harvest_archive
from data_pipeline.sources import Checks, Proposal, SourceUnavailableError
from data_pipeline.task import Provenance

FETCH_SECONDS = 1800
QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
"""A repository that asks for a password is one that cannot be had; large files are no kernels."""


def git(url: str, revision: str, checks: Checks | None = None) -> list[Proposal]:
    """All Triton kernels of a repository, sorted by file and line; equal code counts once. Then what pairing makes of
    them, if it may ask `checks`.

    Args:
        url: anything that `git fetch` understands: the folder of a clone too.
        revision: a branch, a tag or a full commit; what it is at the time is written down as the version.

    Raises:
        SourceUnavailableError: there is no git, no such repository or revision, or no network.
    """
    with tempfile.TemporaryDirectory(prefix="kernelwright-git-") as name:
        folder = Path(name)
        place = str(Path(url).resolve()) if Path(url).is_dir() else url
        _run(url, revision, "init", "--quiet", "--bare", name)
        _run(url, revision, "-C", name, "fetch", "--quiet", "--depth", "1", "--", place, revision)
        commit = _run(url, revision, "-C", name, "rev-parse", "FETCH_HEAD^{commit}").strip()
        tar = folder / "files.tar"
        _run(url, revision, "-C", name, "archive", "--prefix=root/", f"--output={tar}", commit)
        source = Provenance(origin=f"git:{url}", version=commit, licence=licence(tar))
        label = re.sub(r"\W+", "-", url.rstrip("/").removesuffix(".git").rpartition("/")[2])
        return harvest_archive(tar, source, f"git-{label}", checks)


def _run(url: str, revision: str, *arguments: str) -> str:
    cure = (
        f"Check url={url} and revision={revision} in data.git, or the network; offline, give the folder of a clone as "
        "url, or leave the repository out with data.git=[]"
    )
    try:
        answer = subprocess.run(
            ("git", *arguments), capture_output=True, text=True, timeout=FETCH_SECONDS, check=False,
            env={**os.environ, **QUIET},
        )  # fmt: skip
    except FileNotFoundError as error:
        raise SourceUnavailableError(f"there is no git on this machine; install it. {cure}") from error
    except subprocess.TimeoutExpired as error:
        raise SourceUnavailableError(f"git gave no answer within {FETCH_SECONDS} s. {cure}") from error
    if answer.returncode:
        raise SourceUnavailableError(f"git cannot fetch {url} at {revision}: {answer.stderr.strip()[-500:]} {cure}")
    return answer.stdout
