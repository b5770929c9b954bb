"""TritonBench's own protocol and ours beside it, on programs that are right, wrong, hostile or in want of a GPU.

All but one run without a GPU, wherever the tests run.
"""

import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clones
import pytest
import torch

from eval.benchmarks.tritonbench import items as tritonbench
from eval.benchmarks.tritonbench import program
from eval.benchmarks.tritonbench.items import TritonBenchItem
from eval.benchmarks.tritonbench.results import Leaf, Results, difference, telling
from eval.benchmarks.tritonbench.runner import Runner
from eval.benchmarks.tritonbench.upstream import Compared, Gold, compare, gold_of
from sandbox.gpu_pool import visible_gpus
from sandbox.types import Rejected

SEED = 7
OUTSIDE = Path("/tmp/kernelwright_upstream_test")
ANSWERS = {
    "right": (clones.DOUBLE.replace("x * 2", "x + x"), True, True, ""),
    "wrong": (clones.DOUBLE.replace("x * 2", "x * 2.1"), True, False, r"\['test_case_0'\] relative L2 error"),
    "shape": (clones.DOUBLE.replace("return y", "return y[:1]"), True, False, r"is float32 \[1\], not float32 \[100\]"),
    "dtype": (clones.DOUBLE.replace("return y", "return y.double()"), True, False, r"is float64 \[100\], not float32"),
    "crashing": (clones.DOUBLE.replace("return y", "return 1 / 0"), False, False, "ZeroDivisionError"),
    "no python": ("double = (", False, False, "SyntaxError"),
    "hanging": (f"{clones.DOUBLE}\nwhile True:\n    pass\n", False, False, "still running after 8 s"),
    "hungry": (clones.DOUBLE.replace("return y", "return bytearray(1 << 40)"), False, False, "MemoryError"),
    "forking": (f"import os\nos.fork()\n{clones.DOUBLE}", False, False, "PermissionError"),
    "calling": ("import socket\nsocket.create_connection(('127.0.0.1', 80))\n", False, False, "PermissionError"),
    "writing": (f"open('{OUTSIDE}', 'w').write('x')\n{clones.DOUBLE}", False, False, r"Error: \[Errno"),
    "scratch": (f"import tempfile\ntempfile.mkstemp()\nopen('mine', 'w').write('x')\n{clones.DOUBLE}", True, True, ""),
    "drawing": (f"{clones.DOUBLE}\nnoise = torch.randn(99)\n", True, True, ""),
    "leaving": (f"{clones.DOUBLE}\nraise SystemExit\n", True, False, "no results: SystemExit: None"),
    "gone": ("import os\nos._exit(0)\n", True, False, "no results: the program ended the process itself"),
    "failing": ("import os\nos._exit(3)\n", False, False, "exit code 3"),
    "surrogate": ("raise ValueError('\\udc80')\n", False, False, r"ValueError: \?"),
    "aborting": ("import os\nos.abort()\n", False, False, "ended by SIG"),
    "other inputs": (f"{clones.DOUBLE}\ntorch.randn = lambda *a, **k: torch.zeros(a[0])\n", True, False, "L2 error 1"),
    "seeding": (f"{clones.DOUBLE}\ntorch.manual_seed = None\n", True, True, ""),
}  # fmt: skip
"""By name: an answer to `double_op`; whether upstream accepts its call; whether its results are right; the reason."""
FORGED = """
import os
for fd in range(3, 64):
    try:
        os.write(fd, b'{"exit":0,"error":"","leaves":[{"path":"","kind":"dict","value":"2"}],"lost":""}')
    except OSError:
        pass
os._exit(0)
"""
PATCHED = "import torch\ntorch.allclose = lambda *arguments, **more: True\n\n\ndef double(x):\n    return x\n"


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner(8.0, 2, ()) as runner:
        yield runner


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TritonBenchItem]:
    clone = clones.runnable(tmp_path_factory.mktemp("clone"))
    return {item.name: item for half in ("G", "T") for item in tritonbench.load(clone, half)}


@pytest.fixture(scope="module")
def gold(runner: Runner, items: dict[str, TritonBenchItem]) -> Gold:
    gold = gold_of(runner, items["double_op"], SEED)
    assert gold.reason == "" and gold.first.stdout == b""
    return gold


def compared(runner: Runner, item: TritonBenchItem, code: str | Rejected, gold: Gold, text: str = "") -> Compared:
    found = compare(runner, item, "a.jsonl:0", text or str(code), code, gold, SEED, None)
    assert isinstance(found, Compared), found
    return found


@pytest.mark.parametrize("name", ANSWERS)
def test_upstream_accepts_what_ends_well_and_ours_what_is_right(
    name: str, runner: Runner, items: dict[str, TritonBenchItem], gold: Gold
) -> None:
    code, call, right, reason = ANSWERS[name]
    found = compared(runner, items["double_op"], code, gold)
    assert (found.raw.call, found.raw.execution, found.right, found.telling) == (call, call, right, True), found
    assert re.search(reason, found.reason) and (found.reason == "") == right
    assert not OUTSIDE.exists()


def test_forged_replies_are_as_good_as_an_exit_code(
    runner: Runner, items: dict[str, TritonBenchItem], gold: Gold
) -> None:
    for forged in (FORGED, FORGED.replace('"lost":""', '"lost":')):
        found = compared(runner, items["double_op"], forged, gold)
        assert found.raw.call is True and found.right is False, "upstream believes exit codes, too"
        assert "is missing" in found.reason or "ended the process itself" in found.reason


def test_what_is_printed_is_all_that_upstream_compares(
    runner: Runner, items: dict[str, TritonBenchItem], gold: Gold
) -> None:
    printing = clones.DOUBLE.replace("    return y", "    print('done')\n    return y")
    found = compared(runner, items["double_op"], printing, gold)
    assert (found.raw.call, found.raw.execution, found.right) == (True, False, True)


def test_upstreams_filter_can_fail_a_right_answer(
    runner: Runner, items: dict[str, TritonBenchItem], gold: Gold
) -> None:
    constant = clones.DOUBLE.replace("BLOCK=64", "BLOCK=SIZE").replace("\n\n@triton", "\nSIZE = 64\n\n\n@triton")
    found = compared(runner, items["double_op"], constant, gold)
    assert found.raw.call is True and found.right is True
    assert found.filtered is not None and found.upstream == found.filtered
    assert found.filtered.call is False and "SIZE" in found.filtered.reason


def test_upstream_keeps_the_closing_fence_and_we_do_not(
    runner: Runner, items: dict[str, TritonBenchItem], gold: Gold
) -> None:
    found = compared(runner, items["double_op"], clones.DOUBLE, gold, text=f"\n{clones.DOUBLE}```")
    assert found.upstream.call is False and "SyntaxError" in found.upstream.reason and found.right is True
    nothing = compared(runner, items["double_op"], Rejected(stage="extract", reason="no code"), gold, text="No.")
    assert (nothing.upstream.call, nothing.right, nothing.reason) == (False, False, "no code")


def test_results_that_tell_nothing_are_named(runner: Runner, items: dict[str, TritonBenchItem]) -> None:
    """A patched comparison makes them right for both protocols: only the hardened one can refuse it."""
    item = items["double_close"]
    gold = gold_of(runner, item, SEED)
    found = compared(runner, item, PATCHED, gold)
    assert (found.upstream.call, found.upstream.execution, found.right, found.telling) == (True, True, True, False)


def test_what_needs_a_gpu_is_not_wrong(runner: Runner, items: dict[str, TritonBenchItem], gold: Gold) -> None:
    asking = clones.DOUBLE.replace("y = torch.empty_like(x)", "torch.Generator(device='cuda')\n    y = x")
    found = compared(runner, items["double_op"], asking, gold)
    assert (found.raw.call, found.right) == (None, None), found
    assert found.reason.startswith("needs a GPU: RuntimeError") and found.raw.reason == found.reason
    gone = gold_of(runner, items["gone"], SEED)
    assert gone.first.needs_gpu and "the gold does not run here: RuntimeError" in gone.reason
    found = compared(runner, items["gone"], clones.DOUBLE, gone)
    assert (found.raw.call, found.right, found.raw.reason) == (None, None, f"needs a GPU: {gone.reason}")


def test_libdevice_and_autotuning_need_no_gpu(runner: Runner, items: dict[str, TritonBenchItem], gold: Gold) -> None:
    configurations = "@triton.autotune([triton.Config({'BLOCK': b}) for b in (16, 32)], key=['n'])"
    tuned = clones.DOUBLE.replace("@triton.jit", f"{configurations}\n@triton.jit")
    tuned = tuned.replace(", BLOCK=64", "").replace("cdiv(x.numel(), 64)", "cdiv(x.numel(), 16)")
    tuned = tuned.replace("x * 2", "libdevice.mul_rn(x, 2.0)")
    for library in ("triton.language.extra", "triton.language.extra.cuda"):
        found = compared(runner, items["double_op"], f"from {library} import libdevice\n{tuned}", gold)
        assert (found.raw.call, found.right) == (True, True), found


def test_where_the_gold_fails_an_answer_is_not_wrong(runner: Runner, items: dict[str, TritonBenchItem]) -> None:
    item = items["double_op"].model_copy(update={"gold": "raise ValueError('old Triton')"})
    gold = gold_of(runner, item, SEED)
    right, failing = (compared(runner, item, code, gold) for code in (clones.DOUBLE, "1 / 0"))
    assert (right.raw.call, right.right) == (True, None), "upstream accepts it all the same"
    assert (failing.raw.call, failing.right) == (None, None)
    reason = "the gold does not run here: ValueError: old Triton"
    assert right.reason == reason and failing.raw.reason == f"{reason}; ZeroDivisionError: division by zero"


def test_functions_of_pytorch_are_compared_without_a_filter(runner: Runner, items: dict[str, TritonBenchItem]) -> None:
    item = items["half"]
    gold = gold_of(runner, item, SEED)
    right = compared(runner, item, clones.HALF.replace("x / 2", "x * 0.5"), gold)
    wrong = compared(runner, item, clones.HALF.replace("x / 2", "x / 2 if len(x) > 5 else x"), gold)
    assert right.right is True and right.filtered is None and right.upstream.call is True
    assert wrong.right is False and re.search(r"result\['sum'\] is .*, not ", wrong.reason), wrong.reason


@pytest.mark.gpu
def test_programs_run_on_a_gpu_and_are_held(items: dict[str, TritonBenchItem]) -> None:
    tuned = clones.DOUBLE.replace(", BLOCK=64", "").replace("cdiv(x.numel(), 64)", "cdiv(x.numel(), 16)")
    configurations = "@triton.autotune([triton.Config({'BLOCK': b}) for b in (16, 32)], key=['n'])"
    answers = {
        "tuned": (tuned.replace("@triton.jit", f"{configurations}\n@triton.jit"), True, True, ""),
        "wild": (clones.DOUBLE.replace("y_ptr + at, x", "y_ptr + at + (1 << 40), x"), None, False, "(?i)cuda|illegal"),
        "child": (f"import subprocess\nsubprocess.Popen(['sleep', '60'])\n{clones.DOUBLE}", True, True, ""),
        **{name: ANSWERS[name] for name in ("right", "wrong", "crashing", "writing", "calling", "leaving", "gone")},
    }
    with Runner(60.0, 4, visible_gpus()) as runner:
        gold = gold_of(runner, items["double_op"], SEED)
        assert gold.reason == "" and runner.gpu
        for name, (code, call, right, reason) in answers.items():
            found = compared(runner, items["double_op"], code, gold)
            assert call in (None, found.raw.call) and found.right is right, (name, found)
            assert re.search(reason, found.reason) and (found.reason == "") == right, (name, found)
        half = gold_of(runner, items["half"], SEED)
        assert half.reason == "" and compared(runner, items["half"], clones.HALF, half).right is True
        assert gold_of(runner, items["gone"], SEED).reason == "", "a generator on the GPU is there"
    assert not OUTSIDE.exists()


def of(value: Any) -> Results:
    """Through memory, as a child hands it over."""
    file = os.memfd_create("results")
    try:
        os.ftruncate(file, 1 << 20)
        leaves = program.results(value, file)
        return Results(tuple(map(Leaf.model_validate, leaves)), mmap.mmap(file, 1 << 20, access=mmap.ACCESS_COPY))
    finally:
        os.close(file)


NAN, INF = float("nan"), float("inf")
SAME: list[tuple[Any, Any]] = [
    ({"a": 1, "b": None}, {"b": None, "a": 1}),
    ([1, "x", True], (1, "x", True)),
    (torch.tensor([1.0, NAN, INF]), torch.tensor([1.0 + 1e-5, NAN, INF])),
    (torch.tensor([1.0], dtype=torch.bfloat16), torch.tensor([1.0078125], dtype=torch.bfloat16)),
    (torch.eye(3).to_sparse(), torch.eye(3)),
    (torch.arange(6).view(2, 3).T, torch.arange(6).view(2, 3).T.contiguous()),
    (torch.empty(0, 3), torch.empty(0, 3)),
    (torch.tensor(1 + 2j), torch.tensor(1 + 2j)),
    ({"x": 1.0}, {"x": 1.00001}),
    (NAN, NAN),
]
OTHER: list[tuple[Any, Any, str]] = [
    ({"a": 1}, {"a": 2}, r"result\['a'\] is 2, not 1"),
    ({"a": 1}, {}, r"result has 0 members, not 1"),
    ({"a": 1}, {"b": 1}, r"result\['a'\] is missing"),
    ([1, [2, 3]], [1, [2, 4]], r"result\[1\]\[1\] is 4, not 3"),
    ([torch.ones(2)], [torch.tensor([1.0, NAN])], r"result\[0\] 1 elements are NaN or infinite"),
    (torch.tensor([1.0, NAN]), torch.tensor([1.0, 1.0]), "another special value"),
    (torch.tensor([INF]), torch.tensor([-INF]), "another special value"),
    (torch.ones(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), "3 of 3 elements differ"),
    (torch.tensor([True]), torch.tensor([False]), "1 of 1 elements differ"),
    (torch.tensor(1 + 2j), torch.tensor(1 - 2j), "relative L2 error"),
    (torch.ones(1), 1.0, "is of kind float, not tensor"),
    (None, torch.ones(1), "is of kind tensor, not none"),
    (1.0, NAN, "is nan, not 1$"),
    ("x", "y", "is y, not x"),
    (True, 1, "is of kind integer, not bool"),
]


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_equal_results(gold: Any, answer: Any) -> None:
    assert difference(of(gold), of(answer)) == ""


@pytest.mark.parametrize(("gold", "answer", "reason"), OTHER)
def test_other_results_are_located(gold: Any, answer: Any, reason: str) -> None:
    assert re.search(reason, difference(of(gold), of(answer)))


def test_shapes_booleans_and_nothing_tell_nothing() -> None:
    x = torch.ones(2, 3)
    worthless = [None, True, "yes", {"shape": x.shape, "ok": x > 0}, [x.shape, [2, 3]], torch.empty(0), object()]
    assert not any(telling(of(value)) for value in worthless)
    assert all(telling(of(value)) for value in [x, 0.5, {"a": 3}, [[x.int()]]])


@pytest.mark.parametrize(
    "forged",
    [
        {"dtype": "float32", "shape": (1 << 40,), "offset": 0},
        {"dtype": "float32", "shape": (-1,), "offset": 0},
        {"dtype": "float32", "shape": (2,), "offset": (1 << 20) - 4},
        {"dtype": "float32", "shape": (2,), "offset": -4},
        {"dtype": "float32", "shape": (2,), "offset": 2},
        {"dtype": "load", "shape": (2,), "offset": 0},
    ],
)
def test_tensors_that_are_not_there_are_refused(forged: dict[str, Any]) -> None:
    honest = of(torch.ones(2))
    with pytest.raises(ValueError, match="tensor of"):
        honest.tensor(Leaf(path="", kind="tensor", **forged))
    answer = Results((Leaf(path="", kind="float", value="zzz"),), honest.memory)
    assert difference(of(1.0), answer).startswith("result is nothing to compare: invalid hexadecimal")
