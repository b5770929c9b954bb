"""Tasks from torch's operator database: every operator accounted for, shapes that generalise, references that hold."""

import ast
import asyncio
import re
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db

from data_pipeline.families import FAMILIES as KNOWN
from data_pipeline.opdb.tables import (
    DIFFICULTY,
    EXCLUDED,
    FAMILIES,
    INPUTS,
    PERMUTED,
    SKIPPED,
    UNCHECKED,
    family,
    key,
    listed,
    skipped,
)
from data_pipeline.opdb.tasks import tasks_of
from data_pipeline.opdb.template import Call, Hole, generalise
from data_pipeline.opdb.values import of_range
from data_pipeline.prompt import render_answer, render_prompt
from data_pipeline.quality import examine
from data_pipeline.sources.opdb import opdb
from data_pipeline.synthetic import FAMILIES as SYNTHETIC
from data_pipeline.task import Task
from data_pipeline.verify import Judging, verify
from sandbox.local import LocalSandbox
from sandbox.types import Passed, Rejected

NAMES = [key(op.name, op.variant_test_name) for op in op_db]
X, Y, Z = Hole(0), Hole(1), Hole(2)


@pytest.fixture(scope="module")
def proposed() -> Iterator[list[Task]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # thousands of tiny calls: waking other threads costs more than they do
    yield [task for task, solution in opdb() if not solution]
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_operator_is_proposed_or_has_a_reason(proposed: list[Task]) -> None:
    made = {task.source.path for task in proposed}
    refused = {name for name in NAMES if skipped(name) is not None}
    assert made | refused == set(NAMES) and not made & refused
    assert len(made) > 300


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_most_proposals_are_worth_posing(proposed: list[Task]) -> None:
    reasons = Counter(examine(task) for task in proposed[::15])
    assert reasons[None] >= 0.85 * reasons.total() and len(proposed) * reasons[None] / reasons.total() > 600, reasons


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_proposals_are_well_formed(proposed: list[Task]) -> None:
    assert len({task.id for task in proposed}) == len(proposed)
    assert {task.tolerance for task in proposed} == {"T32", "T16", "TB"}
    assert {task.family for task in proposed} == set(DIFFICULTY)
    for task in proposed:
        names = {node.name for node in ast.parse(task.reference).body if isinstance(node, ast.FunctionDef)}
        assert names == {task.entry_point, "make_inputs"}
        assert len(task.cases) == len(task.hidden_cases) == 2 and all(case.hidden for case in task.hidden_cases)
        assert task.source.version == torch.__version__.split("+")[0] and task.source.licence == "BSD-3-Clause"
        assert task.description in render_prompt(task)[1]["content"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_indices_stay_below_a_size(proposed: list[Task]) -> None:
    """An integer tensor beside data of another dtype is an index, and an index is below some size."""
    free = {task.source.path for task in proposed if re.search(r'dtype="int(32|64)"', task.reference)}
    assert free == {"cov"}, "its weights are counts"


def test_the_same_every_time() -> None:
    for name in ("softmax", "add", "gather"):
        number, op = next((i, op) for i, op in enumerate(op_db) if op.name == name)
        first = list(tasks_of(op, number))
        torch.rand(3)
        assert list(tasks_of(op, number)) == first and first


def test_tables_name_operators_that_exist() -> None:
    tables = [*SKIPPED.values(), *FAMILIES.values(), *INPUTS, *EXCLUDED, *UNCHECKED, PERMUTED]
    for word in " ".join(tables).split():
        assert any(listed(name, word) for name in NAMES), word
    assert all(family(name, broadcast) in DIFFICULTY for name in NAMES for broadcast in (False, True))
    assert set(DIFFICULTY) <= {*SYNTHETIC, *KNOWN}, "or it could not be held out"


TIES = {
    "matmul": (torch.matmul, (X, Y), [(5, 5), (5, 5)], [("m", "n"), ("n", "k")]),
    "broadcast": (torch.add, (X, Y), [(5, 5), (5,)], [("m", "n"), ("n",)]),
    "a size of 1": (torch.add, (X, Y), [(5, 1), (5,)], [("m", 1), ("n",)]),
    "three at once": (torch.addcmul, (X, Y, Z), [(5, 5)] * 3, [("m", "n")] * 3),
    "a literal": (torch.nn.functional.layer_norm, (X, (5,)), [(5, 5)], [("m", 5)]),
    "channels": (torch.nn.functional.conv1d, (X, Y), [(3, 3, 9), (3, 3, 2)], [("b", "m", "n"), ("k", "m", 2)]),
    "a parity": (torch.nn.functional.glu, (X, 1), [(4, 4)], [("m", "n")]),
}


@pytest.mark.parametrize("name", TIES)
def test_sizes_that_belong_together_are_found(name: str) -> None:
    function, args, shapes, expected = TIES[name]
    template = generalise(Call(function, args, {}), [torch.ones(shape) for shape in shapes])
    assert template is not None and list(template.shapes) == expected


def test_bounds_of_indices_are_found() -> None:
    index = torch.zeros(3, dtype=torch.int64)
    rows = generalise(Call(torch.index_select, (X, 0, Y), {}), [torch.ones(5, 5), index])
    assert rows is not None and rows.bounds == (None, ("m",)) and rows.shapes == (("m", "n"), ("k",))
    anywhere = generalise(Call(torch.take, (X, Y), {}), [torch.ones(5, 4), index])
    assert anywhere is not None and anywhere.bounds == (None, ("m", "n"))
    number = generalise(Call(torch.add, (X, Y), {}), [torch.ones(3), index])
    assert number is not None and number.bounds == (None, None)


def test_ranges_of_samples_become_domains() -> None:
    assert of_range(-8.9, 8.7, integer=False) == "normal"
    assert of_range(0.1, 8.9, integer=False) == "uniform 0.09 8.91"
    assert of_range(-0.97, 0.9, integer=False) == "uniform -0.98 0.98"
    assert of_range(1.2, 8.8, integer=False) == "uniform 1.08 8.92"


HEAD = "import torch\nimport triton\nimport triton.language as tl\n\n\n@triton.jit\n"
FLAT = """def kernel(X, OUT, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(X + i, i < n, other=0.0)
    tl.store(OUT + i, VALUE, i < n)


def ENTRY(x):
    out = torch.empty_like(x, dtype=DTYPE)
    kernel[(triton.cdiv(x.numel(), 256),)](x, out, x.numel(), BLOCK=256)
    return out
"""
SOFTMAX = """def kernel(X, OUT, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(X + i, i < n, other=-float("inf"))
    e = tl.exp(x - tl.max(x, 0))
    tl.store(OUT + i, e / tl.sum(e, 0), i < n)


def ENTRY(x):
    out = torch.empty_like(x)
    kernel[(1,)](x, out, x.numel(), BLOCK=triton.next_power_of_2(x.numel()))
    return out
"""
DOT = """def kernel(X, Y, OUT, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x, y = tl.load(X + i, i < n, other=0.0), tl.load(Y + i, i < n, other=0.0)
    tl.store(OUT, tl.sum(x * y, 0))


def ENTRY(x, y):
    out = torch.empty((), dtype=x.dtype, device=x.device)
    kernel[(1,)](x, y, out, x.numel(), BLOCK=triton.next_power_of_2(x.numel()))
    return out
"""
SELECT = """def kernel(X, INDEX, OUT, n, k, BLOCK: tl.constexpr):
    row, j = tl.program_id(0), tl.arange(0, BLOCK)
    at = tl.load(INDEX + j, j < k, other=0)
    tl.store(OUT + row * k + j, tl.load(X + row * n + at, j < k), j < k)


def ENTRY(x, index):
    (m, n), k = x.shape, index.shape[0]
    out = x.new_empty((m, k))
    kernel[(m,)](x, index, out, n, k, BLOCK=triton.next_power_of_2(k))
    return out
"""
FLIP = """def kernel(X, OUT, m, rest, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    for start in range(0, rest, BLOCK):
        i = start + tl.arange(0, BLOCK)
        tl.store(OUT + row * rest + i, tl.load(X + (m - 1 - row) * rest + i, i < rest), i < rest)


def ENTRY(x):
    out, m = torch.empty_like(x), x.shape[0]
    kernel[(m,)](x, out, m, x.numel() // m, BLOCK=128)
    return out
"""
EXP2 = FLAT.replace("VALUE", "tl.exp2(x.to(tl.float32))").replace("DTYPE", "x.dtype")
NOT = FLAT.replace("VALUE", "x == 0").replace("DTYPE", "torch.bool")
CANDIDATES = {
    "elementwise": ("exp2", 1, EXP2, "exp2(x", "exp2(1 + x"),
    "compare": ("logical_not", 0, NOT, "x == 0", "x <= 0"),
    "softmax": ("softmax", 0, SOFTMAX, "x - tl.max(x, 0)", "x"),
    "matmul": ("dot", 0, DOT, "x * y", "x + y"),
    "gather": ("index_select", 0, SELECT, "row * n + at", "row * n + j"),
    "copy": ("flipud", 0, FLIP, "m - 1 - row", "row"),
}
"""Family → operator, which of its tasks, a right kernel, and what to change in it so that it is wrong."""


def test_right_kernels_pass_and_wrong_ones_do_not(sandbox: LocalSandbox) -> None:
    """The wrong softmax overflows on a hidden case with outliers."""

    async def judge() -> list[object]:
        questions = []
        for kind, (name, which, code, right, wrong) in CANDIDATES.items():
            number, op = next((i, op) for i, op in enumerate(op_db) if op.name == name)
            task = list(tasks_of(op, number))[which]
            assert task.family == kind and right in code
            for text in (code, code.replace(right, wrong)):
                answer = render_answer(HEAD + text.replace("ENTRY", task.entry_point))
                questions.append(verify(task, answer, sandbox, Judging()))
        return list(await asyncio.gather(*questions))

    verdicts = asyncio.run(judge())
    assert all(isinstance(verdict, Passed) for verdict in verdicts[::2]), verdicts[::2]
    assert all(isinstance(verdict, Rejected) and verdict.stage == "numerics" for verdict in verdicts[1::2]), verdicts
