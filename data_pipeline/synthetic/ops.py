"""The operators of synthetic programs as one table: how each is written in PyTorch, in Triton, and in words.

`{0}`, `{1}`, … are operands; `{n}` is the row length. `bounds` maps the operands' intervals to the result's, or to
None where the operator would be pointless or inaccurate there; it is what keeps programs finite and testable.
No operator is discontinuous in a computed value: rounding could then not be told from a mistake.
Longer than 300 lines because it is one table.
"""

import math
from typing import Literal, NamedTuple

from data_pipeline.synthetic.intervals import (
    Bounds,
    clamp,
    if_not_mostly_negative,
    if_signed,
    if_small,
    magnitude,
    monotone,
    product,
    rectified,
    square,
    within,
)

MAX_ROW = 320
"""Longest row that a case may have; sums are bounded with it."""


class Op(NamedTuple):
    """One operator. `triton` may be several lines that end by assigning `{out}`."""

    torch: str
    triton: str
    words: str
    bounds: Bounds
    arity: int = 1
    identity: Literal["0.0", 'float("-inf")', 'float("inf")'] | None = None
    """What masked lanes must hold for operators along the row; None for elementwise operators."""
    raw: tuple[int, ...] = ()
    """Operands that must be inputs, because the operator jumps in them."""


UNARY: dict[str, Op] = {
    "relu": Op("torch.relu({0})", "tl.maximum({0}, 0.0)", "relu({0})", if_signed(rectified)),
    "leaky_relu": Op(
        "F.leaky_relu({0}, 0.1)",
        "tl.where({0} > 0, {0}, 0.1 * {0})",
        "leaky_relu({0}, slope 0.1)",
        if_signed(monotone(lambda v: v if v > 0 else 0.1 * v)),
    ),
    "abs": Op("torch.abs({0})", "tl.abs({0})", "abs({0})", if_signed(magnitude)),
    "neg": Op("-{0}", "-{0}", "(-{0})", lambda a: (-a[1], -a[0])),
    "square": Op("{0} * {0}", "{0} * {0}", "{0}^2", square),
    "cube": Op("{0} * {0} * {0}", "{0} * {0} * {0}", "{0}^3", if_small(30, monotone(lambda v: v**3))),
    "sigmoid": Op("torch.sigmoid({0})", "tl.sigmoid({0})", "sigmoid({0})", if_signed(within(0, 1))),
    "silu": Op("F.silu({0})", "{0} * tl.sigmoid({0})", "silu({0})", if_signed(lambda a: (-0.3, max(a[1], 0.0)))),
    "gelu": Op(
        "F.gelu({0})",
        "0.5 * {0} * (1.0 + tl.erf({0} * 0.70710678))",
        "gelu({0})",
        if_not_mostly_negative(lambda a: (-0.2, max(a[1], 0.0))),
    ),
    "tanh": Op("torch.tanh({0})", "2.0 * tl.sigmoid(2.0 * {0}) - 1.0", "tanh({0})", if_signed(within(-1, 1))),
    "softplus": Op(
        "F.softplus({0})",
        "tl.maximum({0}, 0.0) + tl.log(1.0 + tl.exp(-tl.abs({0})))",
        "softplus({0})",
        if_not_mostly_negative(lambda a: (0.0, max(a[1], 0.0) + 0.7)),
    ),
    "elu": Op(
        "F.elu({0})",
        "tl.where({0} > 0, {0}, tl.exp(tl.minimum({0}, 0.0)) - 1.0)",
        "elu({0})",
        if_signed(lambda a: (-1.0, max(a[1], 0.0))),
    ),
    "exp": Op(
        "torch.exp(torch.clamp({0}, max=4.0))",
        "tl.exp(tl.minimum({0}, 4.0))",
        "exp(min({0}, 4))",
        if_signed(monotone(lambda v: math.exp(min(v, 4.0)))),
    ),
    "gaussian": Op(
        "torch.exp(-{0} * {0})", "tl.exp(-{0} * {0})", "exp(-{0}^2)", lambda a: (0.0, 1.0) if a[0] < 1 else None
    ),
    "log1p": Op(
        "torch.log1p(torch.abs({0}))",
        "tl.log(1.0 + tl.abs({0}))",
        "log(1 + abs({0}))",
        lambda a: (math.log1p(magnitude(a)[0]), math.log1p(magnitude(a)[1])),
    ),
    "sqrt1": Op(
        "torch.sqrt({0} * {0} + 1.0)",
        "tl.sqrt({0} * {0} + 1.0)",
        "sqrt({0}^2 + 1)",
        lambda a: (math.sqrt(square(a)[0] + 1), math.sqrt(square(a)[1] + 1)),
    ),
    "rsqrt1": Op("torch.rsqrt({0} * {0} + 1.0)", "tl.rsqrt({0} * {0} + 1.0)", "1 / sqrt({0}^2 + 1)", within(0, 1)),
    "reciprocal": Op("1.0 / (1.0 + torch.abs({0}))", "1.0 / (1.0 + tl.abs({0}))", "1 / (1 + abs({0}))", within(0, 1)),
    "softsign": Op("F.softsign({0})", "{0} / (1.0 + tl.abs({0}))", "softsign({0})", if_signed(within(-1, 1))),
    "sin": Op("torch.sin({0})", "tl.sin({0})", "sin({0})", if_small(20, within(-1, 1))),
    "cos": Op("torch.cos({0})", "tl.cos({0})", "cos({0})", if_small(20, within(-1, 1))),
    "clamp1": Op(
        "torch.clamp({0}, -1.0, 1.0)", "tl.minimum(tl.maximum({0}, -1.0), 1.0)", "clamp({0}, -1, 1)", clamp(-1, 1)
    ),
    "clamp_min": Op(
        "torch.clamp({0}, min=-0.5)",
        "tl.maximum({0}, -0.5)",
        "max({0}, -0.5)",
        lambda a: (max(a[0], -0.5), max(a[1], -0.5)) if a[0] < -0.5 < a[1] else None,
    ),
    "clamp_max": Op(
        "torch.clamp({0}, max=1.5)",
        "tl.minimum({0}, 1.5)",
        "min({0}, 1.5)",
        lambda a: (min(a[0], 1.5), min(a[1], 1.5)) if a[0] < 1.5 < a[1] else None,
    ),
    "hard_sigmoid": Op(
        "torch.clamp({0} + 0.5, 0.0, 1.0)",
        "tl.minimum(tl.maximum({0} + 0.5, 0.0), 1.0)",
        "clamp({0} + 0.5, 0, 1)",
        if_signed(within(0, 1)),
    ),
}

CONSTANT: dict[str, Op] = {
    "scale": Op("{0} * {1}", "{0} * {1}", "({0} * {1})", product, 2),
    "shift": Op("{0} + {1}", "{0} + {1}", "({0} + {1})", lambda a, b: (a[0] + b[0], a[1] + b[1]), 2),
    "rsub": Op("{1} - {0}", "{1} - {0}", "({1} - {0})", lambda a, b: (b[0] - a[1], b[0] - a[0]), 2),
    "divide": Op("{0} / {1}", "{0} / {1}", "({0} / {1})", lambda a, b: product(a, (1 / b[0], 1 / b[0])), 2),
}
CONSTANTS = ("0.5", "2.0", "0.25", "1.5", "3.0", "0.1", "0.75", "1.25")

BINARY: dict[str, Op] = {
    "add": Op("{0} + {1}", "{0} + {1}", "({0} + {1})", lambda a, b: (a[0] + b[0], a[1] + b[1]), 2),
    "sub": Op("{0} - {1}", "{0} - {1}", "({0} - {1})", lambda a, b: (a[0] - b[1], a[1] - b[0]), 2),
    "mul": Op("{0} * {1}", "{0} * {1}", "({0} * {1})", product, 2),
    "maximum": Op(
        "torch.maximum({0}, {1})",
        "tl.maximum({0}, {1})",
        "max({0}, {1})",
        lambda a, b: (max(a[0], b[0]), max(a[1], b[1])) if a[1] > b[0] and b[1] > a[0] else None,
        2,
    ),
    "minimum": Op(
        "torch.minimum({0}, {1})",
        "tl.minimum({0}, {1})",
        "min({0}, {1})",
        lambda a, b: (min(a[0], b[0]), min(a[1], b[1])) if a[1] > b[0] and b[1] > a[0] else None,
        2,
    ),
    "ratio": Op(
        "{0} / (1.0 + torch.abs({1}))",
        "{0} / (1.0 + tl.abs({1}))",
        "({0} / (1 + abs({1})))",
        lambda a, b: (min(a[0], 0.0), max(a[1], 0.0)),
        2,
    ),
    "gate": Op(
        "{0} * torch.sigmoid({1})",
        "{0} * tl.sigmoid({1})",
        "({0} * sigmoid({1}))",
        lambda a, b: (min(a[0], 0.0), max(a[1], 0.0)),
        2,
    ),
    "swiglu": Op(
        "F.silu({0}) * {1}",
        "{0} * tl.sigmoid({0}) * {1}",
        "(silu({0}) * {1})",
        lambda a, b: product((-0.3, max(a[1], 0.0)), b),
        2,
    ),
    "difference2": Op(
        "({0} - {1}) * ({0} - {1})",
        "({0} - {1}) * ({0} - {1})",
        "({0} - {1})^2",
        lambda a, b: square((a[0] - b[1], a[1] - b[0])),
        2,
    ),
    "average": Op(
        "0.5 * ({0} + {1})",
        "0.5 * ({0} + {1})",
        "0.5 * ({0} + {1})",
        lambda a, b: ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2),
        2,
    ),
    "flip_sign": Op(
        "torch.where({1} > 0, {0}, -{0})",
        "tl.where({1} > 0, {0}, -{0})",
        "({0} where {1} > 0 else -{0})",
        lambda a, b: (-magnitude(a)[1], magnitude(a)[1]),
        2,
        raw=(1,),
    ),
}

_SPREAD = 60.0
"""Rows of at most MAX_ROW values, once centred and divided by their own spread, stay below this."""

ROW: dict[str, Op] = {
    "softmax": Op(
        "torch.softmax({0}, dim=-1)",
        "{out} = tl.exp({0} - tl.max({0}, 0))\n{out} = {out} / tl.sum({out}, 0)",
        "row_softmax({0})",
        within(0, 1),
        identity='float("-inf")',
    ),
    "log_softmax": Op(
        "torch.log_softmax({0}, dim=-1)",
        "{out} = {0} - tl.max({0}, 0)\n{out} = {out} - tl.log(tl.sum(tl.exp({out}), 0))",
        "row_log_softmax({0})",
        lambda a: (a[0] - a[1] - 6, 0.0),
        identity='float("-inf")',
    ),
    "layer_norm": Op(
        "F.layer_norm({0}, {0}.shape[-1:], eps=1e-5)",
        "{out} = tl.where(mask, {0} - tl.sum({0}, 0) / n, 0.0)\n"
        "{out} = {out} * tl.rsqrt(tl.sum({out} * {out}, 0) / n + 1e-5)",
        "row_layer_norm({0}, eps=1e-5)",
        within(-_SPREAD, _SPREAD),
        identity="0.0",
    ),
    "rms_norm": Op(
        "{0} * torch.rsqrt(({0} * {0}).mean(-1, keepdim=True) + 1e-6)",
        "{out} = {0} * tl.rsqrt(tl.sum({0} * {0}, 0) / n + 1e-6)",
        "row_rms_norm({0}, eps=1e-6)",
        within(-_SPREAD, _SPREAD),
        identity="0.0",
    ),
    "l2_norm": Op(
        "{0} * torch.rsqrt(({0} * {0}).sum(-1, keepdim=True) + 1e-6)",
        "{out} = {0} * tl.rsqrt(tl.sum({0} * {0}, 0) + 1e-6)",
        "({0} / sqrt(row_sum({0}^2) + 1e-6))",
        within(-1, 1),
        identity="0.0",
    ),
    "center": Op(
        "{0} - {0}.mean(-1, keepdim=True)",
        "{out} = {0} - tl.sum({0}, 0) / n",
        "({0} - row_mean({0}))",
        lambda a: (a[0] - a[1], a[1] - a[0]),
        identity="0.0",
    ),
    "max_norm": Op(
        "{0} / (1.0 + torch.abs({0}).amax(-1, keepdim=True))",
        "{out} = {0} / (1.0 + tl.max(tl.abs({0}), 0))",
        "({0} / (1 + row_max(abs({0}))))",
        within(-1, 1),
        identity="0.0",
    ),
}
"""Row → row. The first two are family softmax, the others normalisation."""

REDUCE: dict[str, Op] = {
    "sum": Op(
        "{0}.sum(dim=-1)",
        "{out} = tl.sum({0}, 0)",
        "row_sum({0})",
        lambda a: (min(a[0], 0) * MAX_ROW, max(a[1], 0) * MAX_ROW),
        identity="0.0",
    ),
    "mean": Op(
        "{0}.mean(dim=-1)",
        "{out} = tl.sum({0}, 0) / n",
        "row_mean({0})",
        lambda a: a,
        identity="0.0",
    ),
    "max": Op(
        "{0}.amax(dim=-1)",
        "{out} = tl.max({0}, 0)",
        "row_max({0})",
        lambda a: a,
        identity='float("-inf")',
    ),
    "min": Op(
        "{0}.amin(dim=-1)",
        "{out} = tl.min({0}, 0)",
        "row_min({0})",
        lambda a: a,
        identity='float("inf")',
    ),
    "sum_squares": Op(
        "({0} * {0}).sum(dim=-1)",
        "{out} = tl.sum({0} * {0}, 0)",
        "row_sum({0}^2)",
        lambda a: (0.0, square(a)[1] * MAX_ROW),
        identity="0.0",
    ),
    "mean_squares": Op(
        "({0} * {0}).mean(dim=-1)",
        "{out} = tl.sum({0} * {0}, 0) / n",
        "row_mean({0}^2)",
        lambda a: (0.0, square(a)[1]),
        identity="0.0",
    ),
    "abs_max": Op(
        "torch.abs({0}).amax(dim=-1)",
        "{out} = tl.max(tl.abs({0}), 0)",
        "row_max(abs({0}))",
        if_signed(lambda a: (0.0, magnitude(a)[1])),
        identity="0.0",
    ),
    "abs_sum": Op(
        "torch.abs({0}).sum(dim=-1)",
        "{out} = tl.sum(tl.abs({0}), 0)",
        "row_sum(abs({0}))",
        if_signed(lambda a: (0.0, magnitude(a)[1] * MAX_ROW)),
        identity="0.0",
    ),
    "logsumexp": Op(
        "torch.logsumexp({0}, dim=-1)",
        "{out} = tl.max({0}, 0)\n{out} = {out} + tl.log(tl.sum(tl.exp({0} - {out}), 0))",
        "row_logsumexp({0})",
        lambda a: (a[0], a[1] + 6),
        identity='float("-inf")',
    ),
}
"""Row → number."""

OPS: dict[str, Op] = UNARY | CONSTANT | BINARY | ROW | REDUCE
