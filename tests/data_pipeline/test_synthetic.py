"""Synthetic programs: distinct, reproducible, well-formed, and wide enough to learn from."""

import ast
import random
import re
from collections import Counter

import pytest

from data_pipeline.prompt import render_prompt
from data_pipeline.quality import examine
from data_pipeline.synthetic import ENTRY_POINT, FAMILIES, propose
from data_pipeline.synthetic.cases import SIZES
from data_pipeline.synthetic.describe import in_words
from data_pipeline.synthetic.ops import OPS
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Chain, Input, Program, Step
from data_pipeline.synthetic.propose import SMALL_MODEL_PIECES, solution
from data_pipeline.synthetic.reference import reference
from data_pipeline.synthetic.style import plain_style
from data_pipeline.task import Task
from sandbox.types import Case

Pair = tuple[Task, str]
RICH = 1200
SIMPLE = ("elementwise", "broadcast", "reduction", "softmax", "normalisation", "gather")
OTHERS = dict.fromkeys(set(FAMILIES) - set(SIMPLE), 0)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """For a small model."""
    return list(propose(900, 0, OTHERS))


@pytest.fixture(scope="module")
def rich() -> list[Pair]:
    """Everything."""
    return list(propose(1900, 0, max_pieces=RICH))


def test_same_seed_same_pairs_other_seed_other_pairs(rich: list[Pair]) -> None:
    assert list(propose(60, 0, max_pieces=RICH)) == rich[:60]
    other = {task.id for task, _ in propose(60, 1, max_pieces=RICH)}
    assert len(other & {task.id for task, _ in rich[:60]}) < 10


def test_all_distinct(rich: list[Pair]) -> None:
    assert len({task.id for task, _ in rich}) == len(rich) == 1900
    assert len({re.sub("fused_[a-z_0-9]+", "", task.reference) for task, _ in rich}) > 1860


def test_families_take_turns_and_respect_limits(pairs: list[Pair], rich: list[Pair]) -> None:
    assert Counter(task.family for task, _ in pairs) == dict.fromkeys(SIMPLE, 150)
    turns = Counter(task.family for task, _ in rich)
    assert set(turns) == set(FAMILIES) and min(turns.values()) >= 90
    limited = Counter(task.family for task, _ in propose(100, 0, {"softmax": 3, "gather": 0}, RICH))
    assert limited["softmax"] == 3 and "gather" not in limited and limited.total() == 100


def test_twelve_thousand_programs() -> None:
    """Families that run dry leave their turns to others."""
    assert sum(1 for _ in propose(12_000, 0, max_pieces=RICH)) == 12_000


def test_files_are_well_formed(pairs: list[Pair], rich: list[Pair]) -> None:
    for task, code in pairs + rich:
        wanted = {"Model", "get_inputs", "get_init_inputs"} if task.entry_point == "ModelNew" else {task.entry_point}
        assert {"make_inputs", *wanted} <= _defined(task.reference), task.reference
        assert task.entry_point in _defined(code) and "@triton.jit" in code


def test_hosts_only_allocate_and_launch(pairs: list[Pair], rich: list[Pair]) -> None:
    allowed = "empty empty_like zeros cdiv next_power_of_2 new_empty numel stride clone min max".split()
    for task, code in pairs + rich:
        host = ast.parse(code).body[-1]
        if isinstance(host, ast.ClassDef):
            host = host.body[-1]
        assert isinstance(host, ast.FunctionDef)
        for call in (n.func for n in ast.walk(host) if isinstance(n, ast.Call)):
            name = call.attr if isinstance(call, ast.Attribute) else call.id if isinstance(call, ast.Name) else ""
            assert name in allowed or isinstance(call, ast.Subscript), (name, task.family, code)


def test_signatures_agree(pairs: list[Pair], rich: list[Pair]) -> None:
    for task, code in pairs + rich:
        name = "forward" if task.entry_point == "ModelNew" else task.entry_point
        heads = [ln for source in (task.reference, code) for ln in source.split("\n") if f"def {name}(" in ln]
        assert len(heads) == 2 and heads[0] == heads[1]


def test_cases_have_a_ragged_and_hidden_side(rich: list[Pair]) -> None:
    for task, _ in rich:
        assert len(task.cases) == 2 and len(task.hidden_cases) == 2
        assert all(case.hidden for case in task.hidden_cases) and not any(case.hidden for case in task.cases)
    spread = Counter(case.distribution for task, _ in rich for case in task.hidden_cases)
    assert min(spread[d] for d in ("heavy_tailed", "large", "structured")) > 200
    ragged = sum(any(int(v) % 16 for k, v in task.cases[1].args.items() if k != "dtype") for task, _ in rich)
    assert ragged > 0.95 * len(rich)


def test_cases_are_small_enough_for_an_interpreter() -> None:
    for sizes in SIZES.values():
        largest = 1
        for dim, (round_sizes, ragged) in sizes.items():
            largest *= max(*round_sizes, *ragged) if dim in ("m", "n", "b") else 1
        assert largest <= 9000


def test_short_enough_for_a_small_model(pairs: list[Pair]) -> None:
    for _, code in pairs:
        assert len(re.findall(r"[A-Za-z]+|\d|[^\w\s]+|_", code)) <= SMALL_MODEL_PIECES
        assert "autotune" not in code and "lambda" not in code
    assert {task.prompt_format for task, _ in pairs} == {"plain"} and {t.entry_point for t, _ in pairs} == {ENTRY_POINT}


def test_every_operator_and_dtype_occurs(rich: list[Pair]) -> None:
    assert {task.tolerance for task, _ in rich} == {"T32", "T16", "TB", "TS", "TT"}
    drawn = {word for made, _ in rich if made.prompt_format == "tritonbench" for word in made.entry_point.split("_")}
    missing = [op for op in OPS if not set(op.split("_")) & drawn]
    assert len(missing) <= 3, missing


STYLES = (
    "@triton.autotune", "@triton.heuristics", "grid = lambda meta", "num_warps=2", "num_stages=2", "for start in range",
    "tl.num_programs(0)", ".stride(0)", "[:, None]", "tl.dot(", "tl.associative_scan", "tl.cumsum", "tl.atomic_add",
    'input_precision="ieee"', "finish_kernel", "def compute(", "for row in range(m)", "x_ptr", "new = tl.maximum(peak",
)  # fmt: skip


@pytest.mark.parametrize("mark", STYLES)
def test_styles_vary(mark: str, rich: list[Pair]) -> None:
    assert sum(mark in code for _, code in rich) >= 5


def test_layouts_vary(rich: list[Pair]) -> None:
    text = "\n".join(task.reference for task, _ in rich)
    for word in (".t()", "[:, ::2]", "[:, 3 : n + 3]", "draw.normal(b, m, n", "draw.permutation", "draw.booleans"):
        assert word in text


def test_mostly_two_operators_unless_asked_otherwise() -> None:
    def spread(weights: tuple[float, ...]) -> Counter[int]:
        made = propose(300, 0, dict.fromkeys(set(FAMILIES) - {"elementwise"}, 0), RICH, weights)
        return Counter(task.difficulty for task, _ in made)

    usual = spread((0.15, 0.45, 0.2, 0.1, 0.06, 0.04))
    assert usual.most_common(1)[0][0] == 2 and set(usual) == {1, 2, 3, 4, 5, 6}
    assert set(spread((0, 0, 0, 0, 1))) == {5}


def test_descriptions_come_in_several_forms_and_show_no_sizes(rich: list[Pair]) -> None:
    starts = Counter(
        "TritonBench" if task.description.startswith("Functional Description:") else
        "steps" if "1. t =" in task.description else
        "sentence" if task.description.startswith("Given") else "formula"
        for task, _ in rich
    )  # fmt: skip
    assert min(starts.values()) > 200 and len(starts) == 4
    for task, _ in rich:
        sizes = {str(v) for case in task.cases + task.hidden_cases for v in case.args.values() if str(v).isdigit()}
        large = {size for size in sizes if len(size) > 2 and size != "127"}
        assert not large & set(re.findall(r"\d+", task.description)), task.description


def test_prompt_formats_show_what_the_benchmarks_show(rich: list[Pair]) -> None:
    for form in ("kernelbench", "tritonbench"):
        task = next(task for task, _ in rich if task.prompt_format == form)
        shown = render_prompt(task)[1]["content"]
        assert f"`{task.entry_point}`" in shown or f"{task.entry_point}(" in shown
        assert "make_inputs" not in shown and "hidden" not in shown
        if form == "kernelbench":
            assert "class Model(" in shown and "get_init_inputs" in shown
        else:
            assert "Wrapper Entry Information:" in shown and "class" not in shown and "return " not in shown
    parameters = [task for task, _ in rich if "torch.nn.Parameter" in task.reference]
    assert len(parameters) > 30
    for task in parameters:
        fixed = re.findall(r"def get_init_inputs\(\):\n    return \[(.*)\]", task.reference)[0].split(", ")
        for dim in fixed:
            assert len({case.args[dim] for case in task.cases + task.hidden_cases}) == 1


def test_pointless_steps_are_not_taken() -> None:
    chain = Chain(random.Random(0), "x")
    assert chain.apply("abs", ("x",))
    assert not chain.apply("relu", ("z",)), "relu of something positive"
    assert not chain.apply("abs", ("z",)), "the same again"
    assert chain.apply("shift", ("z", "2.0"))
    assert not chain.apply("flip_sign", ("x", "z")), "a jump in a computed value"
    chain = Chain(random.Random(0), "x")
    assert chain.apply("flip_sign", ("x", "y")) and chain.apply("scale", ("z", "2.0"))
    assert not chain.apply("cos", ("z",)), "cos does not see a sign"


def test_only_masked_lanes_that_matter_are_masked() -> None:
    """cos(0) is 1: without a mask, lanes beyond the row would be added to the sum."""
    inputs = (Input(name="x", kind="full", shape=("m", "n")),)
    for op, masked in (("cos", True), ("silu", False)):
        steps = (Step(op=op, args=("x",)), Step(op="sum", args=("z",)))
        program = Program(
            family="reduction", dtype="float32", layout="rows", inputs=inputs, steps=steps, result=("m",)
        )  # fmt: skip
        code = solution(program, plain_style(random.Random(0), program), Pose())
        assert ("tl.where(mask" in code) == masked
        assert "other=0.0" in code
    assert "row_sum(silu(x))" in in_words(program, "formula")
    assert "F.silu(x)" in reference(program, Pose(), Case(name="a"))


def test_quality_accepts_most_proposals(rich: list[Pair]) -> None:
    found = [examine(task) for task, _ in rich[:190]]
    assert sum(reason is None for reason in found) >= 184, Counter(found)


def _defined(source: str) -> set[str]:
    return {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


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
    reason = examine(task)
    assert reason is not None and word in reason, reason
