"""Elementwise operators that join two values."""

from data_pipeline.synthetic.intervals import magnitude, product, square
from data_pipeline.synthetic.ops.op import Op

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
