"""Packages as data: download a wheel or sdist by name and version, read its sources and licence, run nothing of it.

Differs from `pip download` alone: pip builds a source distribution to learn its metadata, which executes the
package's code. Wheels are therefore the only thing pip is asked for; an sdist is read only where it lies in a folder
of PIP_FIND_LINKS already.
"""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from urllib.parse import unquote, urlparse

from sandbox.types import Record

MAX_SOURCE_BYTES = 2_000_000
"""Longer Python files are generated tables, not kernels."""
DOWNLOAD_SECONDS = 1800
TITLE_CHARS, BODY_CHARS = 200, 3000
"""Of a licence file: its title, where it has one, and what tells it apart without one."""

# Matched against the whole of the old free-text fields, most specific first.
LICENCE_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"apache.{0,40}2|apache", "Apache-2.0"),
    (r"bsd.{0,3}3|3.clause bsd|new bsd|modified bsd", "BSD-3-Clause"),
    (r"bsd.{0,3}2|2.clause bsd|simplified bsd", "BSD-2-Clause"),
    (r"\bbsd\b", "BSD-3-Clause"),  # the classifier names no version; this is the stricter of the two in use
    (r"lgpl.{0,40}3|lesser general public.{0,40}3", "LGPL-3.0-or-later"),
    (r"agpl|affero", "AGPL-3.0-or-later"),
    (r"mpl.{0,3}2|mozilla public.{0,20}2", "MPL-2.0"),
    (r"\bmit\b", "MIT"),
    (r"\bisc\b", "ISC"),
    (r"unlicense", "Unlicense"),
)
LICENCE_PHRASES = (
    (r"permission is hereby granted, free of charge", "MIT"),
    (r"redistribution and use in source and binary forms.*neither the name", "BSD-3-Clause"),
    (r"redistribution and use in source and binary forms", "BSD-2-Clause"),
)


class Archive(Record):
    """A package as it came from the index."""

    name: str
    version: str
    path: Path
    licence: str
    """SPDX expression where the metadata allow one; else the text they give, or `unknown`."""


class PackageUnavailableError(RuntimeError):
    """The package cannot be obtained; the message says which and what to do."""


def download(name: str, version: str, folder: Path) -> Archive:
    """Fetch NAME==VERSION into `folder` with pip, which honours PIP_INDEX_URL, PIP_NO_INDEX and PIP_FIND_LINKS.

    Raises:
        PackageUnavailableError: no wheel of that version can be had, nor an sdist from PIP_FIND_LINKS.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--dest", str(folder), f"{name}=={version}"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False)
    found = _matching(folder, name, version, ".whl") if answer.returncode == 0 else None
    path = found or _local_sdist(name, version)
    if path is None:
        errors = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
        raise PackageUnavailableError(
            f"cannot obtain {name}=={version} from the package index: {' '.join(errors) or answer.stderr[-500:]} "
            f"Check name and version in data.packages, or the network; offline, put its wheel or sdist into a folder "
            f"and set PIP_FIND_LINKS to it, or leave the package out with data.packages=[]"
        )
    licence = licence_of(_metadata(path))
    return Archive(
        name=name, version=version, path=path, licence=licence if licence != "unknown" else enclosed_licence(path)
    )


def python_sources(path: Path, suffix: str = ".py") -> Iterator[tuple[str, str]]:
    """(path inside the archive, text) of every Python file that is UTF-8 and not huge, by path; sdist paths lose their
    root. Another `suffix` gives other text files.
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


def licence_of(metadata: Message) -> str:
    """SPDX identifier from License-Expression, else from License and the classifiers, else what they say."""
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression).strip()
    stated = str(metadata.get("License") or "").strip()
    classifiers = [
        c.split("::")[-1].strip() for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")
    ]
    # The first line of a pasted licence text is its title; its body may mention other licences.
    for text in (stated.split("\n", 1)[0], *classifiers):
        for pattern, identifier in LICENCE_PATTERNS:
            if re.search(pattern, text.lower()):
                return identifier
    return stated.split("\n", 1)[0][:80] or ", ".join(classifiers) or "unknown"


def enclosed_licence(path: Path) -> str:
    """By the title of the licence file in a wheel whose metadata say nothing; `unknown` without one."""
    if path.suffix != ".whl":
        return "unknown"
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if re.search(r"\.dist-info/(licenses/)?LICEN[SC]E[^/]*$", n)]
        text = archive.read(names[0]).decode("utf-8", "replace").lower() if names else ""
    title = next((found for pattern, found in LICENCE_PATTERNS if re.search(pattern, text[:TITLE_CHARS])), None)
    words = " ".join(text[:BODY_CHARS].split())
    return title or next((found for phrase, found in LICENCE_PHRASES if re.search(phrase, words)), "unknown")


def _decoded(name: str, data: bytes) -> Iterator[tuple[str, str]]:
    try:
        yield name, data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return


def _metadata(path: Path) -> Message:
    parser = BytesParser()
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith(".dist-info/METADATA")]
            return parser.parsebytes(archive.read(names[0]), headersonly=True) if names else Message()
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None and member.name.count("/") == 1 and member.name.endswith("/PKG-INFO"):
                return parser.parsebytes(file.read(), headersonly=True)
    return Message()


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
