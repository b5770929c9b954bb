"""The reference suite: task files are well formed, and every reference agrees with an independent formulation."""

import ast
import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sandbox.judging.draw import Draw
from sandbox.judging.numerics import compare
from sandbox.judging.reference import Reference
from sandbox.references import load, names
from sandbox.types import TOLERANCES, Case

Tensors = tuple[torch.Tensor, ...]
CPU_CASES = [pytest.param(name, case, id=f"{name}-{case.name}") for name in names() for case in load(name, "cpu").cases]


def namespace(name: str) -> dict[str, Any]:
    """The functions and constants of an operator's reference, executed from the text that the loader returns."""
    found: dict[str, Any] = {}
    exec(compile(load(name, "cpu").reference, name, "exec"), found)
    return found


def draw_inputs(name: str, case: Case, seed: int = 0) -> tuple[Any, ...]:
    generator = torch.Generator().manual_seed(seed)
    inputs = namespace(name)["make_inputs"](case.args, Draw(generator, case.distribution))
    assert isinstance(inputs, tuple)
    return inputs


def as_tuple(outputs: Any) -> Tensors:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def upcast(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in inputs)


def formulation(name: str) -> ModuleType:
    """`independent(*inputs)`, another way to compute an operator, and `dtypes(*inputs)` of its outputs."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "references" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The suite as a whole -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_cases_cover_what_hides_mistakes(name: str) -> None:
    cases = load(name, "cpu").cases
    assert len(cases) >= 5
    assert sum(case.hidden for case in cases) >= 2
    assert len({case.distribution for case in cases}) >= 3
    assert len({case.name for case in cases}) == len(cases)
    sizes = [v for case in cases for v in case.args.values() if isinstance(v, int) and not isinstance(v, bool)]
    assert any(size > 32 and size % 2 for size in sizes), "no case is a multiple of no block"
    assert {case.args["dtype"] for case in cases} >= {"bfloat16", "float32"}
    assert not any(case.hidden for case in load(name, "gpu").cases)


@pytest.mark.parametrize("name", names())
def test_hidden_cases_are_not_in_the_reference_text(name: str) -> None:
    task = load(name, "cpu")
    assert "CASES" not in task.reference and "TOLERANCE" not in task.reference
    assert not any(case.name in task.reference for case in task.cases if case.hidden)
    assert task.description not in task.reference


@pytest.mark.parametrize("name", names())
def test_expert_has_the_reference_signature(name: str) -> None:
    task = load(name, "cpu")
    signatures = []
    for source in (task.reference, task.expert):
        functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
        signatures.append(ast.unparse(functions[task.entry_point].args))
    assert signatures[0] == signatures[1]


def test_unknown_operator_is_named_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"ak9_sofmax.*ak9_softmax.*turbo_kv3_decode"):
        load("ak9_sofmax", "cpu")


def test_loader_needs_no_torch() -> None:
    code = (
        "import sys; from sandbox.references import load; load('ak9_softmax', 'cpu'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("name", "case"), CPU_CASES)
def test_reference_agrees_with_an_independent_formulation(
    name: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, as the judge evaluates it; and the low-precision evaluation is near and in the promised dtypes."""
    inputs, reference = draw_inputs(name, case), namespace(name)[name]
    honest = as_tuple(reference(*inputs))
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "float", lambda x: x.double())
        truth = as_tuple(reference(*upcast(inputs)))
    other = formulation(name)
    expected = as_tuple(other.independent(*upcast(inputs)))
    assert len(truth) == len(expected) == len(honest)
    for mine, independent, low in zip(truth, expected, honest, strict=True):
        torch.testing.assert_close(mine, independent, rtol=1e-9, atol=1e-10 * float(independent.abs().max()))
        error = (low.double() - independent).norm() / independent.norm()
        assert error < (4e-3 if low.dtype == torch.bfloat16 else 1e-3)
    assert [x.dtype for x in honest] == other.dtypes(*inputs)


@pytest.mark.parametrize(("name", "case"), CPU_CASES)
def test_outputs_vary_with_the_inputs(name: str, case: Case) -> None:
    one, *others = (as_tuple(namespace(name)[name](*draw_inputs(name, case, seed)))[0] for seed in range(1, 6))
    assert all(bool(y.isfinite().all()) for y in (one, *others))
    assert max(float((one - y).float().norm()) for y in others) > 0.05 * float(one.float().norm())


@pytest.mark.parametrize("name", ["gqa_attention_fwd", "sparton_head", "turbo_kv3_decode"])
def test_slicing_changes_nothing(name: str) -> None:
    case = load(name, "cpu").cases[2]
    inputs, functions = draw_inputs(name, case), namespace(name)
    whole = as_tuple(functions[name](*inputs))
    functions["SLICE_ELEMENTS"] = 1
    for a, b in zip(whole, as_tuple(functions[name](*inputs)), strict=True):
        torch.testing.assert_close(a, b)


# Properties of single operators ---------------------------------------------------------------------------------------


def test_attention_mask_is_aligned_to_the_bottom_right() -> None:
    run = namespace("gqa_attention_fwd")["gqa_attention_fwd"]
    q, k, v = torch.randn(1, 2, 9, 16), torch.randn(1, 1, 9, 16), torch.randn(1, 1, 9, 16)
    whole, lse = run(q, k, v, True)
    last, last_lse = run(q[:, :, -2:], k, v, True)
    torch.testing.assert_close(last, whole[:, :, -2:])
    torch.testing.assert_close(last_lse, lse[:, :, -2:])
    torch.testing.assert_close(whole[:, :, 0], v[:, :, 0].expand(1, 2, 16))


def test_attention_row_without_keys_is_zero() -> None:
    out, lse = namespace("gqa_attention_fwd")["gqa_attention_fwd"](
        torch.randn(1, 1, 5, 16), torch.randn(1, 1, 3, 16), torch.randn(1, 1, 3, 16), True
    )
    assert bool((out[0, 0, :2] == 0).all()) and bool((lse[0, 0, :2] == -math.inf).all())
    assert bool(lse[0, 0, 2:].isfinite().all())


@pytest.mark.parametrize("case", [case for case in load("sparton_head", "cpu").cases if int(case.args["b"]) > 1])
def test_sparton_cases_hold_an_empty_sequence(case: Case) -> None:
    inputs = draw_inputs("sparton_head", case)
    y = namespace("sparton_head")["sparton_head"](*inputs)
    assert int(inputs[3][1].sum()) == 0 and bool((y[1] == 0).all())
    assert bool((y[0] > 0).any()) and bool((y >= 0).all())


def test_cross_entropy_cases_hold_ignored_rows() -> None:
    for case in load("ak9_cross_entropy", "cpu").cases:
        logits, target = draw_inputs("ak9_cross_entropy", case)
        loss = namespace("ak9_cross_entropy")["ak9_cross_entropy"](logits, target)
        assert 0 < int((target == -100).sum()) < len(target)
        assert bool((loss[target == -100] == 0).all()) and bool((loss[target != -100] > 0).any())


def kv3_output(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, rotate: bool = True, qjl: bool = True) -> Tensors:
    """3-bit attention of q [h, d] over k, v [h, t, d], and the exact one."""
    functions, (h, _, d) = namespace("turbo_kv3_decode"), k.shape
    generator = torch.Generator().manual_seed(3)
    rotation = torch.linalg.qr(torch.randn(h, d, d, generator=generator))[0] if rotate else torch.eye(d).expand(h, d, d)
    sketch, lut = torch.randn(d, d, generator=generator), torch.tensor(functions["LUT3"])
    cache = []
    for x in (k, v):
        codes, signs, norm, residual = functions["kv3_quantise"](x, rotation, sketch, lut)
        planes = torch.stack([functions["pack_bits"](codes >> p & 1) for p in range(3)], 1)
        cache.append(
            (planes[None], functions["pack_bits"](signs)[None], norm[None, ..., 0], residual[None, ..., 0] * qjl)
        )
    (k_codes, k_signs, k_norm, k_residual), (v_codes, _, v_norm, _) = cache
    y = functions["turbo_kv3_decode"](
        q[None], k_codes, k_signs, k_norm, k_residual, v_codes, v_norm, rotation, rotation, sketch, lut, lut
    )
    return y[0], F.scaled_dot_product_attention(q[:, None], k, v)[:, 0]


def kv3_draw(keys: str, h: int = 8, t: int = 1024, d: int = 64) -> Tensors:
    generator = torch.Generator().manual_seed(11)
    q, k, v = (torch.randn(*shape, generator=generator) for shape in ((h, d), (h, t, d), (h, t, d)))
    if keys == "peaked":
        k[:, ::100] = q[:, None]
    elif keys == "outlier":
        k[..., :4] *= 20
    return q, k, v + 0.5


def cosine(pair: Tensors) -> float:
    return float(F.cosine_similarity(pair[0], pair[1], dim=-1).mean())


@pytest.mark.parametrize("keys", ["plain", "peaked"])
def test_kv3_cosine_to_exact_attention(keys: str) -> None:
    assert cosine(kv3_output(*kv3_draw(keys))) >= 0.96


def test_kv3_rotation_helps_against_outlier_channels() -> None:
    draw = kv3_draw("outlier")
    assert cosine(kv3_output(*draw, qjl=False)) > cosine(kv3_output(*draw, rotate=False, qjl=False)) + 0.03


def test_kv3_levels_and_sketch() -> None:
    """Eight levels leave about 3.5 % of the energy; the sketch estimates the rest of a product without bias."""
    functions, d = namespace("turbo_kv3_decode"), 64
    generator = torch.Generator().manual_seed(5)
    k, q = torch.randn(1, 20000, d, generator=generator), torch.randn(d, generator=generator)
    eye, lut = torch.eye(d)[None], torch.tensor(functions["LUT3"])
    estimates, dropped = [], torch.zeros(())
    for _ in range(20):
        sketch = torch.randn(d, d, generator=generator)
        codes, signs, norm, residual = functions["kv3_quantise"](k, eye, sketch, lut)
        rest = k - norm * lut[codes] / d**0.5
        assert 0.03 < float(rest.square().sum() / k.square().sum()) < 0.04
        estimate = (math.pi / 2) ** 0.5 / d * residual[..., 0] * ((2 * signs.float() - 1) @ (sketch @ q))
        estimates.append(estimate - rest @ q)
        dropped = rest @ q
    errors = torch.stack(estimates)
    assert abs(float(errors.mean())) < 0.02 * float(dropped.std())
    assert 1.2 < float(errors.var() / dropped.var()) < 2.0


def test_kv3_cache_is_as_small_as_claimed() -> None:
    case = load("turbo_kv3_decode", "cpu").cases[0]
    k_codes, k_signs, k_norm, k_residual, v_codes, v_norm = draw_inputs("turbo_kv3_decode", case)[1:7]
    elements = k_norm.numel() * int(case.args["d"])
    assert k_codes.dtype == k_signs.dtype == v_codes.dtype == torch.int32 and bool((k_signs < 0).any())
    assert sum(8 * x.nbytes for x in (k_codes, k_signs, k_norm, k_residual)) / elements == 4.5
    assert sum(8 * x.nbytes for x in (v_codes, v_norm)) / elements == 3.25


def test_queries_of_a_quantised_cache_may_be_rounded_to_half_precision() -> None:
    """Three of these 100 draws had scores of hundreds, whose softmax takes another key for it."""
    task = load("turbo_kv3_decode", "cpu")
    case = next(c for c in task.cases if c.distribution == "structured")
    reference = Reference(task.reference, task.entry_point)
    for seed in range(100):
        q, *cache, rotation_k, rotation_v, sketch, lut_k, lut_v = reference.draw_from(seed, case).inputs
        rest = (rotation_v, sketch, lut_k, lut_v)
        exact = reference.target(q.float(), *cache, rotation_k, *rest)
        group = rotation_k.repeat_interleave(q.shape[1] // len(rotation_k), 0)
        rotated = (q.float()[:, :, None] @ group)[:, :, 0].half().float()
        rounded = reference.target(rotated, *cache, torch.eye(q.shape[-1]).expand_as(rotation_k), *rest)
        found = compare(rounded.to(q.dtype), exact.double(), exact, TOLERANCES[task.tolerance])
        assert not found.reason, (seed, found.reason)
