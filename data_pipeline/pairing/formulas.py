"""Operators that kernels are written for everywhere and that PyTorch spells as a short expression: `silu(a) * b`.

A launcher pairs with a formula if its name, without the words that say how, is the operator's, and each parameter that
it requires is one of the formula's or a switch with a known neutral value. The formula is a claim about what the
package computes; the sandbox decides whether the kernel agrees.
"""

from collections.abc import Iterator
from typing import NamedTuple

from data_pipeline.pairing.guessed_inputs import Argument, Shape
from data_pipeline.pairing.launchers import Launcher
from data_pipeline.pairing.siblings import key

ROLES = {
    "x": "x input inp X a A hidden_states _input input_ logits scores S h",
    "a": "a gate e A x X input1 gate_proj",
    "b": "b up g B y Y input2 up_proj other",
    "weight": "weight w W gamma norm_weight rms_w RMS_weight",
    "bias": "bias b B beta",
    "residual": "residual r R res add",
    "eps": "eps epsilon norm_eps",
    "q": "q Q query xq", "k": "k K key xk", "v": "v V value xv",
    "causal": "causal is_causal", "scale": "scale sm_scale softmax_scale",
    "target": "target targets labels label y_true", "y": "y_pred input _input X x",
    "alpha": "alpha Alpha", "groups": "num_groups groups", "channels": "num_channels",
}  # fmt: skip
"""What a formula's argument may be called by a launcher."""
NEUTRAL = {
    "offset": "0.0", "casting_mode": "'llama'", "row_mode": "None", "in_place": "False", "gate_multiplier": "1.0",
    "log_target": "False",
    "reduction": "'none'", "dim": "-1", "dtype": "None", "zero_centered": "False", "elementwise_affine": "True",
}  # fmt: skip
"""Switches that a launcher may require beside them."""
ROWS: Shape = ("M", "N")
HALVES: Shape = ("M", "2 * P")
VECTOR: Shape = ("N",)
HEADS: Shape = ("B", "H", "T", "D")


class Formula(NamedTuple):
    """One way to understand an operator's name."""

    expression: str
    arguments: tuple[Argument, ...]


def _tensors(**shapes: Shape) -> tuple[Argument, ...]:
    return tuple(Argument(name, "tensor", shape) for name, shape in shapes.items())


EPS = Argument("eps", "float", None, "1e-5")
F = "torch.nn.functional"
FORMULAS: dict[tuple[str, ...], tuple[Formula, ...]] = {
    ("swiglu",): (
        Formula(f"{F}.silu(a) * b", _tensors(a=ROWS, b=ROWS)),
        Formula(f"{F}.silu(x[..., : x.shape[-1] // 2]) * x[..., x.shape[-1] // 2 :]", _tensors(x=HALVES)),
    ),
    ("silu", "and", "mul"): (
        Formula(f"{F}.silu(x[..., : x.shape[-1] // 2]) * x[..., x.shape[-1] // 2 :]", _tensors(x=HALVES)),
        Formula(f"{F}.silu(a) * b", _tensors(a=ROWS, b=ROWS)),
    ),
    ("gelu", "and", "mul"): (
        Formula(f"{F}.gelu(a) * b", _tensors(a=ROWS, b=ROWS)),
        Formula(f"{F}.gelu(x[..., : x.shape[-1] // 2]) * x[..., x.shape[-1] // 2 :]", _tensors(x=HALVES)),
    ),
    ("geglu",): (
        Formula(f"{F}.gelu(a, approximate='tanh') * b", _tensors(a=ROWS, b=ROWS)),
        Formula(f"{F}.gelu(a) * b", _tensors(a=ROWS, b=ROWS)),
        Formula(f"{F}.gelu(x[..., : x.shape[-1] // 2], approximate='tanh') * x[..., x.shape[-1] // 2 :]",
        _tensors(x=ROWS)),
    ),
    ("geglu", "exact"): (Formula(f"{F}.gelu(a) * b", _tensors(a=ROWS, b=ROWS)),),
    ("geglu", "approx"): (Formula(f"{F}.gelu(a, approximate='tanh') * b", _tensors(a=ROWS, b=ROWS)),),
    ("reglu",): (
        Formula("torch.relu(a) * b", _tensors(a=ROWS, b=ROWS)),
        Formula("torch.relu(x[..., : x.shape[-1] // 2]) * x[..., x.shape[-1] // 2 :]", _tensors(x=HALVES)),
    ),
    ("rms", "norm"): (
        Formula(f"{F}.rms_norm(x, x.shape[-1:], weight, eps)", (*_tensors(x=ROWS, weight=VECTOR), EPS)),
    ),
    ("layer", "norm"): (
        Formula(f"{F}.layer_norm(x, x.shape[-1:], weight, bias, eps)", (*_tensors(x=ROWS, weight=VECTOR,
        bias=VECTOR), EPS)),
    ),
    ("add", "rms", "norm"): (
        Formula(
            f"({F}.rms_norm(x + residual, x.shape[-1:], weight, eps), x + residual)",
            (*_tensors(x=ROWS, residual=ROWS, weight=VECTOR), EPS),
        ),
    ),
    ("group", "norm"): (
        Formula(
            f"{F}.group_norm(x, groups, weight, bias, eps)",
            (*_tensors(x=("B", "C", "N"), weight=("C",), bias=("C",)), Argument("groups", "int", None, "2"),
             Argument("channels", "int", None, "C"), EPS),
        ),
    ),
    ("l2norm",): (
        Formula("x * torch.rsqrt(x.square().sum(-1, keepdim=True) + eps)", (*_tensors(x=ROWS), EPS)),
    ),
    ("dyt",): (Formula("torch.tanh(alpha * x) * weight + bias", _tensors(x=ROWS, alpha=("1",), weight=VECTOR,
    bias=VECTOR)),),
    ("softmax",): (Formula("torch.softmax(x, -1)", _tensors(x=ROWS)),),
    ("log", "softmax"): (Formula("torch.log_softmax(x, -1)", _tensors(x=ROWS)),),
    ("matmul",): (Formula("a @ b", _tensors(a=ROWS, b=("N", "P"))),),
    ("mm",): (Formula("a @ b", _tensors(a=ROWS, b=("N", "P"))),),
    ("gemm",): (Formula("a @ b", _tensors(a=ROWS, b=("N", "P"))),),
    ("bmm",): (Formula("a @ b", _tensors(a=("B", "M", "N"), b=("B", "N", "P"))),),
    ("relu", "squared"): (Formula("torch.relu(x).square()", _tensors(x=ROWS)),),
    ("cross", "entropy"): (
        Formula(f"{F}.cross_entropy(x, target, reduction='none')", (*_tensors(x=ROWS), Argument("target", "tensor",
        ("M",)))),
        Formula(f"{F}.cross_entropy(x, target)", (*_tensors(x=ROWS), Argument("target", "tensor", ("M",)))),
    ),
    ("attention",): (
        Formula(
            f"{F}.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale)",
            (*_tensors(q=HEADS, k=HEADS, v=HEADS), Argument("causal", "bool", None, "True"), Argument("scale",
            "float", None, "0.25")),
        ),
        Formula(
            f"{F}.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), "
            "is_causal=causal, scale=scale).transpose(1, 2)",
            (*_tensors(q=("B", "T", "H", "D"), k=("B", "T", "H", "D"), v=("B", "T", "H", "D")),
             Argument("causal", "bool", None, "True"), Argument("scale", "float", None, "0.25")),
        ),
    ),
}  # fmt: skip
FORMULAS[("quick", "gelu")] = (Formula("x * torch.sigmoid(1.702 * x)", _tensors(x=ROWS)),)
FORMULAS[("add",)] = (Formula("a + b", _tensors(a=ROWS, b=ROWS)),)
FORMULAS[("gelu",)] = (
    Formula(f"{F}.gelu(x)", _tensors(x=ROWS)),
    Formula(f"{F}.gelu(x, approximate='tanh')", _tensors(x=ROWS)),
)
FORMULAS[("silu",)] = (Formula(f"{F}.silu(x)", _tensors(x=ROWS)),)
FORMULAS[("l2", "norm")] = FORMULAS[("l2norm",)]


class Reading(NamedTuple):
    """A launcher read as a formula."""

    formula: Formula
    given: tuple[tuple[str, str], ...]
    """(parameter of the launcher, expression) in the order of its parameters."""
    names: tuple[str, ...]
    """The formula's arguments that the launcher takes, in the formula's order."""


def readings(launcher: Launcher) -> Iterator[Reading]:
    """Every formula that a launcher may compute."""
    words = tuple(word for word in key(launcher.name) if word not in ("fast", "fg", "inference", "torch"))
    required = launcher.positional[: len(launcher.positional) - launcher.defaults]
    for formula in FORMULAS.get(words, ()):
        given: dict[str, str] = {}
        for argument in formula.arguments:
            known = ROLES.get(argument.name, argument.name).split()
            free = (p for p in launcher.positional if p in known and p not in given)
            parameter = next(free, None)
            if parameter is not None:
                given[parameter] = argument.name
        missing = {p for p in required if p not in given}
        found = set(given.values())
        needed = {a.name for a in formula.arguments if a.kind == "tensor"}
        if not missing <= NEUTRAL.keys() or not needed <= found:
            continue
        given |= {p: NEUTRAL[p] for p in missing}
        order = [p for p in launcher.positional if p in given]
        names = tuple(a.name for a in formula.arguments if a.name in found)
        yield Reading(formula, tuple((p, given[p]) for p in order), names)
