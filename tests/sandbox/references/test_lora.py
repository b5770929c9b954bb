"""Properties of the LoRA tasks that one formulation alone does not show."""

from typing import Any

import pytest
import torch

from sandbox.judging.draw import Draw
from sandbox.references import load
from sandbox.types import Case

NAMES = ("lora_fused_linear", "lora_fused_backward", "lora_grouped")
CASES = [pytest.param(name, case, id=f"{name}-{case.name}") for name in NAMES for case in load(name, "cpu").cases]
GROUPED = load("lora_grouped", "cpu").cases


def functions(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(compile(load(name, "cpu").reference, name, "exec"), found)
    return found


def draw(name: str, case: Case, seed: int = 7) -> tuple[Any, ...]:
    generator = torch.Generator().manual_seed(seed)
    inputs: tuple[Any, ...] = functions(name)["make_inputs"](case.args, Draw(generator, case.distribution))
    return inputs


def outputs(function: Any, inputs: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
    found = function(*inputs)
    return found if isinstance(found, tuple) else (found,)


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())


@pytest.mark.parametrize(("name", "case"), CASES)
def test_baseline_computes_the_same(name: str, case: Case) -> None:
    inputs, found = draw(name, case), functions(name)
    limit = 6e-3 if case.args["dtype"] == "bfloat16" else 1e-3
    for a, b in zip(outputs(found["eager"], inputs), outputs(found[name], inputs), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert distance(a, b) < limit


@pytest.mark.parametrize(("name", "row"), [("lora_fused_linear", 0), ("lora_fused_linear", 2), ("lora_grouped", 0)])
def test_library_computes_the_same(name: str, row: int) -> None:
    inputs, found = draw(name, load(name, "cpu").cases[row]), functions(name)
    assert distance(found["library"](*inputs), found[name](*inputs)) < 6e-3


@pytest.mark.parametrize("name", NAMES)
def test_slicing_changes_nothing(name: str) -> None:
    inputs, found = draw(name, load(name, "cpu").cases[2]), functions(name)
    whole = outputs(found[name], inputs)
    found["SLICE_ELEMENTS"] = 1
    for a, b in zip(outputs(found[name], inputs), whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("case", GROUPED, ids=[case.name for case in GROUPED])
def test_offsets_cover_all_rows_in_order(case: Case) -> None:
    x, _, A, B, alphas, offs = draw("lora_grouped", case)
    assert offs.dtype == torch.int64 and offs.shape == (len(alphas) + 1,)
    assert int(offs[0]) == 0 and int(offs[-1]) == len(x) and bool((offs.diff() >= 0).all())
    ranks = [int(rank) for rank in str(case.args["ranks"]).split(",")]
    for g in range(len(alphas)):
        rank = ranks[g % len(ranks)]
        assert bool((A[g, :rank] != 0).any(-1).all()) and not A[g, rank:].any() and not B[g, :, rank:].any()


@pytest.mark.parametrize("entry", ["lora_grouped", "eager"])
def test_rows_do_not_depend_on_other_adapters(entry: str) -> None:
    x, W, A, B, alphas, offs = draw("lora_grouped", GROUPED[0])
    function = functions("lora_grouped")[entry]
    before = function(x, W, A, B, alphas, offs)
    A, B, alphas = A.clone(), B.clone(), alphas.clone()
    A[0], B[0], alphas[0] = 50 * torch.randn(A[0].shape), 50 * torch.randn(B[0].shape), -9.0
    after = function(x, W, A, B, alphas, offs)
    first, last = int(offs[0]), int(offs[1])
    assert distance(after[first:last], before[first:last]) > 1
    torch.testing.assert_close(after[last:], before[last:], rtol=0, atol=0)


def test_one_adapter_is_the_plain_layer() -> None:
    x, W, A, B, alpha, _, _ = draw("lora_fused_linear", load("lora_fused_linear", "cpu").cases[1])
    plain = functions("lora_fused_linear")["lora_fused_linear"](x, W, A, B, alpha)
    grouped = functions("lora_grouped")["lora_grouped"](
        x, W, A[None], B[None], torch.tensor([alpha]), torch.tensor([0, len(x)])
    )
    torch.testing.assert_close(grouped, plain)
