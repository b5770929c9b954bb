"""The judge's arithmetic: what is right, what is wrong, and that an honest bfloat16 result is never refused."""

import math
from typing import get_args

import pytest
import torch

from sandbox.judging import numerics
from sandbox.judging.numerics import Float64, compare, to_float64
from sandbox.judging.reference import Reference
from sandbox.types import TOLERANCES, Case, Distribution, Tolerance

T32, TB = TOLERANCES["T32"], TOLERANCES["TB"]


def noise(n: int = 4096) -> torch.Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(0))


def test_exact_is_right() -> None:
    x = noise()
    result = compare(x, x.double(), x, T32)
    assert result.reason == "" and result.limit_share == 0


def test_complex_numbers_are_compared_as_pairs() -> None:
    x = torch.complex(noise(), noise().flip(0)).conj()
    truth = to_float64(x)
    assert truth.dtype == torch.complex128
    assert compare(x * (1 + 1e-6), truth, x, T32).reason == ""
    assert "relative L2" in compare(x.conj(), truth, x, T32).reason
    with Float64():
        assert torch.zeros(2, dtype=torch.complex64).dtype == torch.complex128


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e6])
def test_limits_scale_with_the_output(scale: float) -> None:
    x = noise() * scale
    assert compare(x * (1 + 1e-6), x.double(), x, T32).reason == ""
    assert "relative L2" in compare(x * (1 + 1e-3), x.double(), x, T32).reason


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("other", [math.nan, math.inf, -math.inf, 0.0, 7.0, 8.0, 9.0])
def test_special_values_are_their_own(value: float, other: float) -> None:
    x = torch.tensor([1.0, value])
    right = str(value) == str(other)
    assert (compare(torch.tensor([1.0, other]), x.double(), x, T32).reason == "") == right


@pytest.mark.parametrize(
    ("dtype", "shorter", "said"),
    [
        (torch.float64, torch.float32, "float32"),
        (torch.float32, torch.float16, "float16 or TF32"),
        (torch.float32, torch.bfloat16, "float16 or TF32"),
        (torch.float16, torch.bfloat16, "bfloat16"),
    ],
)
def test_values_of_a_shorter_format_are_wrong_within_the_limits(
    dtype: torch.dtype, shorter: torch.dtype, said: str
) -> None:
    truth, wide = noise().double() / 3, Tolerance(rel_l2=1e-2, rtol=1e-1, atol_rms=1e-1)
    x = truth.to(dtype)
    y = x.to(shorter).to(dtype)
    assert compare(x, truth, x, wide).reason == ""
    assert f"those of {said}" in compare(y, truth, x, wide).reason
    assert compare(y, truth, y, wide).reason == "", "the task itself rounds so"
    assert compare(y[:8], truth[:8], x[:8], wide).reason == "", "so few may be so by chance"


def test_one_wrong_element_is_wrong() -> None:
    x = noise()
    y = x.clone()
    y[7] += 1e-2  # lost in the norm of 4096 elements, but not to the element rule
    assert compare(y, x.double(), x, T32).limit_share > 1


def test_bfloat16_rounding_is_right_and_a_bfloat16_accumulator_is_not() -> None:
    a, b = noise(64 * 512).view(64, 512).bfloat16(), noise(512 * 64).view(512, 64).bfloat16()
    truth = a.double() @ b.double()
    honest = (a.float() @ b.float()).bfloat16()
    assert compare(honest, truth, honest, TB).reason == ""
    total = torch.zeros(64, 64, dtype=torch.bfloat16)
    for k in range(512):
        total += a[:, k, None] * b[None, k]
    assert compare(total, truth, honest, TB).limit_share > 1


def test_an_honest_evaluation_that_misses_widens_the_limit_to_twice_its_error() -> None:
    truth = noise().double()
    honest = (truth * (1 + 4e-4)).float()
    assert compare((truth * (1 + 7e-4)).float(), truth, honest, T32).reason == ""
    assert compare((truth * (1 + 9e-4)).float(), truth, honest, T32).reason != ""


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_where_the_reference_is_finite(value: float) -> None:
    x = noise()
    y = x.clone()
    y[0] = value
    assert "NaN or infinite" in compare(y, x.double(), x, T32).reason


def test_special_values_must_agree() -> None:
    x = noise()
    x[0], x[1], x[2] = math.nan, math.inf, -math.inf
    assert compare(x, x.double(), x, T32).reason == ""
    y = x.clone()
    y[1] = -math.inf
    assert compare(y, x.double(), x, T32).reason != ""


@pytest.mark.parametrize("broken", ["nothing", "one", "all", "nan"])
def test_large_outputs_are_compared_in_parts_as_they_are_whole(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    truth = noise(1001).double().view(7, 143)
    truth[0, 0] = math.inf
    honest, users = truth.float(), truth.bfloat16()
    y = honest.clone()
    if broken != "nothing":
        y[-1 if broken == "all" else (-1, -1)] = math.nan if broken == "nan" else 3.0
    whole = compare(y, truth, honest, T32, users)
    monkeypatch.setattr(numerics, "PART", 100)
    parts = compare(y, truth, honest, T32, users)
    assert parts.reason == whole.reason and (whole.reason == "") == (broken == "nothing")
    assert (parts.rel_l2, parts.limit_share) == pytest.approx((whole.rel_l2, whole.limit_share))


def test_integers_are_exact() -> None:
    x = torch.arange(10)
    assert compare(x, x, x, T32).reason == ""
    assert "1 of 10" in compare(x.index_fill(0, torch.tensor([3]), 99), x, x, T32).reason


def test_references_are_evaluated_in_float64() -> None:
    x = noise().bfloat16()

    def reference(v: torch.Tensor) -> torch.Tensor:
        scale = torch.full((1,), 1 / 3, dtype=torch.float32)
        return ((v.float() * scale).to(torch.float32).exp() + v.new_ones(1)).to(v.dtype)

    with Float64():
        truth = reference(to_float64(x))
    assert truth.dtype == torch.float64
    expected = (x.double() / 3).exp() + 1
    assert float((truth - expected).abs().max()) < 1e-7


def test_what_a_task_makes_of_random_numbers_holds_under_every_distribution() -> None:
    source = "import torch\n\nclass Model(torch.nn.Module):\n    def forward(self, a, p):\n        return a @ p\n\n"
    source += "def get_inputs():\n    return [torch.triu(torch.rand(9, 9)), torch.rand(9, 4).softmax(-1)]\n"
    reference = Reference(source, "ModelNew")
    for distribution in get_args(Distribution):
        triangle, shares = reference.draw(Case(name="one", distribution=distribution)).inputs
        assert not triangle.tril(-1).any() and triangle.triu().any()
        assert (triangle < 0).any() == (distribution in ("heavy_tailed", "structured"))
        torch.testing.assert_close(shares.sum(-1), torch.ones(9))


def test_float64_whose_squares_overflow() -> None:
    x = torch.randn(4096, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 1e200
    x[7] = torch.inf
    assert compare(2 * x, x, x, TOLERANCES["T32"]).reason
    assert not compare(x * (1 + 1e-9), x, x, TOLERANCES["T32"]).reason


@pytest.mark.parametrize(("byte", "right"), [(1, True), (2, False)])
def test_truth_values_are_zero_and_one(byte: int, right: bool) -> None:
    truth = torch.tensor([True, False, True])
    candidate = (truth.to(torch.uint8) * byte).view(torch.bool)
    assert right == (not compare(candidate, truth, truth, TOLERANCES["T32"]).reason)
