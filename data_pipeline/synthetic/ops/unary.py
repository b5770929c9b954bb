"""Elementwise operators of one value, with and without a constant."""

import math

from data_pipeline.synthetic.intervals import (
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
from data_pipeline.synthetic.ops.op import Op

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
