"""The plan validator: whatever a tracer sends, it either describes bounded work on its own buffers or is refused."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import plan, wire
from sandbox.types import Rejected

ARENA = 1 << 20


def view(buffer: int = 1, n: int = 8, **changes: Any) -> dict[str, Any]:
    return {"buffer": buffer, "dtype": "float32", "shape": [n], "strides": [1], "offset": 0, **changes}


def launch(*views: dict[str, Any], grid: tuple[int, int, int] = (1, 1, 1)) -> dict[str, Any]:
    arguments = {f"p{i}": {"kind": "pointer", "view": v} for i, v in enumerate(views)}
    return {"kind": "launch", "kernel": 0, "grid": list(grid), "arguments": arguments}


def make(**changes: Any) -> dict[str, Any]:
    return {
        "buffers": [{"nbytes": 32, "input": 0}, {"nbytes": 32}],
        "kernels": [{"name": "k", "line": 1, "ttir": "", "options": {"num_warps": 4}, "constants": {}}],
        "steps": [launch(view(0), view(1))],
        "output": {"view": view(1)},
        **changes,
    }


def verdict(data: Any) -> Rejected | plan.OutputTree:
    parsed = plan.parse(data)
    return parsed if isinstance(parsed, Rejected) else plan.check(parsed, [32], "triton_only", ARENA)


def test_a_sound_plan_passes() -> None:
    assert isinstance(verdict(make()), plan.OutputTree)


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


@settings(max_examples=100, deadline=None)
@given(json)
def test_wire_round_trip(value: Any) -> None:
    assert wire.loads(wire.dumps(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_wire_refuses_what_json_cannot_say(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        wire.dumps({"x": value})
    assert repr(plan.decode_number(plan.encode_number(value))) == repr(value)
