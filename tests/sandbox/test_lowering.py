"""What is compiled comes from the candidate's source: requests, the compile role's lowering, and plans put right."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_variants import KERNEL
from tracing import request

from sandbox import wire
from sandbox.bench import corpus
from sandbox.compiling import lowering
from sandbox.compiling.binary import Binary, BinaryCache
from sandbox.early_verdict import EarlyVerdictError
from sandbox.gpu_trial import MAX_CUBIN_BYTES, GpuTrial, Planned
from sandbox.local import LocalSandbox
from sandbox.plans import plan
from sandbox.pool import run_untrusted
from sandbox.trial import UNSAID
from sandbox.types import Case, Job, Limits, Rejected, Tolerance

RICH = KERNEL.replace("TUNE\n", "").replace(", OPTIONS", ", B=64, EVEN=False")
ADD = """
import torch, triton, triton.language as tl
@triton.jit
def kernel(x, y, n, B: tl.constexpr):
    at = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + at, tl.load(x + at, mask=at < n) + 1, mask=at < n)
def f(x):
    y = torch.empty_like(x)
    kernel[(4,)](x, y, x.numel(), B=256)
    return y
"""
LIE = """
import torch
for mode in torch.utils._python_dispatch._get_current_dispatch_mode_stack():
    honest = getattr(type(mode), "plan", None)
    def forged(self, *args, **keywords):
        data = honest(self, *args, **keywords)
        BODY
        return data
    if honest: type(mode).plan = forged; break
"""
FORGE = LIE.replace(
    "BODY",
    '''for kernel in data["kernels"]:
            kernel["ttir"] = "module { tt.func public @kernel() { tt.return } }"''',
)
CLAIM = LIE.replace(
    "BODY",
    """for step in data["steps"]:
            for name, argument in step.get("arguments", {}).items():
                CHANGE""",
)


def trial(sandbox: LocalSandbox, candidate: str, *hidden: bool) -> GpuTrial:
    """As on a GPU, up to where one is needed."""
    cases = tuple(Case(name=f"case{number}", hidden=flag) for number, flag in enumerate(hidden or (False,)))
    job = Job(
        reference="", candidate=candidate, entry_point="f", cases=cases, limits=Limits(),
        tolerance=Tolerance(rel_l2=1, rtol=1, atol_rms=1),
    )  # fmt: skip
    gpu: Any = SimpleNamespace(stamp={"triton": "any"})
    return GpuTrial(sandbox._tools, gpu, BinaryCache(None), {}, job)


def planned(one: GpuTrial, *inputs: torch.Tensor) -> list[Planned]:
    described = [request("", x)["cases"][0] for x in inputs]
    return one._planned(described, one.job.cases[: len(inputs)], 0)


def only(ready: Planned) -> tuple[plan.Launch, Binary]:
    (launch,) = [step for step in ready.plan.steps if isinstance(step, plan.Launch)]
    return launch, ready.binaries[ready.kernels[launch.kernel]]


def test_arguments_are_as_triton_binds_them(sandbox: LocalSandbox) -> None:
    launch, binary = only(planned(trial(sandbox, RICH), torch.randn(512))[0])
    several = launch.arguments.pop("several")
    found = {name: a.type or a.constexpr for name, a in launch.arguments.items() if isinstance(a, plan.Scalar)}
    assert found == {
        "n": "i32", "s": "fp32", "one": True, "none": True, "wide": "i64", "flag": "u1", "B": True, "EVEN": True,
    }  # fmt: skip
    assert isinstance(several, plan.Group)
    assert [a.type or a.constexpr for a in several.items if isinstance(a, plan.Scalar)] == ["i32", True, "fp32"]
    pointer = "!tt.ptr<f32>"
    assert binary.parameters == (pointer, pointer, "i32", "f32", "i32", pointer, "f32", "i64", "i1")


def test_forged_ir_is_not_compiled(sandbox: LocalSandbox) -> None:
    x = torch.randn(1000)
    (honest,), (forged,) = (planned(trial(sandbox, code), x) for code in (ADD, ADD + FORGE))
    assert only(honest)[1] == only(forged)[1]
    liar = trial(sandbox, ADD + FORGE)
    (claimed,) = liar.trace([request("", x)["cases"][0]], liar.job.cases, liar.target, 0).plans
    assert "tt.func" in claimed.kernels[0].ttir, "nothing was forged"
    (other,) = planned(trial(sandbox, ADD.replace("+ 1", "- 1")), x)
    assert only(other)[1].cubin != only(honest)[1].cubin


@pytest.mark.parametrize("change", [
    'argument.update(type="fp32")',
    'argument.update(constexpr=True) if name == "n" else None',
    'argument.update(constexpr=False, type="i32") if name == "B" else None',
])  # fmt: skip
def test_claims_about_arguments_change_no_parameter(sandbox: LocalSandbox, change: str) -> None:
    claim = change if "if" in change else f'{change} if argument["kind"] == "scalar" else None'
    ready = planned(trial(sandbox, ADD + CLAIM.replace("CHANGE", claim)), torch.randn(1000))[0]
    launch, binary = only(ready)
    passed = [name for name, a in launch.arguments.items() if not (isinstance(a, plan.Scalar) and a.constexpr)]
    assert len(passed) == len(binary.parameters)
    for name, argument in launch.arguments.items():
        if isinstance(argument, plan.Scalar):
            assert argument.type == ("i32" if name in passed else "")


def test_numbers_must_fit_the_type_that_triton_gives_them(sandbox: LocalSandbox) -> None:
    claim = 'argument.update(value=2**40, type="i64") if name == "n" else None'
    candidate = ADD.replace("n, B:", "n: tl.int32, B:") + CLAIM.replace("CHANGE", claim)
    with pytest.raises(EarlyVerdictError, match="is no run-time number of type 'i32'"):
        planned(trial(sandbox, candidate), torch.randn(1000))


@pytest.mark.parametrize("claim", [
    'pass; step["arguments"] = dict(reversed(step["arguments"].items())); break',
    'pass; step["arguments"]["m"] = step["arguments"].pop("n"); break',
])  # fmt: skip
def test_launches_have_the_parameters_of_the_source(sandbox: LocalSandbox, claim: str) -> None:
    with pytest.raises(EarlyVerdictError, match="does not have the kernel's parameters"):
        planned(trial(sandbox, ADD + CLAIM.replace("CHANGE", claim)), torch.randn(1000))


def test_misaligned_views_are_compiled_so_whatever_the_candidate_says(sandbox: LocalSandbox) -> None:
    spoof = "\nimport torch._subclasses.fake_tensor as fake\nfake.FakeTensor.data_ptr = lambda self: 0\n"
    candidate = ADD.replace("kernel[(4,)](x", "kernel[(4,)](x[1:]")
    (honest,), (spoofed,) = (
        planned(trial(sandbox, code), torch.randn(1024)) for code in (candidate, candidate + spoof)
    )
    assert only(honest)[1] == only(spoofed)[1]
    assert only(honest)[1].cubin != only(planned(trial(sandbox, ADD), torch.randn(1024))[0])[1].cubin


def test_invalid_kernels_are_rejected_in_tritons_words(sandbox: LocalSandbox) -> None:
    broken = ADD.replace("tl.arange(0, B)", "tl.arange(0, B + 1)")
    said = r"range must be a power of 2, in line \d+ of its function: .*B \+ 1"
    with pytest.raises(EarlyVerdictError, match=said) as caught:
        planned(trial(sandbox, broken), torch.randn(1000))
    assert caught.value.verdict.kind == "rejected"
    assert caught.value.verdict.stage == "compile"
    assert "arange" in caught.value.verdict.log


@pytest.mark.parametrize(("conversion", "possible"), [
    ("f32 -> f8E5M2", True), ("tensor<2x128xf32> -> tensor<2x128xf8E5M2>", True), ("f16 -> f8E5M2", False),
    ("tensor<128xbf16> -> tensor<128xf8E5M2>", False), ("tensor<128xf32> -> tensor<128xf8E4M3FN>", False),
    ("tensor<128xf32> -> tensor<128xf16>", True),
])  # fmt: skip
def test_only_float32_becomes_float8_toward_zero(conversion: str, possible: bool) -> None:
    ttir = f"%1 = tt.fp_to_fp %0, rounding = rtz : {conversion} loc(#loc5)"
    if possible:
        return lowering._check_possible("k", ttir)
    with pytest.raises(lowering.LoweringError, match="of these types cannot be compiled"):
        lowering._check_possible("k", ttir)


def test_a_call_that_triton_refuses_is_rejected_in_its_words(sandbox: LocalSandbox) -> None:
    """Its error names the caller's line and has the source of what is called."""
    helper = "@triton.jit(noinline=True)\ndef one_more(x):\n    return x + 1\n@triton.jit\ndef kernel"
    refused = ADD.replace("@triton.jit\ndef kernel", helper).replace(
        "tl.load(x + at, mask=at < n) + 1", "one_more(tl.load(x + at, mask=at < n))"
    )
    padded = refused.replace("    at = tl", "    n = n\n    n = n\n    at = tl")
    with pytest.raises(EarlyVerdictError, match="noinline, but was called with non-scalar argument"):
        planned(trial(sandbox, padded), torch.randn(1000))


def test_a_hidden_case_that_does_not_compile_says_nothing(sandbox: LocalSandbox) -> None:
    one = trial(sandbox, ADD.replace("B=256", "B=max(256, x.numel())"), False, True)
    described = [request("", torch.randn(n))["cases"][0] for n in (256, 1001)]
    with pytest.raises(EarlyVerdictError) as caught:
        one.fairly(described, lambda d, cases: one._planned(d, cases, 0))
    verdict = caught.value.verdict
    assert (verdict.kind, verdict.reason) == ("rejected", "fails on a hidden case")


@pytest.mark.parametrize(("step", "said"), [("1", "off by 1001"), ("max(STEP.value, x.numel())", UNSAID)])
def test_constants_say_nothing_about_hidden_cases(sandbox: LocalSandbox, step: str, said: str) -> None:
    candidate = ADD.replace("@triton.jit", "STEP = tl.constexpr(1)\n@triton.jit").replace("+ 1", "+ STEP")
    candidate = candidate.replace("    y =", f"    global STEP\n    STEP = tl.constexpr({step})\n    y =")
    one = trial(sandbox, candidate, True, False)
    described = [request("", torch.randn(n))["cases"][0] for n in (1001, 256)]
    ready = one._planned(described, one.job.cases, 0)
    stop = EarlyVerdictError(Rejected(stage="numerics", reason="off by 1001"), one.job.cases[1])
    assert one.openly(stop, described, ready, lambda d, cases: one._planned(d, cases, 0)).verdict.reason == said


def test_machine_code_of_all_configurations_fits_a_frame(sandbox: LocalSandbox) -> None:
    one = trial(sandbox, ADD)
    (ready,) = planned(one, torch.randn(1000))
    _, binary = only(ready)
    half = binary.model_copy(update={"cubin": "A" * (MAX_CUBIN_BYTES // 2 + 1)})
    nowhere: Any = None
    with pytest.raises(EarlyVerdictError, match="machine code in all") as caught:
        one._load(nowhere, [ready._replace(binaries={name: half}) for name in ("one", "two")])
    assert caught.value.verdict.kind == "rejected"


def test_module_numbers_must_be_constexpr(sandbox: LocalSandbox) -> None:
    constant = ADD.replace("@triton.jit", "STEP = tl.constexpr(2)\n@triton.jit").replace("+ 1", "+ STEP")
    assert only(planned(trial(sandbox, constant), torch.randn(1000))[0])[1].parameters
    with pytest.raises(EarlyVerdictError, match=r"'STEP' is neither .* a constant"):
        planned(trial(sandbox, constant.replace("tl.constexpr(2)", "2")), torch.randn(1000))


def test_equal_specialisations_are_compiled_once(sandbox: LocalSandbox) -> None:
    one = trial(sandbox, ADD, False, False, False)
    ready = planned(one, torch.randn(1000), torch.randn(1008), torch.randn(999))
    first, second, third = (only(found) for found in ready)
    assert first == (third[0].model_copy(update={"arguments": first[0].arguments}), third[1])
    assert second[1] != first[1]
    one.tools = SimpleNamespace(tracer=sandbox.tracer)  # type: ignore[assignment]  # no compiler: everything is known
    assert [only(found)[1] for found in planned(one, torch.randn(997))] == [first[1]]


@pytest.mark.parametrize(
    "name", ["combine_tuple_reduce", "device_functions", "do_not_specialize", "host_descriptor", "optional_pointer"]
)
def test_same_code_as_from_the_tracers_ir(sandbox: LocalSandbox, name: str) -> None:
    candidate = corpus.read_candidate(corpus.HONEST / f"{name}.py")
    job = corpus.job(candidate, Limits())
    judge = sandbox.judges.get()
    asked = {
        "reference": job.reference,
        "entry_point": job.entry_point,
        "cases": [c.model_dump() for c in job.cases[:2]],
    }
    described = judge.ask({"op": "describe", **asked}, 60.0)[0]["cases"]
    sandbox.judges.put(judge)
    one = trial(sandbox, job.candidate)
    one.job = job
    plans = _traced(sandbox, job, described)
    for traced, ready in zip(plans, one._planned(described, job.cases[:2], 0), strict=True):
        launches = [step for step in traced.steps if isinstance(step, plan.Launch)]
        settled = [step for step in ready.plan.steps if isinstance(step, plan.Launch)]
        assert [launch.arguments for launch in launches] == [launch.arguments for launch in settled]
        for before, after in zip(launches, settled, strict=True):
            code = traced.kernels[before.kernel].model_dump(include={"name", "ttir", "options"})
            reply = _role(sandbox, {"kernels": [code], "static": False})
            assert reply["binaries"][0]["cubin"] == ready.binaries[ready.kernels[after.kernel]].cubin


def _traced(sandbox: LocalSandbox, job: Job, described: list[Any]) -> list[plan.Plan]:
    asked = {
        "candidate": job.candidate, "entry_point": job.entry_point, "cases": described, "target": "sm_90", "ttir": True,
    }  # fmt: skip
    reply = wire.loads(run_untrusted(sandbox.tracer, asked, 30.0, 2048, ()).reply)
    return [plan.Plan.model_validate(found) for found in reply["plans"]]


def _role(sandbox: LocalSandbox, asked: dict[str, Any]) -> dict[str, Any]:
    return wire.loads(run_untrusted(sandbox.compiler, {"target": "sm_90", **asked}, 30.0, 2048, ()).reply)  # type: ignore[no-any-return]
