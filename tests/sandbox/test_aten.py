"""Torch operators in plans: the whitelist is what it says, and what is recorded computes what torch computes."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._pytree import tree_leaves
from tracing import execute, request, trace_all

from sandbox.plans import aten, plan, plan_check
from sandbox.plans.aten_names import FUNCTIONAL, IN_PLACE, RANDOM, allowed

X, Y = torch.randn(4, 8, 16, generator=torch.Generator().manual_seed(1)), torch.randn(16, 16)
SIZES = [X.numel() * 4, Y.numel() * 4]
PREAMBLE = "import torch, torch.nn as nn\nimport torch.nn.functional as F\n"
CANDIDATES = {
    "linear": "def f(x, y): return torch.relu(F.linear(x, y) + 1.5)",
    "softmax": "def f(x, y): return F.softmax(x @ y, -1), F.log_softmax(x, 1)",
    "normalisations": "def f(x, y): return F.layer_norm(x, (16,)), F.rms_norm(x, (16,)), F.group_norm(x, 2)",
    "batch norm": "def f(x, y): return F.batch_norm(x, None, None, training=True), F.instance_norm(x)",
    "attention": """
def f(x, y):
    q, mask = x[:, None], torch.ones(8, 8, dtype=torch.bool).tril()
    causal = F.scaled_dot_product_attention(q, q, q, is_causal=True)
    grouped = F.scaled_dot_product_attention(torch.cat([q, -q], 1), q, q, enable_gqa=True)
    masked = F.scaled_dot_product_attention(q, q, q, attn_mask=mask)
    return causal, F.scaled_dot_product_attention(x, x, x), masked, grouped
""",
    "convolution and pooling": """
def f(x, y): return F.conv1d(x, x[:, :, :3]), F.max_pool1d(x, 2), F.avg_pool1d(x, 2), F.adaptive_avg_pool1d(x, 4)
""",
    "recurrent layers": """
def f(x, y):
    h, both = x.new_zeros(1, 8, 4), x.new_ones(2, 8, 4)
    lstm = torch.lstm(x, (h, h + 1), [y, y[:, :4], y[0], y[1]], True, 1, 0.0, False, False, False)
    gru = torch.gru(x, both, 2 * [y[:12], y[:12, :4], y[0, :12], y[1, :12]], True, 1, 0.0, True, True, False)
    return lstm, gru, torch.rnn_tanh(x, x.new_zeros(1, 4, 16), [y, y], False, 1, 0.0, False, False, True)
""",
    "indices": """
def f(x, y):
    order = x.argsort(-1)
    return (x[:, torch.tensor([0, 2])], x.gather(-1, order), F.embedding(order[:, 0], y), x.topk(3), x.max(-1),
            torch.zeros(4, 16).scatter_add(1, order[:, 0], x[:, 0]), torch.where(x > 0, x, 0.0),
            torch.arange(5, device=x.device))
""",
    "in place": """
def f(x, y):
    z = x.clone()
    z.mul_(2).add_(y[:8])
    z[:, 0] = 7
    z[:, :, 1] += 3
    return z
""",
    "out": "def f(x, y):\n    out = torch.empty(16, 16, device=x.device)\n    torch.mm(y, y, out=out)\n    return out",
    "inference mode": """
@torch.inference_mode()
def f(x, y): return F.linear(x, y).reshape(-1).contiguous().to(torch.float16)
""",
    "table made at import": """
T = 1.0 / (10000 ** (torch.arange(0, 16, device=DEVICE).float() / 16))
T.mul_(2)
def f(x, y): return x * T + torch.tensor([1.0, 2.0] * 8)
""",
    "table kept from the first call": """
KEPT = {}
def f(x, y):
    if "table" not in KEPT:
        KEPT["table"] = torch.arange(16).float().cos()
    return x + KEPT["table"]
""",
    "non-finite numbers": "def f(x, y): return torch.clamp(x, -1, float('inf')), x.masked_fill(x > 0, float('-inf'))",
    "reductions": "def f(x, y): return x.cumsum(-1), x.std(-1), x.norm(dim=-1), x.mean(), torch.logsumexp(x, -1)",
    "Fourier transforms": """
def f(x, y):
    spectrum = torch.fft.rfft(x)
    return torch.fft.irfft(spectrum * spectrum.conj()), torch.fft.fft2(y).real, torch.fft.ifft(x).abs()
""",
    "weights made of others": "def f(x, y): return torch._weight_norm(y, y[:, :1]), F.bilinear(x, x, y[None])",
    "views": "def f(x, y): return torch.einsum('bij,bkj->bik', x, x), torch.cat([x, x], 1).transpose(1, 2) * 2",
}
Replies = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory) -> Replies:
    sources = [PREAMBLE + code.replace("DEVICE", "'cuda'") for code in (*CANDIDATES.values(), *REFUSED.values())]
    answers = trace_all([request(source, X, Y) for source in sources], tmp_path_factory.mktemp("traces"))
    return dict(zip((*CANDIDATES, *REFUSED), answers, strict=True))


@pytest.mark.parametrize("name", CANDIDATES)
def test_recorded_operators_compute_what_torch_computes(replies: Replies, name: str) -> None:
    found = plan.parse(replies[name].get("plans", [replies[name]])[0])
    assert isinstance(found, plan.Plan), found
    assert isinstance(plan_check.check(found, SIZES, "mixed", 1 << 24), plan.OutputTree)
    space: dict[str, Any] = {}
    exec(PREAMBLE + CANDIDATES[name].replace("DEVICE", "'cpu'"), space)
    for ours, right in zip(execute(found, X, Y), tree_leaves(space["f"](X, Y)), strict=True):
        torch.testing.assert_close(ours, right)


@pytest.mark.parametrize("name", CANDIDATES)
def test_triton_only_names_the_operator(replies: Replies, name: str) -> None:
    found = plan.parse(replies[name]["plans"][0])
    assert isinstance(found, plan.Plan)
    rejected = plan_check.check(found, SIZES, "triton_only", 1 << 24)
    assert not isinstance(rejected, plan.OutputTree) and "aten::" in rejected.reason


REFUSED = {
    "random": "def f(x, y): return x + torch.randn_like(x)",
    "dropout": "def f(x, y): return F.dropout(x, 0.5)",
    "unknown": "def f(x, y): return torch.linalg.inv(y)[0] + x",
    "input in place": "def f(x, y):\n    return x.add_(1)",
    "input returned": "def f(x, y): return x.view(4, -1)",
    "memory": "def f(x, y):\n    z = x.clone()\n    z.resize_(2, 2)\n    return z",
}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("random", "draws random numbers"),
        ("dropout", "draws random numbers"),
        ("unknown", "is not among those"),
        ("input in place", "writes to one of its inputs"),
        ("input returned", "is an input"),
        ("memory", "resize_ is not among those"),
    ],
)
def test_what_mixed_does_not_allow(replies: Replies, name: str, said: str) -> None:
    found = plan.parse(replies[name]["plans"][0])
    assert isinstance(found, plan.Plan)
    rejected = plan_check.check(found, SIZES, "mixed", 1 << 24)
    assert not isinstance(rejected, plan.OutputTree) and said in rejected.reason


def test_what_the_task_mutates_may_be_changed_and_returned(replies: Replies) -> None:
    found = plan.parse(replies["input in place"]["plans"][0])
    assert isinstance(found, plan.Plan)
    assert isinstance(plan_check.check(found, SIZES, "mixed", 1 << 24, mutates=(0,)), plan.OutputTree)
    assert not isinstance(plan_check.check(found, SIZES, "mixed", 1 << 24, mutates=(1,)), plan.OutputTree)


def test_the_whitelist_is_deterministic_and_has_no_shapes_that_depend_on_data() -> None:
    for name in sorted(FUNCTIONAL | IN_PLACE):
        packet = getattr(torch.ops.aten, name)  # exists
        for overload in packet.overloads():
            operator = getattr(packet, overload)
            tensors = all("Tensor" in str(value.type) for value in operator._schema.returns)
            if not allowed(f"aten::{name}", "" if overload == "default" else overload) or not tensors:
                continue
            tags = {str(tag).removeprefix("Tag.") for tag in operator.tags}
            arguments = {argument.name for argument in operator._schema.arguments}
            assert "data_dependent_output" not in tags and "generator" not in arguments, operator
            assert "nondeterministic_seeded" not in tags or arguments & {"dropout_p", "dropout"}, operator
            assert "dynamic_output_shape" not in tags or name == "index", operator  # masks fail on meta tensors
    assert not RANDOM & (FUNCTIONAL | IN_PLACE)
    assert not any(allowed(f"aten::{name}", "") for name in ("set_", "resize_", "as_strided_", "nonzero", "from_file"))


def call(name: str, *arguments: dict[str, Any], shape: tuple[int, ...] = (4,), **changes: Any) -> plan.TorchCall:
    return plan.TorchCall.model_validate(
        {"name": name, "arguments": list(arguments), "results": [_view(2, shape)], **changes}
    )


def _view(buffer: int, shape: tuple[int, ...] = (4,), dtype: str = "float32") -> dict[str, Any]:
    strides = list(torch.empty(shape).stride())
    return {"buffer": buffer, "dtype": dtype, "shape": list(shape), "strides": strides, "offset": 0}


def _tensor(buffer: int, shape: tuple[int, ...] = (4,), dtype: str = "float32") -> dict[str, Any]:
    return {"kind": "tensor", "view": _view(buffer, shape, dtype)}


def _value(value: Any) -> dict[str, Any]:
    return {"kind": "value", "value": value}


def _gru(weights: dict[str, Any], dropout: float = 0.0, train: bool = False) -> plan.TorchCall:
    """Of [T, B, 3] with one layer, H = 2, no biases."""
    settings = [_value(v) for v in (False, 1, dropout, train, False, False)]
    given = [_tensor(0, (5, 1, 3)), _tensor(1, (1, 1, 2)), {"kind": "list", "items": [weights, _tensor(3, (6, 2))]}]
    results = [_view(4, (5, 1, 2)), _view(5, (1, 1, 2))]
    return call("aten::gru", *given, *settings, overload="input", results=results)


def test_a_recurrent_layer_is_checked_by_shape() -> None:
    aten.check(_gru(_tensor(2, (6, 3))))


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        (call("aten::add_", _tensor(0), _value(1), overload="Scalar"), "not among its results"),
        (call("aten::repeat", _tensor(0), {"kind": "list", "items": [_value(1 << 40)]}), "recorded is"),
        (call("aten::mm", _tensor(0, (4, 4)), _tensor(1, (4, 4))), "recorded is"),
        (
            call("aten::index", _tensor(0), {"kind": "list", "items": [_tensor(1, dtype="bool")]}, overload="Tensor"),
            "cannot be called so|recorded is",
        ),
        (call("aten::mm", _tensor(0)), "cannot be called so"),
        (call("aten::add", _value(1), _value(2), overload="int"), "no tensor"),
        (call("aten::nonzero", _tensor(0)), "not allowed"),
        (call("aten::relu", _tensor(0), overload="of_nothing"), "no overload"),
        (call("aten::native_dropout", _tensor(0), _value(0.5), _value(True)), "not allowed"),
        (_gru(_tensor(2, (6, 2))), "other shapes"),
        (_gru(_tensor(2, (6, 3), "int8")), "another dtype"),
        (_gru(_tensor(2, (6, 3)), dropout=0.5, train=True), "dropout"),
        (
            call(
                "aten::scaled_dot_product_attention", *[_tensor(0, (1, 4))] * 3, shape=(1, 4),
                keywords={"dropout_p": _value(0.5)},
            ),
            "dropout",
        ),
    ],
)  # fmt: skip
def test_a_forged_call_is_refused_before_it_gets_memory(forged: plan.TorchCall, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        aten.check(forged)


def test_results_are_copied_to_where_the_plan_wants_them() -> None:
    memory = [torch.arange(4.0), torch.ones(4), torch.full((4,), float("nan"))]
    aten.execute(call("aten::add", _tensor(0), _tensor(1), overload="Tensor"), lambda view: memory[view.buffer])
    assert memory[2].tolist() == [1, 2, 3, 4]
    in_place = call("aten::mul_", _tensor(2), _value(2), overload="Scalar")
    aten.execute(in_place, lambda view: memory[view.buffer])
    assert memory[2].tolist() == [2, 4, 6, 8]
    assert F.relu(memory[0]).tolist() == [0, 1, 2, 3]
