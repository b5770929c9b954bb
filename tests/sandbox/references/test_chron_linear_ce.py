"""Fused linear cross-entropy: baselines are near enough, slices change nothing, and the memory claim holds."""

import importlib.util
import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sandbox.judging.draw import Draw
from sandbox.local import LocalSandbox
from sandbox.references import FOLDER, load
from sandbox.types import TOLERANCES, Case, Job, Passed

NAME = "chron_linear_ce"
CASES = load(NAME, "cpu").cases
Tensors = tuple[torch.Tensor, ...]


def functions() -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(compile(load(NAME, "cpu").reference, NAME, "exec"), found)
    return found


def inputs(case: Case) -> Tensors:
    drawn = functions()["make_inputs"](case.args, Draw(torch.Generator().manual_seed(0), case.distribution))
    assert isinstance(drawn, tuple)
    return drawn


def near(found: Tensors, expected: Tensors, limit: float) -> None:
    """Relative L2 distance."""
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype, a.requires_grad) == (b.shape, b.dtype, False)
        assert float((a.double() - b.double()).norm()) <= limit * float(b.double().norm())


@pytest.mark.parametrize("baseline", ["eager", "library"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_baselines_agree_with_the_definition(case: Case, baseline: str) -> None:
    """Logits of a user's bf16 layer are rounded: those of `structured` inputs are hundreds, so they lose most."""
    limit = 1e-6 if case.args["dtype"] == "float32" else 4e-2 if case.distribution == "structured" else 8e-3
    reference, drawn = functions(), inputs(case)
    with torch.no_grad():
        near(reference[baseline](*drawn), reference[NAME](*drawn), limit)


def test_slicing_changes_nothing() -> None:
    reference, drawn = functions(), inputs(CASES[2])
    whole = reference[NAME](*drawn)
    reference["SLICE_ELEMENTS"] = 1
    near(reference[NAME](*drawn), whole, 1e-4)


def test_without_a_row_that_counts_all_is_zero() -> None:
    hidden, weight, target = inputs(CASES[1])
    assert all(bool((x == 0).all()) for x in functions()[NAME](hidden, weight, torch.full_like(target, -100)))


def test_softmax_is_a_measurable_part_of_the_weight_gradient() -> None:
    """Else a candidate could leave it out."""
    hidden, weight, target = inputs(Case(name="wide", args={"n": 64, "d": 256, "v": 32000, "dtype": "float32"}))
    _, _, found = functions()[NAME](hidden, weight, target)
    one_hot = torch.zeros_like(weight)
    kept = target != -100
    one_hot.index_add_(0, target[kept], -hidden[kept] / kept.sum())
    assert float((found - one_hot).norm()) > 0.05 * float(found.norm())


def test_expert_is_right_with_many_slices(sandbox: LocalSandbox) -> None:
    """At sizes for an interpreter it would use one slice of the vocabulary."""
    task = load(NAME, "cpu")
    many = task.expert.replace("SCRATCH_BYTES = 80_000_000", "SCRATCH_BYTES = 1")
    one_configuration = re.sub(r"_CONFIGS = \[.*\]", "_CONFIGS = [PAIR]", many)
    assert len({task.expert, many, one_configuration}) == 3
    job = Job(
        reference=task.reference, candidate=one_configuration, entry_point=NAME, tolerance=TOLERANCES["TB"],
        cases=tuple(case for case in task.cases if int(case.args["v"]) > 300),
    )  # fmt: skip
    verdict = sandbox.judge(job)
    assert isinstance(verdict, Passed), verdict


def test_expert_stays_within_the_memory_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """135 MB besides the gradients at the paper's size: what the host code allocates, without launching anything."""
    spec = importlib.util.spec_from_file_location(f"{NAME}_expert", FOLDER / "experts" / f"{NAME}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    launches: list[str] = []
    for name, value in vars(module).copy().items():
        if hasattr(value, "arg_names"):
            monkeypatch.setattr(module, name, Kernel(name, launches))
    size = next(case for case in load(NAME, "gpu").cases if case.name == "t").args
    n, d, v = (int(size[key]) for key in "ndv")
    hidden, weight = (torch.zeros(rows, d, dtype=torch.bfloat16, device="meta") for rows in (n, v))
    target = torch.zeros(n, dtype=torch.int64, device="meta")
    sizes: list[int] = []
    empty = torch.empty

    def counted(*args: Any, **kwargs: Any) -> torch.Tensor:
        x = empty(*args, **kwargs)
        sizes.append(x.nbytes)
        return x

    monkeypatch.setattr(torch, "empty", counted)
    monkeypatch.setattr(torch, "empty_like", lambda x: x)  # the gradients do not count
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(multi_processor_count=132))
    outputs = getattr(module, NAME)(hidden, weight, target)
    assert [x.shape for x in outputs] == [(), hidden.shape, weight.shape]
    assert {"_partial_logsumexp", "_logit_gradients", "_gradients"} <= set(launches)
    assert 0 < sum(sizes) <= 135e6


class Kernel:
    """Stands for a Triton kernel: notes that it was launched."""

    def __init__(self, name: str, launches: list[str]) -> None:
        self.name, self.launches = name, launches

    def __getitem__(self, grid: Any) -> Any:
        return lambda *args, **kwargs: self.launches.append(self.name)
