"""Wheels, source distributions and tars of repositories, read as they lie: nothing is unpacked and nothing is run."""

import re
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from data_pipeline.licences import licence_of, licence_of_text

MAX_SOURCE_BYTES = 2_000_000
"""Longer Python files are generated tables, not kernels."""
METADATA_FILES = r"^[^/]*\.dist-info/METADATA$|^[^/]*/PKG-INFO$"
PROJECT_FILE = r"^[^/]*/pyproject\.toml$"
LICENCE_IN_WHEEL = r"\.dist-info/(licenses/)?LICEN[SC]E[^/]*$"
LICENCE_IN_TAR = r"^[^/]*/(LICEN[SC]E|COPYING)[^/]*$"
"""Source distributions and tars of repositories have one root folder."""


def python_sources(path: Path, suffix: str = ".py") -> Iterator[tuple[str, str]]:
    """(path inside the archive, text) of every Python file that is UTF-8 and not huge, by path; those in a
    tar lose their root. Another `suffix` gives other text files.
    """
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            for info in sorted(archive.infolist(), key=lambda info: info.filename):
                if info.filename.endswith(suffix) and info.file_size <= MAX_SOURCE_BYTES:
                    yield from _decoded(info.filename, archive.read(info))
        return
    with tarfile.open(path) as archive:
        for member in sorted(archive, key=lambda member: member.name):
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None and member.name.endswith(suffix) and member.size <= MAX_SOURCE_BYTES:
                yield from _decoded(member.name.split("/", 1)[-1], file.read())


def licence(path: Path) -> str:
    """As the metadata state it, else by the licence file; `unknown` if neither says."""
    stated = licence_of(_metadata(path))
    file = LICENCE_IN_WHEEL if path.suffix == ".whl" else LICENCE_IN_TAR
    return stated if stated != "unknown" else licence_of_text(_first(path, file))


def _metadata(path: Path) -> Message:
    """What a package says of itself; of a repository, what its pyproject.toml says of the package that it makes."""
    stated = BytesParser().parsebytes(_first(path, METADATA_FILES), headersonly=True)
    if not stated:
        try:
            project = tomllib.loads(_first(path, PROJECT_FILE).decode()).get("project", {})
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            return stated
        named = project.get("license", "")
        stated["License"] = named if isinstance(named, str) else str(named.get("text", ""))
        for classifier in project.get("classifiers", ()):
            stated["Classifier"] = str(classifier)
    return stated


def _first(path: Path, pattern: str) -> bytes:
    """The first file, by name, whose path matches; empty if none does."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in sorted(archive.namelist()) if re.search(pattern, name)]
            return archive.read(names[0]) if names else b""
    with tarfile.open(path) as archive:
        found = [member for member in archive if member.isfile() and re.search(pattern, member.name)]
        file = archive.extractfile(min(found, key=lambda member: member.name)) if found else None
        return file.read() if file is not None else b""


def _decoded(name: str, data: bytes) -> Iterator[tuple[str, str]]:
    try:
        yield name, data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return
