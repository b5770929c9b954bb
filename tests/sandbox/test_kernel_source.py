"""What is read from the syntax of kernels: what may wait, what orders itself by atomics, which functions it uses."""

import ast
import importlib
import time
from pathlib import Path

import pytest

from sandbox.kernels.language import LIBDEVICE, LIBDEVICE_MODULES
from sandbox.kernels.request import Modules
from sandbox.kernels.source import build
from sandbox.kernels.text import KernelError
from sandbox.plans.plan import MAX_KERNELS

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
    "named in the loop": "v = 0\n    while v == 0:\n        tl.store(x, (v := tl.load(x)))",
    "by a comprehension": "v = (0,)\n    while v[0] == 0:\n        v = [w for w in (tl.load(x),)]",
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


def nested(loops: int, statements: int) -> str:
    depth = 2 * loops
    lines = [f"{' ' * level}{('while', 'if')[level % 2]} n:" for level in range(depth)]
    return "\n    ".join([*lines, " " * depth + ";".join(["n = n + n"] * statements)])


@pytest.mark.parametrize(("loops", "statements", "said"), [(20, 2000, "nest loops"), (45, 12000, "written out")])
def test_no_kernel_keeps_the_supervisor_busy(loops: int, statements: int, said: str) -> None:
    tree = ast.parse(HEAD.replace("BODY", nested(loops, statements)))
    started = time.process_time()
    with pytest.raises(KernelError, match=said):
        build(tree, {"kernel": None}, set())
    assert time.process_time() - started < 20
    assert build(ast.parse(HEAD.replace("BODY", nested(4, 200))), {"kernel": None}, set()).functions == ("kernel",)


def test_a_file_is_written_out_in_so_many_ways_only() -> None:
    modules = Modules(ast.parse("\n".join(f"def k{n}():\n    pass" for n in range(MAX_KERNELS + 1))))
    for number in range(MAX_KERNELS):
        modules.build({f"k{number}": None}, set())
    modules.build({"k0": None}, set())
    with pytest.raises(KernelError, match="different sets"):
        modules.build({f"k{MAX_KERNELS}": None}, set())


@pytest.mark.parametrize("body", ORDERED)
def test_programs_order_themselves_by_results_of_atomics_that_are_used(body: str) -> None:
    module = build(ast.parse(HEAD.replace("BODY", body)), {"kernel": None}, set())
    assert module.synchronises == ORDERED[body] and not module.waits


TWINS = "import triton\n@triton.jit\ndef kernel():\n    called(1)\n@triton.jit\ndef kernel():\n    called(2)\n"
CALLED = "if 0:\n    @jit\n    def called(n):\n        return n\nelse:\n    @jit\n    def called(n):\n        n + n"


def test_of_several_functions_of_a_name_the_plan_says_which() -> None:
    tree = ast.parse(TWINS + CALLED)
    assert "called(2)" in build(tree, {"kernel": 5}, set(), {"called": 9}).source
    source = build(tree, {"kernel": 2}, set(), {"called": 13}).source
    assert "called(1)" in source and "n + n" in source
    for launched, lines in (({"kernel": None}, {"called": 9}), ({"kernel": 3}, {"called": 9}), ({"kernel": 2}, {})):
        with pytest.raises(KernelError, match="more than once"):
            build(tree, launched, set(), lines)
    with pytest.raises(KernelError, match="not the function of that name"):
        build(ast.parse(HEAD.replace("BODY", "pass")), {"kernel": 1}, set())


def test_what_a_name_stands_for_in_the_language_is_told() -> None:
    tree = ast.parse(HEAD.replace("BODY", "tl.store(x, exp(1.0))") + "\n@triton.jit\ndef exp(n):\n    return n")
    assert build(tree, {"kernel": None}, set()).functions == ("exp", "kernel")
    module = build(tree, {"kernel": None}, set(), {"exp": "triton.language.math:exp"})
    assert module.functions == ("kernel",) and module.aliases["exp"] == "triton.language.math:exp"
    for path in (
        "triton.language.core:exp",
        "triton.runtime:jit",
        "os:system",
        "triton.language:inline_asm_elementwise",
    ):
        with pytest.raises(KernelError, match="not part of the public Triton language"):
            build(tree, {"kernel": None}, set(), {"exp": path})
    with pytest.raises(KernelError):
        own = ast.parse(HEAD.replace("BODY", "tl.store(x, __builtins__)"))
        build(own, {"kernel": None}, set(), {"__builtins__": "triton.language.math"})


def test_functions_that_are_passed_keep_their_defaults() -> None:
    tree = ast.parse(HEAD.replace("BODY", "pass") + "\n@triton.jit\ndef act(x, low=0.5):\n    return x")
    assert "low=0.5" in build(tree, {"kernel": None}, set(), passed={"act"}).source
    assert "low=0.5" not in build(tree, {"kernel": None, "act": None}, set()).source


def test_what_is_evaluated_while_compiling_is_no_kernel() -> None:
    helper = "\n@triton.constexpr_function\ndef width(n):\n    BODY\n"
    tree = ast.parse(HEAD.replace("BODY", "tl.arange(0, width(3))") + helper.replace("BODY", "return n"))
    module = build(tree, {"kernel": None}, set())
    assert (module.functions, module.compile_time, [*module.signatures]) == (("kernel",), ("width",), ["kernel"])
    with pytest.raises(KernelError, match="cannot be launched"):
        build(tree, {"width": None}, set())
    with pytest.raises(KernelError):
        host = helper.replace("BODY", "return tl.core.builtins")
        build(ast.parse(HEAD.replace("BODY", "width(3)") + host), {"kernel": None}, set())


def test_what_cannot_be_written_as_checked_is_refused() -> None:
    formatted = r'tl.static_assert(True, f"{1:\x7btl.core\x7d}")'
    with pytest.raises(KernelError, match="written out again"):
        build(ast.parse(HEAD.replace("BODY", formatted)), {"kernel": None}, set())


def test_only_annotations_of_triton_are_kept() -> None:
    parameters = "(x: tl.core.exit(), n: tl.constexpr, *more: tl.core.exit(), **rest: tl.core.exit()) -> tl.core.exit()"
    module = build(ast.parse(HEAD.replace("(x, n)", parameters).replace("BODY", "pass")), {"kernel": None}, set())
    assert module.source == "def kernel(x, n: tl.constexpr, *more, **rest):\n    pass\n"


@pytest.mark.parametrize("default", ["tl.core.builtins.exec", "tl.exp.__globals__", "other", "-x.y", "[1]"])
def test_default_values_are_of_the_language(default: str) -> None:
    called = f"def called(n={default}):\n    pass\n"
    with pytest.raises(KernelError):
        build(ast.parse(called + HEAD.replace("BODY", "called()")), {"kernel": None}, set())
    own = build(ast.parse(HEAD.replace("(x, n)", f"(x, n={default})").replace("BODY", "pass")), {"kernel": None}, set())
    assert own.source == "def kernel(x, n):\n    pass\n"  # a launch gives all arguments


def test_default_values_may_be_types_and_constants() -> None:
    called = "def called(n=tl.float32, m=(1, -2), k=SIZE):\n    pass\n"
    assert "SIZE" in build(ast.parse(called + HEAD.replace("BODY", "called()")), {"kernel": None}, {"SIZE"}).source


LARGE = {
    "functions": "\n".join(["def kernel():", *(f"    f{n}()" for n in range(2000))])
    + "".join(f"\n@triton.jit\ndef f{n}():\n    return {n}" for n in range(2000)),
    "calls": "def kernel():\n    while f0():\n        pass\ndef f2000():\n    return tl.load(0)"
    + "".join(f"\ndef f{n}():\n    return f{n + 1}()" for n in range(2000)),
    "names": "\n".join(["def kernel():", "    while True:", *(f"        v{n} = v{n + 1}" for n in range(3000))])
    + "\n        v3000 = tl.load(0)\n        if v0 > 0:\n            break",
    "comprehensions": "\n".join(["def kernel(c):", *(["    a = [b for b in c]"] * 3000)]),
    "arguments": f"def kernel(n):\n    n.to({'1, ' * 50_000})",
    "chain": "def kernel(n):\n    n" + f".to({'1, ' * 700})" * 120,
}


@pytest.mark.parametrize("name", LARGE)
def test_time_grows_with_the_source_and_no_faster(name: str) -> None:
    tree, started = ast.parse("import triton\nimport triton.language as tl\n" + LARGE[name]), time.process_time()
    module = build(tree, {"kernel": None}, set())
    assert module.waits == (name in ("calls", "names"))
    assert time.process_time() - started < 8  # minutes, if for every name or call the whole file is looked at


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


@pytest.mark.parametrize(
    "body",
    [
        "if n is 3:\n        tl.store(x, 1)",
        "if n is not x:\n        tl.store(x, 1)",
        "v: tl.constexpr\n    v = 3",
        "v = (n > 0) and (w := 3) > 0",
        "v = (w := 3) if n > 0 else 3",
        "v = 0 < n < (w := 3)",
        "v = [(w := one) for one in (1, 2)]",
        "v = max(n, key=(n := 3))",
        "v = max(n, key=max(x, key=(n := 3)))",
        "v = max((w := 3), key=n)",
    ],
)
def test_what_python_understands_otherwise_is_refused(body: str) -> None:
    with pytest.raises(KernelError, match=r"`is`|without a value|:="):
        build(ast.parse(HEAD.replace("BODY", body)), {"kernel": None}, set())


@pytest.mark.parametrize(
    "body",
    [
        "if n is None or x is not None:\n        tl.store(x, 1)",
        "v: tl.constexpr = 3\n    tl.store(x, v)",
        "if (v := n + 1) > 0:\n        tl.store(x, v)",
        "v = max(n, key=(w := 3))",
    ],
)
def test_what_python_understands_as_well_is_not(body: str) -> None:
    assert build(ast.parse(HEAD.replace("BODY", body)), {"kernel": None}, set()).functions == ("kernel",)
