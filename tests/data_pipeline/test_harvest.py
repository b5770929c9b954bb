"""Harvest reads a package without running it. The wheel is built here: no network is needed."""

import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from data_pipeline.archives import licence
from data_pipeline.licences import licence_of
from data_pipeline.sources import SourceUnavailableError
from data_pipeline.sources.package import download, package
from data_pipeline.task import Kernel

KERNELS = """
import os
raise SystemExit("this module must never be imported")

import triton
import triton.language as tl
from triton import jit as fast

SCALE: tl.constexpr = 2.0
OFFSET = SCALE + 1
UNUSED = 3

@triton.jit
def helper(x):
    return deeper(x) * OFFSET

@triton.jit
def deeper(x):
    return x + 1

@triton.autotune(configs=[triton.Config({"BLOCK": 64})], key=["n"])
@triton.heuristics({"EVEN": lambda args: args["n"] % 64 == 0})
@triton.jit
def add(X, Y, n, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    tl.store(Y, helper(tl.load(X)))

if os.environ.get("X"):
    try:
        @triton.jit(do_not_specialize=["n"])
        def nested(X, n):
            tl.store(X, 0.0)
    except ImportError:
        nested = None

@fast
def renamed(X):
    tl.store(X, 1.0)

def jit(f):
    return f

@jit
def not_a_kernel(X):
    return X

def launch_add(x):
    add[(1,)](x, x, 4)

class Op:
    @staticmethod
    def forward(ctx, x):
        kernel = nested if x.ndim == 1 else add
        kernel[lambda meta: (triton.cdiv(4, meta["BLOCK"]),)](x, 4)

def launches_nothing(x):
    return add
"""
ELSEWHERE = """
import triton
from ._kernels import renamed as other_name
from demo.pkg import _kernels

def from_another_file(x):
    other_name[(2,)](x)
"""
METADATA = "Metadata-Version: 2.4\nName: demo-kernels\nVersion: 1.0\nLicense: MIT License\n"


def build_wheel(folder: Path, metadata: str = METADATA) -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "demo_kernels-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("demo/pkg/_kernels.py", KERNELS)
        wheel.writestr("demo/pkg/copy.py", KERNELS)
        wheel.writestr("demo/pkg/launch.py", ELSEWHERE)
        wheel.writestr("demo/pkg/broken.py", "import triton\nkernel[ = syntax error")
        wheel.writestr("demo/pkg/latin.py", b"# triton[ \xff\xfe")
        wheel.writestr("demo_kernels-1.0.dist-info/METADATA", metadata)
        wheel.writestr(
            "demo_kernels-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("demo_kernels-1.0.dist-info/RECORD", "")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip can see."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def kernels(offline: Path) -> dict[str, Kernel]:
    build_wheel(offline)
    return {kernel.name: kernel for kernel in package("demo-kernels", "1.0")}


def test_finds_every_kernel_once(kernels: dict[str, Kernel]) -> None:
    assert set(kernels) == {"helper", "deeper", "add", "nested", "renamed"}
    assert all(kernel.kind == "text" for kernel in kernels.values())


def test_brings_helpers_and_constants(kernels: dict[str, Kernel]) -> None:
    code = kernels["add"].code
    for part in ("SCALE: tl.constexpr = 2.0", "OFFSET = SCALE + 1", "def helper", "def deeper", "@triton.autotune"):
        assert part in code
    assert "UNUSED" not in code and code.index("def deeper") < code.index("def add")
    assert kernels["nested"].code.startswith("@triton.jit(do_not_specialize"), "dedented"


def test_finds_launchers(kernels: dict[str, Kernel]) -> None:
    assert [text.split("(")[0].split()[-1] for text in kernels["add"].launchers] == ["launch_add", "forward"]
    assert len(kernels["nested"].launchers) == 1 and "@staticmethod" in kernels["nested"].launchers[0]
    assert len(kernels["renamed"].launchers) == 1 and "from_another_file" in kernels["renamed"].launchers[0]
    assert kernels["helper"].launchers == ()


def test_says_where_it_came_from(kernels: dict[str, Kernel]) -> None:
    source = kernels["renamed"].source
    assert (source.origin, source.version, source.licence) == ("package:demo-kernels", "1.0", "MIT")
    file, line = source.path.split(":")
    assert file == "demo/pkg/_kernels.py"
    assert KERNELS.splitlines()[int(line) - 1].startswith("def renamed")


def test_sdist_is_read_and_not_built(offline: Path, tmp_path: Path) -> None:
    root = tmp_path / "src"
    (root / "demo").mkdir(parents=True)
    (root / "demo" / "k.py").write_text(KERNELS)
    (root / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (root / "PKG-INFO").write_text(METADATA)
    with tarfile.open(offline / "demo-kernels-1.0.tar.gz", "w:gz") as archive:
        archive.add(root, "demo-kernels-1.0")
    found = package("demo_kernels", "1.0")
    assert {kernel.name for kernel in found} >= {"add", "nested"}
    assert found[0].source.path.startswith("demo/k.py:") and found[0].source.licence == "MIT"
    assert not (tmp_path / "ran").exists()


def test_unobtainable_package_names_itself_and_the_cure(offline: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError) as caught:
        download("no-such-kernels", "9.9", tmp_path / "down")
    for part in ("no-such-kernels==9.9", "data.packages", "PIP_FIND_LINKS"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"License-Expression": "Apache-2.0 AND MIT"}, "Apache-2.0 AND MIT"),
        ({"License": "BSD 2-CLAUSE LICENSE\n  Copyright ... the Apache ..."}, "BSD-2-Clause"),
        ({"License": "Apache License, Version 2.0"}, "Apache-2.0"),
        ({"Classifier": "License :: OSI Approved :: BSD 3-Clause License"}, "BSD-3-Clause"),
        ({"Classifier": "License :: OSI Approved :: MIT License"}, "MIT"),
        ({"License": "Ours alone"}, "Ours alone"),
        ({}, "unknown"),
    ],
)
def test_licences(headers: dict[str, str], expected: str) -> None:
    metadata = Message()
    for key, value in headers.items():
        metadata[key] = value
    assert licence_of(metadata) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Apache License\nVersion 2.0, January 2004\n", "Apache-2.0"),
        ("Copyright 2024 X\n\nPermission is hereby granted, free of\ncharge, to any person", "MIT"),
        ("Copyright X\n" + "x " * 200 + "Redistribution and use in source and binary forms …", "BSD-2-Clause"),
        ("Copyright\nRedistribution and use in source and binary forms … Neither the name of", "BSD-3-Clause"),
        ("All rights reserved.", "unknown"),
    ],
)
def test_licence_file_where_metadata_say_nothing(text: str, expected: str, tmp_path: Path) -> None:
    wheel = tmp_path / "p-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("p-1.dist-info/METADATA", "Name: p\n")
        archive.writestr("p-1.dist-info/licenses/LICENSE.txt", text)
    assert licence(wheel) == expected


def test_needs_no_torch() -> None:
    """The supervisor imports these; torch there would cost seconds and memory in every run."""
    modules = "admit archives build extract harvest probe prompt sources.hub splits store task verify synthetic".split()
    code = (
        "import sys\n" + "".join(f"import data_pipeline.{m}\n" for m in modules) + "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
