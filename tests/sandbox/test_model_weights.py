"""`ModelNew` gets the reference's weights, whatever its constructor makes out of them; or a clear reason why not."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.functional import linear
from tracing import execute, model_request, trace_all

from sandbox.judging.reference import Reference
from sandbox.plans import plan, plan_check
from sandbox.types import Case

X = torch.randn(4, 16)
W, B, W2 = torch.randn(8, 16), torch.randn(8), torch.randn(8, 16)
Q = torch.randn(16, 16)
BOTH = {"linear.weight": W, "linear.bias": B}
SQUARE = {"linear.weight": Q, "linear.bias": torch.randn(16)}
QK = {"q.weight": W, "q.bias": B, "k.weight": W2, "k.bias": B * 2}
NORM = {name: torch.randn(16) for name in ("norm.weight", "norm.bias", "fc.bias", "scale")}
BIASES = {"conv.bias": torch.randn(16), "bias": torch.randn(16, 1, 1)}
BATCH = {f"bn.{name}": value.detach() for name, value in nn.BatchNorm1d(16).state_dict().items()}

LAYER = nn.TransformerEncoderLayer(16, 2, 8, 0.0)


class Example(NamedTuple):
    state: dict[str, torch.Tensor]
    constructor: str
    forward: str
    expected: Callable[[torch.Tensor], torch.Tensor]
    constants: dict[str, float] | None = None


def right(x: torch.Tensor) -> torch.Tensor:
    return linear(x, W, B)


def square(x: torch.Tensor) -> torch.Tensor:
    return linear(x, Q, SQUARE["linear.bias"])


def rounded(x: torch.Tensor) -> torch.Tensor:
    return linear(x, W.half().float(), B)


LINEAR = "self.linear = nn.Linear(16, 8)"
EXAMPLES = {
    "same names": Example(BOTH, LINEAR, "return self.linear(x)", right),
    "other names": Example(BOTH, "self.fc = nn.Linear(16, 8)", "return self.fc(x)", right),
    "packed attribute": Example(
        BOTH, f"{LINEAR}; self.wt = self.linear.weight.t().contiguous()", "return x @ self.wt + self.linear.bias", right
    ),
    "packed buffer of a square weight": Example(
        SQUARE,
        "self.linear = nn.Linear(16, 16); self.register_buffer('wt', self.linear.weight.detach().t().contiguous())",
        "return x @ self.wt + self.linear.bias", square,
    ),
    "buffer that is not saved": Example(
        BOTH, f"{LINEAR}; self.register_buffer('wt', self.linear.weight.detach().t().clone(), persistent=False)",
        "return x @ self.wt + self.linear.bias", right,
    ),
    "layer made for its weights only": Example(
        SQUARE, "l = nn.Linear(16, 16); self.wt = nn.Parameter(l.weight.t().contiguous()); self.b = l.bias",
        "return x @ self.wt + self.b", square,
    ),
    "layer that nobody needs": Example(
        BOTH, f"l = nn.Linear(16, 4); {LINEAR}", "return self.linear(x)", right
    ),
    "half": Example(
        BOTH, f"{LINEAR}; self.half()", "return self.linear(x.half()).float()",
        lambda x: linear(x.half(), W.half(), B.half()).float(),
    ),
    "half copy": Example(
        BOTH, f"{LINEAR}; self.w = nn.Parameter(self.linear.weight.half())",
        "return F.linear(x, self.w.float(), self.linear.bias)", rounded,
    ),
    "drawn in half": Example(
        BOTH, "self.w = nn.Parameter(torch.randn(8, 16).half()); self.b = nn.Parameter(torch.zeros(8))",
        "return F.linear(x, self.w.float(), self.b)", rounded,
    ),
    "drawn and scaled": Example(
        BOTH, "self.w = nn.Parameter(torch.randn(8, 16) * 0.02); self.b = nn.Parameter(torch.zeros(8))",
        "return F.linear(x, self.w, self.b)", right,
    ),
    "parameter list": Example(
        {"ws.0": Q, "ws.1": Q * 2},
        "self.parts = nn.ParameterList([nn.Parameter(torch.randn(16, 16)) for _ in range(2)])",
        "return x @ self.parts[0] @ self.parts[1]", lambda x: x @ Q @ (Q * 2),
    ),
    "looks into the mask": Example(
        {f"encoder.layers.0.{name}": value.detach() for name, value in LAYER.state_dict().items()},
        "self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 8, 0.0), 1)",
        "return self.encoder(x, torch.ones(4, 4).triu(1).bool()) + F.one_hot(torch.arange(4), 16)",
        lambda x: LAYER(x, torch.ones(4, 4).triu(1).bool()).detach() + torch.eye(4, 16),
    ),
    "copies of one layer": Example(
        {"parts.0.weight": Q, "parts.1.weight": Q * 2},
        "import copy; l = nn.Linear(16, 16, bias=False); "
        "self.parts = nn.ModuleList([copy.deepcopy(l) for _ in range(2)])",
        "return self.parts[1](self.parts[0](x))", lambda x: x @ Q.t() @ Q.t() * 2,
    ),
    "other dimensions of 1": Example(
        {"w": W, "bias": B.reshape(1, 8), "scale": W2[:, :1].clone()},
        "self.w = nn.Parameter(torch.randn(8, 16)); self.bias = nn.Parameter(torch.randn(8)); "
        "self.gain = nn.Parameter(torch.randn(8).half())",
        "return F.linear(x, self.w, self.bias) * self.gain.float()", lambda x: right(x) * W2[:, 0].half().float(),
    ),
    "tied": Example(
        {"a.weight": W, "b.weight": W},
        "self.a = nn.Linear(16, 8, bias=False); self.b = nn.Linear(16, 8, bias=False); self.b.weight = self.a.weight",
        "return self.a(x) + self.b(x)", lambda x: 2 * (x @ W.t()),
    ),
    "tied and converted": Example(
        {"a.weight": W, "b.weight": W},
        "self.a = nn.Linear(16, 8, bias=False); self.b = nn.Linear(16, 8, bias=False); self.b.weight = self.a.weight; "
        "self.double()",
        "return (self.a(x.double()) + self.b(x.double())).float()", lambda x: 2 * (x @ W.t()),
    ),
    "packed from two": Example(
        QK, "q = nn.Linear(16, 8); k = nn.Linear(16, 8); self.w = nn.Parameter(torch.cat([q.weight, k.weight])); "
        "self.b = nn.Parameter(torch.cat([q.bias, k.bias]))",
        "return F.linear(x, self.w, self.b)", lambda x: torch.cat([right(x), linear(x, W2, B * 2)], -1),
    ),
    "constants and masks": Example(
        BOTH, f"{LINEAR}; self.s = nn.Parameter(torch.ones(8) * 2); "
        "self.register_buffer('mask', torch.tril(torch.ones(8, 8)))",
        "return (self.linear(x) * self.s) @ self.mask", lambda x: (right(x) * 2) @ torch.tril(torch.ones(8, 8)),
    ),
    "statistics of its own": Example(
        BATCH, "self.bn = nn.BatchNorm1d(16)", "return self.bn(self.bn(x))",
        lambda x: nn.BatchNorm1d(16)(nn.BatchNorm1d(16)(x)),
    ),
    "statistics that are given": Example(
        BATCH, "self.bn = nn.BatchNorm1d(16).eval()", "return self.bn(x)", lambda x: nn.BatchNorm1d(16).eval()(x)
    ),
    "weights changed in forward": Example(
        BOTH, LINEAR, "self.linear.weight.data.mul_(2); return self.linear(x)", lambda x: linear(x, 2 * W, B)
    ),
    "equal shapes under other names": Example(
        NORM,
        "full = lambda n: nn.Parameter(torch.full((16,), n)); self.b = nn.Parameter(torch.randn(16))\n"
        "        self.beta, self.norm_weight, self.s = full(0.0), full(1.0), full(1.0)",
        "return (x * self.norm_weight + self.beta + 3 * self.b) * self.s",
        lambda x: (x * NORM["norm.weight"] + NORM["norm.bias"] + 3 * NORM["fc.bias"]) * NORM["scale"],
        {"norm.weight": 1.0, "norm.bias": 0.0, "scale": 1.0},
    ),
    "another weight's name": Example(
        BIASES, "self.bias = nn.Parameter(torch.randn(16)); self.own = nn.Parameter(torch.randn(16, 1, 1))",
        "return x * self.bias + self.own.flatten()", lambda x: x * BIASES["conv.bias"] + BIASES["bias"].flatten(),
    ),
    "initialisers that look at what they drew": Example(
        {"w": Q}, "self.w = nn.Parameter(torch.empty(16, 16)); nn.init.trunc_normal_(self.w, std=0.02)",
        "return x @ self.w", lambda x: x @ Q,
    ),
    "orthogonal": Example(
        {"w": Q}, "self.w = nn.Parameter(torch.empty(16, 16)); nn.init.orthogonal_(self.w)", "return x @ self.w",
        lambda x: x @ Q,
    ),
}  # fmt: skip
REFUSED = {
    "extra": (f"{LINEAR}; self.e = nn.Parameter(torch.randn(3))", "no counterpart in the reference"),
    "part of a larger one": ("z = torch.randn(136); self.w = nn.Parameter(z[:128].view(8, 16))", "memory of its own"),
    "noise": (f"{LINEAR}; self.e = torch.randn(8)", "draws random numbers"),
}
Replies = dict[str, dict[str, Any]]


def source(constructor: str, forward: str) -> str:
    return (
        "import torch, torch.nn as nn\nimport torch.nn.functional as F\nclass ModelNew(nn.Module):\n"
        f"    def __init__(self):\n        super().__init__()\n        {constructor}\n"
        f"    def forward(self, x):\n        {forward}\n"
    )


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory) -> Replies:
    wanted = [model_request(source(e.constructor, e.forward), e.state, e.constants or {}, X) for e in EXAMPLES.values()]
    use = (
        "w = self.w if hasattr(self, 'w') else self.linear.weight; return F.linear(x, w) + getattr(self, 'e', w).sum()"
    )
    wanted += [model_request(source(constructor, use), BOTH, {}, X) for constructor, _ in REFUSED.values()]
    answers = trace_all(wanted, tmp_path_factory.mktemp("traces"))
    return dict(zip((*EXAMPLES, *REFUSED), answers, strict=True))


def check(reply: dict[str, Any], state: dict[str, torch.Tensor]) -> plan.Plan | str:
    if "rejected" in reply:
        return str(reply["rejected"]["reason"])
    found = plan.parse(reply["plans"][0])
    assert isinstance(found, plan.Plan), found
    sizes = [tensor.numel() * tensor.element_size() for tensor in (X, *state.values())]
    checked = plan_check.check(found, sizes, "mixed", 1 << 24)
    return found if isinstance(checked, plan.OutputTree) else checked.reason


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_model_computes_with_the_reference_weights(replies: Replies, name: str) -> None:
    example = EXAMPLES[name]
    found = check(replies[name], example.state)
    assert isinstance(found, plan.Plan), found
    (ours,) = execute(found, X, *example.state.values())
    with torch.no_grad():
        torch.testing.assert_close(ours, example.expected(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_bound_is_named(replies: Replies, name: str) -> None:
    found = check(replies[name], BOTH)
    assert isinstance(found, str) and REFUSED[name][1] in found


def test_bound_weights_cost_nothing(replies: Replies) -> None:
    """Drawing them leaves no step behind."""
    found = check(replies["same names"], BOTH)
    assert isinstance(found, plan.Plan) and [step.kind for step in found.steps] == ["torch"]


def test_weights_come_in_the_order_in_which_they_are_made() -> None:
    """A state_dict has a module's own first."""
    reference = Reference(
        "import torch\nfrom torch import nn\n"
        "class Model(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)\n"
        "        self.scale, self.shift = nn.Parameter(torch.ones(4)), nn.Parameter(torch.randn(1))\n"
        "    def forward(self, x):\n        return self.norm(self.fc(x)) * self.scale + self.shift\n"
        "def get_inputs():\n    return [torch.randn(2, 4)]\n",
        "ModelNew",
    )
    case = Case(name="tails", distribution="heavy_tailed")
    described = reference.describe(case)
    assert described == reference.describe(case)  # a single number that is drawn is no constant
    assert list(described["parameters"])[:5] == ["fc.weight", "fc.bias", "norm.weight", "norm.bias", "scale"]
    assert described["constants"] == {
        "norm.weight": 1.0, "norm.bias": 0.0, "scale": 1.0, "norm.running_mean": 0.0, "norm.running_var": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize("evaluates", [True, False])
def test_statistics_that_are_only_used_are_no_constants(evaluates: bool) -> None:
    reference = Reference(
        "import torch\nfrom torch import nn\n"
        "class Model(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.norm = nn.BatchNorm1d(64).train({not evaluates})\n"
        "    def forward(self, x):\n        return self.norm(x)\n"
        "def get_inputs():\n    return [torch.randn(2, 64)]\n",
        "ModelNew",
    )
    for distribution in ("normal", "heavy_tailed"):
        drawn = reference.draw(Case(name="one", distribution=distribution))
        mean, var = (drawn.tensors[drawn.parameters[f"norm.running_{name}"]] for name in ("mean", "var"))
        changed = evaluates and distribution != "normal"
        assert bool((mean == 0).all()) != changed and bool((var == 1).all()) != changed and bool((var >= 0).all())
