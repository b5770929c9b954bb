"""What is read from the syntax of kernels: what may wait, what orders itself by atomics, which functions it uses."""

import ast
import importlib
from pathlib import Path

import pytest

from sandbox.kernel_language import LIBDEVICE, LIBDEVICE_MODULES
from sandbox.kernel_source import KernelError, build

HEAD = """
import triton
import triton.language as tl
from triton.language import load as fetch
from triton.language.extra import libdevice

def spin(flag):
    while tl.atomic_cas(flag, 1, 1) != 1:
        pass

def look(flag):
    return tl.load(flag)

def shift(value):
    return value + 1

def kernel(x, n):
    BODY
"""
WAITING = {
    "swap in the condition": "while tl.atomic_cas(x, 0, 1) == 1:\n        pass",
    "load in the loop": "v = 0\n    while v == 0:\n        v = tl.load(x, volatile=True)",
    "through other names": "v = 0\n    w = 0\n    while w == 0:\n        v = tl.load(x)\n        w = v + 1",
    "named before it is set": "v = 0\n    w = 0\n    while w == 0:\n        w = v + 1\n        v += tl.load(x)",
    "by a branch": "v = 0\n    while v == 0:\n        if tl.load(x) > 0:\n            v = 1",
    "renamed load": "while fetch(x) == 0:\n        pass",
    "helper in the condition": "while look(x) == 0:\n        pass",
    "helper that waits": "spin(x)",
    "left by break": "while True:\n        if tl.load(x) > 0:\n            break",
    "inside another loop": "for i in range(n):\n        while tl.load(x + i) == 0:\n            pass",
}
NOT_WAITING = {
    "nothing": "tl.store(x, 1)",
    "counter": "i = 0\n    while i < n:\n        tl.store(x + i, tl.load(x + i) + 1)\n        i += 1",
    "read before": "v = tl.load(x)\n    while tl.max(v, axis=0) > 1:\n        v = v // 2",
    "helper without memory": "i = 0\n    while i < n:\n        i = shift(i)",
    "for": "for i in range(tl.load(x)):\n        tl.store(x + i, 1)",
}
ORDERED = {
    "v = tl.atomic_add(x, 1)\n    tl.store(x + 1, v)": True,
    "if tl.atomic_add(x, 1) == n:\n        tl.store(x + 1, 1)": True,
    "tl.atomic_add(x, 1)": False,
    "v = tl.atomic_add(x, 1)": False,
    "_ = tl.atomic_xchg(x, 1)": False,
}


@pytest.mark.parametrize(
    ("body", "expected"), [*((b, True) for b in WAITING.values()), *((b, False) for b in NOT_WAITING.values())],
    ids=[*WAITING, *NOT_WAITING],
)  # fmt: skip
def test_loops_wait_if_memory_ends_them(body: str, expected: bool) -> None:
    module = build(ast.parse(HEAD.replace("BODY", body)), {"kernel": None}, set())
    assert module.waits == expected
    assert module.synchronises == expected


@pytest.mark.parametrize("body", ORDERED)
def test_programs_order_themselves_by_results_of_atomics_that_are_used(body: str) -> None:
    module = build(ast.parse(HEAD.replace("BODY", body)), {"kernel": None}, set())
    assert module.synchronises == ORDERED[body] and not module.waits


@pytest.mark.parametrize("name", ["quick", "__getattr__", "core", "exp.__globals__"])
def test_libdevice_is_what_triton_defines(name: str) -> None:
    with pytest.raises(KernelError):
        build(ast.parse(HEAD.replace("BODY", f"tl.store(x, libdevice.{name}(1.0))")), {"kernel": None}, set())
    imported = HEAD.replace("import libdevice", "import libdevice\nfrom triton.language.extra.libdevice import quick")
    with pytest.raises(KernelError):
        build(ast.parse(imported.replace("BODY", "tl.store(x, quick(1.0))")), {"kernel": None}, set())


def test_all_of_libdevice_is_known() -> None:
    build(ast.parse(HEAD.replace("BODY", "tl.store(x, libdevice.j0(1.0))")), {"kernel": None}, set())
    for module in LIBDEVICE_MODULES:
        source = ast.parse(Path(importlib.import_module(module).__file__ or "").read_text())
        defined = {n.name for n in source.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")}
        assert defined and defined <= LIBDEVICE
