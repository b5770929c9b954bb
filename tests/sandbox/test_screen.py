"""The screen: cheap rejections with a reason, and no honest kernel language refused."""

import ast
import time

import pytest

from sandbox.kernels.source import build
from sandbox.kernels.text import KernelError
from sandbox.screen import screen
from sandbox.types import TOLERANCES, Job, Rejected

HEAD = "import torch, triton\nimport triton.language as tl\nfrom triton.language.extra import libdevice\n"
KERNEL = "@triton.jit\ndef k(p, N: tl.constexpr):\n    {body}\n"
ENTRY = "def f(x):\n    return x\n"


def job(source: str) -> Job:
    return Job(reference="", candidate=source, entry_point="f", cases=(), tolerance=TOLERANCES["T32"])


def look(source: str) -> str:
    """The reason of a rejection, or an empty text."""
    found = screen(job(source))
    return found.reason if isinstance(found, Rejected) else ""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(:\n", "no valid Python: line 1"),
        (HEAD + ENTRY, "no @triton.jit function"),
        (HEAD + KERNEL.format(body="pass"), "entry point 'f' is not defined"),
        (HEAD + "import ctypes\n" + ENTRY, "import of 'ctypes'"),
        (HEAD + "def g():\n    from subprocess import run\n" + ENTRY, "import of 'subprocess'"),
        ("from . import x\n" + HEAD, "relative imports"),
        ("#" * (300 << 10), "longer than"),
        ("(" * 3000 + ")" * 3000, "nested"),
        ("x = '\ud800'", "Unicode"),
    ],
)
def test_reason_is_named(source: str, said: str) -> None:
    assert said in look(source)


@pytest.mark.parametrize(
    "body",
    [
        "tl.core.builtins",
        "tl.inline_asm_elementwise('', '', [p], tl.float32, True, 1)",
        "p.__class__",
        "p.handle.data",
        "tl.device_print('x', p)",
        "eval('1')",
        "getattr(tl, 'core')",
        "p._builder",
        "triton.runtime.driver",
        "import os",
        "global N",
        "(lambda: 1)()",
        "tl.pointer_type(tl.float32)",
        "x = {1: 2}",
        "tl.extra.cuda.utils",
        "libdevice.__dict__",
        "tl.math.core",
        "p.attr = 1",
        "yield p",
        "open('/etc/passwd')",
        "f'{p.__class__}'",
        "x = [1 for np in (p,)]\n    np.load(p)",
        "x = [np for np in np]",
        "x = [1 for x.handle in (p,)]",
        "x = [N for N in p][0] + N",
        "tl.store(p, [N for N in p][0])",
        "for i in range(N):\n        pass\n    else:\n        pass",
        "for i in range(n := N):\n        tl.store(p, n)",
        "while (n := N) > 1:\n        tl.store(p, n)",
        "x = tl.sum(p + (n := N), axis=n)",
        "x = tl.sum(p + n, axis=(n := N))",
        "tl.static_assert(N > 1, tl.load(p))",
        "checks = (tl.static_assert,)",
        "tl.static_print(n := N)",
        "tl.device_assert(tl.atomic_add(p, 1) > 0)",
        "x = isinstance(p, tl.tensor)",
        "x = isinstance(p, tl.tensor_descriptor, p)",
        "x = isinstance",
    ],
)
def test_kernel_bodies_stay_inside_the_language(body: str) -> None:
    assert look(HEAD + KERNEL.format(body=body) + ENTRY) != ""


@pytest.mark.parametrize(
    "body",
    [
        "x = tl.load(p + tl.arange(0, N)).to(tl.float32)",
        "x = tl.math.exp2(tl.sum(p, axis=0))",
        "x = libdevice.tanh(p)",
        "tl.store(p, tl.where(p > 0, p, 0.0).to(p.dtype.element_ty))",
        "for i in tl.range(0, N, num_stages=2):\n        pass",
        "tl.static_assert(N > 1, f'N is {N}')",
        "x = p.T.shape[0]",
        "a, b = tl.split(p)",
        "x = tl.cdiv(N, 2) + triton.cdiv(N, 2)",
        "while N > 0:\n        break",
        "x = tl.reduce(p, 0, combine)",
        "x = p[:, None] if N else p[None, :]",
        "x = tl.dot(p, p, allow_tf32=False)",
        "x = [tl.load(q) for q in p]\n    y = [q + 1 for q in x if N > 1]",
        "x = [q for q in p]\n    for q in range(N):\n        tl.store(p + q, q)",
        "tl.store(p, (x := tl.load(p)) + x)",
        "x = tl.load(p, mask=(m := p > 0), other=0.0)\n    tl.store(p, x, mask=m)",
        "x = [N for N in p]\n    N = 1",
        "tl.static_print('N', N)\n    tl.device_assert(N > 1, 'N')",
        "if N < 2:\n        raise ValueError(f'{N} is too small')",
        "x = p if isinstance(p, tl.tensor_descriptor) else None",
    ],
)
def test_honest_language_is_accepted(body: str) -> None:
    assert look(HEAD + KERNEL.format(body=body) + ENTRY) == ""


def test_clean_module_has_no_decorators_and_only_what_is_launched() -> None:
    source = HEAD + (
        "import os as evil_name\n"
        "@triton.jit\ndef helper(x):\n    return x * SCALE\n"
        "@triton.autotune(configs=[evil()], key=[])\n@triton.jit\n"
        "def k(p, N: tl.constexpr):\n    tl.store(p, helper(1.0))\n"
        "@triton.jit\ndef unused(p):\n    pass\n"
    )
    module = build(ast.parse(source), {"k": None}, {"SCALE"})
    assert module.functions == ("helper", "k")
    assert "evil" not in module.source and "@" not in module.source and "unused" not in module.source
    assert "N: tl.constexpr" in module.source


def test_unknown_names_and_foreign_kernels_are_refused() -> None:
    tree = ast.parse(HEAD + KERNEL.format(body="tl.store(p, np)"))
    with pytest.raises(KernelError, match="'np' is neither"):
        build(tree, {"k": None}, set())
    with pytest.raises(KernelError, match="'ghost' is not a function"):
        build(tree, {"ghost": None}, set())


def test_nests_and_masses_are_refused_in_seconds() -> None:
    nest = "".join(f"{' ' * depth}@triton.jit\n{' ' * depth}def k{depth}(x):\n" for depth in range(48))
    started = time.process_time()
    assert "stand in one another" in look(HEAD + nest + f"{' ' * 48}a = ({'1, ' * 80_000})\n" + ENTRY)
    assert "more than" in look(HEAD + KERNEL.format(body="x;" * 60_000) + ENTRY)
    assert "braces" in look(HEAD + KERNEL.format(body="f'" + "{p}" * 80_000 + "'") + ENTRY)
    tries = "".join(f"{' ' * depth}try:\n" for depth in range(90)) + f"{' ' * 90}a = ({'1, ' * 40_000})\n"
    ends = "".join(f"{' ' * depth}except ImportError: pass\n" for depth in reversed(range(90)))
    look(HEAD + KERNEL.format(body="pass") + tries + ends + ENTRY)
    assert time.process_time() - started < 15  # minutes, if each is looked at with all that stands in it


def test_fields_are_those_of_named_tuples_that_kernels_get() -> None:
    record = "from typing import NamedTuple\nclass R(NamedTuple):\n    handle: int\n    core: int\n    shape: tuple\n"
    tree = screen(job(HEAD + record + KERNEL.format(body="tl.store(p.handle, p.shape[0])") + ENTRY))
    assert isinstance(tree, ast.Module)
    assert "tl.store(p[0], p[2][0])" in ast.unparse(tree)
    for head, body, made in (
        ("", "q = R(p.handle, core=1, shape=p.shape)", True),
        ("", "q = R(1, shape=2, core=3)", False),
        ("", "q = R(1, 2)", False),
        ("", "q = R(*p, 1, 2)", False),
        ("", "q = R(1, 2, 3, 4)", False),
        ("", "R = R; q = R(1, 2, 3)", False),
        ("R = max\n", "q = R(1, 2, 3)", False),
    ):
        tree = screen(job(HEAD + record + head + KERNEL.format(body=body) + ENTRY))
        assert isinstance(tree, ast.Module) and ("q = R(" in ast.unparse(tree)) != made, body
    for body in ("tl.core.load(p)", "p.handle.data", "p.handle, p.other", "tl.load(p).handle"):
        assert look(HEAD + record + KERNEL.format(body=body) + ENTRY)
