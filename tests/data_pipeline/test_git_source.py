"""A repository is fetched as one commit and read: nothing is checked out, nothing is run."""

import subprocess
from pathlib import Path

import pytest

from data_pipeline.sources import SourceUnavailableError
from data_pipeline.sources.git import git

KERNEL = """raise SystemExit("this module must never be imported")
import triton
import triton.language as tl

@triton.jit
def scale(X, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(X + at, tl.load(X + at, mask=at < n) * {factor}, mask=at < n)

def launch(x):
    scale[(1,)](x, 4, BLOCK=8)
"""
MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\n"


def run(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    run(folder, "add", "-A")
    run(folder, "commit", "--quiet", "-m", "more")
    return run(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "my-kernels.git"
    folder.mkdir()
    run(folder, "init", "--quiet", "--initial-branch=trunk")
    commit(folder, {"ops/scale.py": KERNEL.format(factor=2), "LICENSE": MIT})
    return folder


def test_a_commit_is_read_with_its_licence(repository: Path) -> None:
    first = run(repository, "rev-parse", "HEAD")
    second = commit(repository, {"ops/scale.py": KERNEL.format(factor=3)})
    (kernel,) = git(str(repository), "trunk")
    assert kernel.source.origin == f"git:{repository}" and kernel.source.version == second
    assert (kernel.source.path, kernel.source.licence) == ("ops/scale.py:6", "MIT")
    assert kernel.id.startswith("git-my-kernels-") and "* 3" in kernel.code and len(kernel.launchers) == 1
    (earlier,) = git(str(repository), first)
    assert earlier.source.version == first and "* 2" in earlier.code


def test_a_tag_of_a_url(repository: Path) -> None:
    tagged = run(repository, "rev-parse", "HEAD")
    run(repository, "tag", "-a", "v1", "-m", "one")
    commit(repository, {"ops/scale.py": KERNEL.format(factor=3)})
    (kernel,) = git(repository.as_uri(), "v1")
    assert kernel.source.version == tagged and "* 2" in kernel.code


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"LICENSE": "All rights reserved."}, "unknown"),
        ({"LICENSE": "x", "pyproject.toml": '[project]\nlicense = "BSD-3-Clause"\n'}, "BSD-3-Clause"),
        (
            {"LICENSE": "Apache License\nVersion 2.0", "pyproject.toml": '[project]\nlicense = {file = "x"}\n'},
            "Apache-2.0",
        ),
        ({"LICENSE": MIT, "pyproject.toml": "[project"}, "MIT"),
        ({"LICENSE": "x", "docs/LICENSE": MIT}, "unknown"),
    ],
)
def test_licences(repository: Path, files: dict[str, str], expected: str) -> None:
    commit(repository, files)
    (kernel,) = git(str(repository), "trunk")
    assert kernel.source.licence == expected


@pytest.mark.parametrize(("url", "revision"), [("{there}", "no-such-branch"), ("{there}-gone", "trunk"), ("-x", "-y")])
def test_what_cannot_be_had_names_itself_and_the_cure(repository: Path, url: str, revision: str) -> None:
    url = url.format(there=repository)
    with pytest.raises(SourceUnavailableError) as caught:
        git(url, revision)
    for part in (url, revision, "data.git"):
        assert part in str(caught.value)


def test_no_git_is_said(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceUnavailableError, match="no git on this machine"):
        git(str(repository), "trunk")
