"""The plan validator: whatever a tracer sends, it either describes bounded work on its own buffers or is refused."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans_by_hand import launch, make, torch_call, view

from sandbox import wire
from sandbox.plans import plan, plan_check
from sandbox.types import Policy, Rejected

ARENA = 1 << 20


def argument(**scalar: Any) -> dict[str, Any]:
    """A launch with one argument more."""
    step = launch(view(0), view(1))
    return {**step, "arguments": {**step["arguments"], "a": {"kind": "scalar", **scalar}}}


def verdict(data: Any, policy: Policy = "triton_only", mutates: tuple[int, ...] = ()) -> Rejected | plan.OutputTree:
    parsed = plan.parse(data)
    return parsed if isinstance(parsed, Rejected) else plan_check.check(parsed, [32], policy, ARENA, mutates)


def test_a_sound_plan_passes() -> None:
    assert isinstance(verdict(make()), plan.OutputTree)


def test_deep_networks_have_thousands_of_weights_and_not_more() -> None:
    """DenseNet-201 in KernelBench's level 3: 2,064 buffers."""

    def with_weights(count: int) -> dict[str, Any]:
        return make(buffers=[*make()["buffers"], *[{"nbytes": 4} for _ in range(count)]])

    assert isinstance(verdict(with_weights(2062)), plan.OutputTree)
    found = verdict(with_weights(plan.MAX_BUFFERS))
    assert isinstance(found, Rejected) and "at most 4096 items" in found.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": []}, "no Triton kernel is launched"),
        ({"steps": [launch(view(0))]}, "not written by any Triton kernel"),
        ({"output": {"view": view(0)}}, "is an input"),
        ({"output": {"view": view(1, n=9)}}, "past the end"),
        ({"output": {"view": view(1, offset=1)}}, "past the end"),
        ({"output": {"view": view(7)}}, "no buffer"),
        ({"output": {"view": view(1, dtype="string")}}, "dtype"),
        ({"output": {"value": 3}}, "no tensor"),
        ({"output": {"view": view(1, strides=[-1])}}, "greater than or equal to 0"),
        ({"steps": [launch(view(0), view(1), grid=(2**31, 2, 1))]}, "too large"),
        ({"steps": [launch(view(0), view(1)), {"kind": "torch", "name": "aten::add"}]}, "aten::add is not allowed"),
        ({"steps": [launch(view(0), view(1)), {"kind": "fill", "target": view(0), "value": 0}]}, "one of its inputs"),
        ({"steps": [{"kind": "copy", "target": view(1), "source": view(0)}]}, "no Triton kernel"),
        ({"buffers": [{"nbytes": 32, "input": 0}, {"nbytes": ARENA + 1}]}, "exceed"),
        ({"buffers": [{"nbytes": 64, "input": 0}, {"nbytes": 32}]}, "claims to be input"),
        ({"surprise": 1}, "surprise"),
        ({"kernels": []}, "refers to no kernel"),
        ({"steps": [launch(view(0), view(1), grid=(1, 65536, 1))]}, "too large"),
        ({"buffers": [{"nbytes": 32, "input": 0}, {"nbytes": 32, "input": 0}]}, "same input"),
        ({"steps": [argument(value=2**31, type="i32")]}, "no run-time number of type 'i32'"),
        ({"steps": [argument(value=-1, type="u8")]}, "no run-time number of type 'u8'"),
        ({"steps": [argument(value=1.5, type="i64")]}, "no run-time number of type 'i64'"),
        ({"steps": [argument(value=3, type="i7")]}, "no run-time number of type 'i7'"),
        ({"steps": [argument(value=3)]}, "no run-time number of type ''"),
        ({"steps": [argument(value=None, type="fp32")]}, "no run-time number"),
        ({"steps": [argument(value="float:maybe", type="fp32")]}, "text"),
        ({"steps": [torch_call(view(1), view(0))]}, "write it as a Triton kernel"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], said: str) -> None:
    found = verdict(make(**changes))
    assert isinstance(found, Rejected) and found.stage == "plan"
    assert said in found.reason


def test_an_empty_output_needs_no_launch() -> None:
    assert isinstance(verdict(make(steps=[], output={"view": view(1, n=0)})), plan.OutputTree)
    assert isinstance(verdict(make(steps=[], output={"tuple": [{"view": view(1, n=0)}, {"view": view(1)}]})), Rejected)


def test_copying_an_input_beside_a_launch_is_not_work() -> None:
    """A decoy: the kernel only touches the input, the output is a torch copy of it."""
    steps = [launch(view(0)), {"kind": "copy", "target": view(1), "source": view(0)}]
    found = verdict(make(steps=steps))
    assert isinstance(found, Rejected) and "not written by any Triton kernel" in found.reason


@pytest.mark.parametrize(
    ("value", "kind"),
    [(-(2**31), "i32"), (2**64 - 1, "u64"), (True, "u1"), (2, "fp32"), (1.5, "bf16"), ("float:-inf", "fp16")],
)
def test_numbers_that_fit_their_types(value: Any, kind: str) -> None:
    assert isinstance(verdict(make(steps=[argument(value=value, type=kind)])), plan.OutputTree)


@pytest.mark.parametrize(
    ("changes", "sound"),
    [
        ({}, True),
        ({"padding": "nan", "round_to_tf32": True}, True),
        ({"padding": "one"}, False),
        ({"block_shape": [2]}, False),
        ({"block_shape": [2, 0]}, False),
        ({"view": view(1, shape=[2, 4], strides=[4, 1], dtype="int32"), "round_to_tf32": True}, False),
        ({"view": view(1, shape=[2, 3], strides=[3, 1])}, False),
        ({"view": view(1, shape=[4, 2], strides=[1, 4])}, False),
        ({"view": view(1, shape=[1, 4], strides=[4, 1], offset=1)}, False),
        ({"view": view(1, shape=[0, 4], strides=[4, 1])}, False),
        ({"view": view(1, shape=[], strides=[]), "block_shape": []}, False),
    ],
)
def test_descriptors_are_what_the_hardware_takes(changes: dict[str, Any], sound: bool) -> None:
    usual = {"kind": "descriptor", "view": view(1, shape=[2, 4], strides=[4, 1]), "block_shape": [2, 4]}
    step = {"kind": "launch", "kernel": 0, "grid": [1, 1, 1], "arguments": {"d": {**usual, **changes}}}
    assert isinstance(verdict(make(steps=[step])), plan.OutputTree if sound else Rejected)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": [torch_call(view(1), view(0))]}, None),
        ({"steps": [{"kind": "copy", "target": view(1), "source": view(0)}]}, None),
        ({"steps": []}, "not written by anything"),
        ({"steps": [torch_call(view(0), view(0), name="aten::relu_")]}, "one of its inputs"),
        ({"steps": [torch_call(view(1), view(0), name="aten::nonzero")]}, "not among those"),
        ({"steps": [torch_call(view(1), view(0), name="mine::relu")]}, "not among those"),
        ({"steps": [torch_call(view(1), view(0), name="aten::where")]}, "not among those"),
        ({"steps": [torch_call(view(1), view(0), name="aten::bernoulli")]}, "random"),
        ({"steps": [{"kind": "torch", "name": "aten::relu"}]}, "cannot be recorded"),
        ({"steps": [torch_call(view(1), view(0, n=9))]}, "past the end"),
        ({"steps": [torch_call(view(1, n=9), view(0))]}, "past the end"),
        ({"steps": [torch_call(view(1), keywords={"dtype": {"kind": "dtype", "name": "string"}})]}, "dtype"),
        ({"steps": [torch_call(view(1), keywords={"a": {"kind": "value", "value": "float:1"}})]}, "no number"),
        ({"steps": [torch_call(view(1), keywords={"a": {"kind": "value", "value": 2**64}})]}, "64 bits"),
        ({"steps": [torch_call(view(1), keywords={"a": {"kind": "file", "name": "x"}})]}, "does not match"),
    ],
)
def test_torch_operators_under_mixed(changes: dict[str, Any], said: str | None) -> None:
    found = verdict(make(**changes), "mixed")
    assert isinstance(found, plan.OutputTree) if said is None else isinstance(found, Rejected) and said in found.reason


def test_running_statistics_count_as_written() -> None:
    """`native_batch_norm` changes two arguments that it does not return, when it trains."""

    def step(training: bool) -> dict[str, Any]:
        call = torch_call(view(1), *[view(0)] * 5, name="aten::native_batch_norm")
        return {**call, "arguments": [*call["arguments"], {"kind": "value", "value": training}]}

    found = verdict(make(steps=[step(True)]), "mixed")
    assert isinstance(found, Rejected) and "one of its inputs" in found.reason
    assert isinstance(verdict(make(steps=[step(False)]), "mixed"), plan.OutputTree)


@pytest.mark.parametrize("policy", ["triton_only", "mixed"])
def test_an_input_is_an_output_only_where_the_task_says_so(policy: Policy) -> None:
    in_place = make(steps=[launch(view(0))], output={"view": view(0)})
    assert isinstance(verdict(in_place, policy, (0,)), plan.OutputTree)
    assert isinstance(verdict(in_place, policy, (1,)), Rejected)
    untouched = make(steps=[launch(view(1))], output={"view": view(0)})
    assert isinstance(verdict(untouched, policy, (0,)), Rejected)
    filled = make(steps=[{"kind": "fill", "target": view(0), "value": 0}, launch(view(0))], output={"view": view(0)})
    assert isinstance(verdict(filled, policy, (0,)), plan.OutputTree)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
keys = st.sampled_from(["buffers", "kernels", "steps", "output"])


@settings(max_examples=200, deadline=None)
@given(key=keys, value=json)
def test_fuzz_never_raises_and_never_accepts_garbage(key: str, value: Any) -> None:
    found = verdict(make(**{key: value}))
    assert isinstance(found, Rejected)


@settings(max_examples=200, deadline=None)
@given(
    buffer=st.integers(0, 2**48), shape=st.lists(st.integers(0, 2**40), max_size=4),
    strides=st.lists(st.integers(0, 2**40), max_size=4), offset=st.integers(0, 2**47),
)  # fmt: skip
def test_fuzz_views_stay_inside_their_buffer(buffer: int, shape: list[int], strides: list[int], offset: int) -> None:
    odd = {"buffer": buffer, "dtype": "float32", "shape": shape, "strides": strides, "offset": offset}
    found = verdict(make(output={"view": odd}))
    if isinstance(found, plan.OutputTree) and all(shape):
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        assert buffer == 1 and 4 * (last + 1) <= 32


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(["aten::relu", "aten::native_batch_norm", "aten::add", "aten::arange", "os::system", ""]),
    overload=st.sampled_from(["", "Tensor", "out", "names"]), arguments=json, keywords=json, results=json,
)  # fmt: skip
def test_fuzz_torch_calls_never_raise(name: str, overload: str, arguments: Any, keywords: Any, results: Any) -> None:
    call = {"kind": "torch", "name": name, "overload": overload}
    for key, value in (("arguments", arguments), ("keywords", keywords), ("results", results)):
        found = verdict(make(steps=[{**torch_call(view(1), view(0)), **call, key: value}]), "mixed")
        assert isinstance(found, Rejected) or (name.startswith("aten::") and value in ([], {}))


@settings(max_examples=300, deadline=None)
@given(
    value=st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just("float:nan"),
    kind=st.sampled_from(["i1", "i32", "u64", "fp16", "fp64", "", "constexpr", "*fp32", "i32i32"]),
)
def test_fuzz_run_time_numbers_can_be_packed(value: Any, kind: str) -> None:
    found = verdict(make(steps=[argument(value=value, type=kind)]))
    if isinstance(found, plan.OutputTree):
        number = plan.decode_number(value)
        assert kind.startswith("fp") or (-(2**31) <= number < 2**64 and number == int(number))


@settings(max_examples=100, deadline=None)
@given(json)
def test_wire_round_trip(value: Any) -> None:
    assert wire.loads(wire.dumps(value)) == value


@pytest.mark.parametrize("text", [b'{"value": NaN}', b"[-Infinity]", b"1e999", b"[1, -1e999]"])
def test_wire_reads_no_number_that_it_could_not_send(text: bytes) -> None:
    with pytest.raises(ValueError, match="no number"):
        wire.loads(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_wire_refuses_what_json_cannot_say(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        wire.dumps({"x": value})
    assert repr(plan.decode_number(plan.encode_number(value))) == repr(value)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "triton.language.core:exp",
        "triton.language:device_print",
        "triton.language:math",
        "triton.language:atomic_add",
        "triton.language",
        "triton.language.math:exp.__globals__",
    ],
)
def test_what_is_passed_of_the_language_is_public(name: str) -> None:
    plan.Symbol(kind="language", name="triton.language.math:exp")
    with pytest.raises(ValueError, match="may not be passed"):
        plan.Symbol(kind="language", name=name)
