"""Synthetic programs: distinct, reproducible, well-formed, and wide enough to learn from."""

import ast
from collections import Counter

import pytest

from data_pipeline.quality import examine
from data_pipeline.synthetic import ENTRY_POINT, FAMILIES, propose
from data_pipeline.synthetic.ops import BINARY, CONSTANT, OPS, REDUCE, UNARY
from data_pipeline.synthetic.program import Chain, Input, Program, Step
from data_pipeline.synthetic.render import describe, draw_style, reference, solution
from data_pipeline.task import Task
from sandbox.types import Case

Pair = tuple[Task, str]


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return list(propose(900, seed=0))


def test_same_seed_same_pairs_other_seed_other_pairs(pairs: list[Pair]) -> None:
    assert list(propose(60, seed=0)) == pairs[:60]
    other = {task.id for task, _ in propose(60, seed=1)}
    assert len(other & {task.id for task, _ in pairs[:60]}) < 10


def test_all_distinct(pairs: list[Pair]) -> None:
    assert len({task.id for task, _ in pairs}) == len(pairs) == 900
    assert len({(task.reference, task.family) for task, _ in pairs}) > 890


def test_families_take_turns_and_respect_limits(pairs: list[Pair]) -> None:
    assert Counter(task.family for task, _ in pairs) == dict.fromkeys(FAMILIES, 150)
    limited = Counter(task.family for task, _ in propose(100, 0, {"softmax": 3, "gather": 0}))
    assert limited["softmax"] == 3 and "gather" not in limited and limited.total() == 100


def test_elementwise_alone_is_wide() -> None:
    others = dict.fromkeys(set(FAMILIES) - {"elementwise"}, 0)
    made = list(propose(2000, 0, others))
    assert len({task.id for task, _ in made}) == 2000


def test_files_are_well_formed(pairs: list[Pair]) -> None:
    for task, code in pairs:
        for source in (task.reference, code):
            names = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
            assert ENTRY_POINT in names
        assert "make_inputs" in task.reference and "triton.jit" in code
        assert task.entry_point == ENTRY_POINT
        host = ast.parse(code).body[-1]
        assert isinstance(host, ast.FunctionDef)
        called = {ast.unparse(n.func) for n in ast.walk(host) if isinstance(n, ast.Call)}
        allowed = ("torch.empty_like", "triton.cdiv", "triton.next_power_of_2")
        for name in called:
            assert name in allowed or name.endswith((".new_empty", ".numel", "]")), name


def test_signatures_agree(pairs: list[Pair]) -> None:
    for task, code in pairs:
        heads = [
            line
            for source in (task.reference, code)
            for line in source.split("\n")
            if line.startswith(f"def {ENTRY_POINT}(")
        ]
        assert len(heads) == 2 and heads[0] == heads[1]


def test_cases_have_a_ragged_and_hidden_side(pairs: list[Pair]) -> None:
    for task, _ in pairs:
        assert len(task.cases) == 2 and len(task.hidden_cases) == 2
        assert all(case.hidden for case in task.hidden_cases) and not any(case.hidden for case in task.cases)
        assert any(int(case.args["n"]) % 2 for case in task.cases)
    spread = Counter(case.distribution for task, _ in pairs for case in task.hidden_cases)
    assert min(spread[d] for d in ("heavy_tailed", "large", "structured")) > 100


def test_short_enough_for_a_small_model(pairs: list[Pair]) -> None:
    assert max(len(code) for _, code in pairs) <= 800
    assert sum(len(code) for _, code in pairs) / len(pairs) < 720


def test_operators_and_dtypes_all_occur(pairs: list[Pair]) -> None:
    assert {task.tolerance for task, _ in pairs} == {"T32", "T16", "TB"}
    text = "\n".join(code for _, code in pairs)
    for word in ("tl.sigmoid", "tl.erf", "tl.sin", "tl.rsqrt", "tl.max(", "tl.where", "// n", "pick * n"):
        assert word in text
    assert set(OPS) >= set(UNARY) | set(BINARY) | set(REDUCE) | set(CONSTANT)


def test_pointless_steps_are_not_taken() -> None:
    import random

    chain = Chain(random.Random(0), "x")
    assert chain.apply("abs", ("x",))
    assert not chain.apply("relu", ("z",)), "relu of something positive"
    assert not chain.apply("abs", ("z",)), "the same again"
    assert chain.apply("shift", ("z", "2.0"))
    assert not chain.apply("flip_sign", ("x", "z")), "a jump in a computed value"


def test_only_masked_lanes_that_matter_are_masked() -> None:
    """cos(0) is 1: without a mask, lanes beyond the row would be added to the sum."""
    import random

    inputs = (Input(name="x", kind="full"),)
    for op, masked in (("cos", True), ("silu", False)):
        steps = (Step(op=op, args=("x",)), Step(op="sum", args=("z",)))
        program = Program(family="reduction", dtype="float32", layout="rows", inputs=inputs, steps=steps)
        code = solution(program, draw_style(random.Random(0), program))
        assert ("tl.where(mask" in code) == masked
        assert "other=0.0" in code
    assert "row_sum(silu(x))" in describe(program)
    assert "F.silu(x)" in reference(program)


def test_quality_accepts_most_proposals(pairs: list[Pair]) -> None:
    found = [examine(task).reason for task, _ in pairs[:90]]
    assert sum(reason is None for reason in found) >= 80, Counter(found)


BAD = {
    "constant": ("x * 0 + 1", "passes on case"),
    "zero": ("x * 0", "passes on case"),
    "identity": ("x", "handed back"),
    "ignores an input": ("x + y * 0 + 1", "ignoring input 1"),
    "infinite": ("x / 0 + y", "not finite"),
    "random": ("x + y + torch.rand(())", "deterministic"),
    "crashes": ("x + y + z", "does not run"),
    "changes its input": ("x.mul_(2) + y", "changes its inputs"),
    "too inaccurate": ("((x + 1e7) - 1e7) * y", "misses the tolerance"),
    "one row for all": ("x.mean(0, keepdim=True).expand(x.shape) + y.mean()", "along axis 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_quality_refuses(name: str) -> None:
    expression, word = BAD[name]
    source = (
        "import torch\n\n\ndef make_inputs(case, draw):\n    return draw.normal(8, 16), draw.normal(8, 16)\n\n\n"
        f"def fused_op(x, y):\n    return {expression}\n"
    )
    pair = next(propose(1, 0))[0]
    task = pair.model_copy(
        update={"reference": source, "tolerance": "T32", "cases": (Case(name="a"),), "hidden_cases": ()}
    )
    reason = examine(task).reason
    assert reason is not None and word in reason, reason
