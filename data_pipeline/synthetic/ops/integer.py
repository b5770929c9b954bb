"""Operators on integers and booleans: exact, so they wrap around alike in PyTorch and Triton and need no bounds."""

from data_pipeline.synthetic.intervals import Bounds, within
from data_pipeline.synthetic.ops.op import Op

_ANY: Bounds = within(-1, 1)


def _any(*operands: object) -> tuple[float, float]:
    return -1.0, 1.0


INT_UNARY: dict[str, Op] = {
    "int_neg": Op("-{0}", "-{0}", "(-{0})", _ANY),
    "int_not": Op("~{0}", "~{0}", "(~{0})", _ANY),
    "int_abs": Op("torch.abs({0})", "tl.abs({0})", "abs({0})", _ANY),
    "int_double": Op("{0} + {0}", "{0} + {0}", "({0} + {0})", _ANY),
    "int_square": Op("{0} * {0}", "{0} * {0}", "{0}^2", _ANY),
    "int_relu": Op("torch.clamp({0}, min=0)", "tl.maximum({0}, 0)", "max({0}, 0)", _ANY),
    "int_parity": Op("{0} & 1", "{0} & 1", "({0} & 1)", _ANY),
    "int_low_byte": Op("{0} & 255", "{0} & 255", "({0} & 255)", _ANY),
    "int_halve": Op("{0} >> 1", "{0} >> 1", "({0} >> 1)", _ANY),
    "int_shift": Op("{0} << 2", "{0} << 2", "({0} << 2)", _ANY),
    "int_affine": Op("{0} * 3 + 7", "{0} * 3 + 7", "({0} * 3 + 7)", _ANY),
    "int_clip": Op("torch.clamp({0}, -50, 50)", "tl.minimum(tl.maximum({0}, -50), 50)", "clamp({0}, -50, 50)", _ANY),
}
INT_BINARY: dict[str, Op] = {
    "int_add": Op("{0} + {1}", "{0} + {1}", "({0} + {1})", _any, 2),
    "int_sub": Op("{0} - {1}", "{0} - {1}", "({0} - {1})", _any, 2),
    "int_mul": Op("{0} * {1}", "{0} * {1}", "({0} * {1})", _any, 2),
    "int_and": Op("{0} & {1}", "{0} & {1}", "({0} & {1})", _any, 2),
    "int_or": Op("{0} | {1}", "{0} | {1}", "({0} | {1})", _any, 2),
    "int_xor": Op("{0} ^ {1}", "{0} ^ {1}", "({0} ^ {1})", _any, 2),
    "int_max": Op("torch.maximum({0}, {1})", "tl.maximum({0}, {1})", "max({0}, {1})", _any, 2),
    "int_min": Op("torch.minimum({0}, {1})", "tl.minimum({0}, {1})", "min({0}, {1})", _any, 2),
    "int_where": Op("torch.where({0} > {1}, {0}, -{1})", "tl.where({0} > {1}, {0}, -{1})",
                    "({0} where {0} > {1} else -{1})", _any, 2),
    "int_pick": Op("torch.where(({1} & 1) == 0, {0}, {1})", "tl.where(({1} & 1) == 0, {0}, {1})",
                   "({0} where {1} is even else {1})", _any, 2),
}  # fmt: skip
COMPARE: dict[str, Op] = {
    "greater": Op("{0} > {1}", "{0} > {1}", "({0} > {1})", _any, 2),
    "less": Op("{0} < {1}", "{0} < {1}", "({0} < {1})", _any, 2),
    "at_least": Op("{0} >= {1}", "{0} >= {1}", "({0} >= {1})", _any, 2),
    "sum_positive_parts": Op("({0} > 0) & ({1} > 0)", "({0} > 0) & ({1} > 0)", "({0} > 0 and {1} > 0)", _any, 2),
    "either_positive": Op("({0} > 0) | ({1} > 0)", "({0} > 0) | ({1} > 0)", "({0} > 0 or {1} > 0)", _any, 2),
    "signs_differ": Op("({0} > 0) ^ ({1} > 0)", "({0} > 0) ^ ({1} > 0)", "(({0} > 0) xor ({1} > 0))", _any, 2),
    "magnitudes_above": Op(
        "torch.abs({0}) > torch.abs({1})", "tl.abs({0}) > tl.abs({1})", "(abs({0}) > abs({1}))", _any, 2
    ),
    "between": Op("({0} > -0.5) & ({0} < {1})", "({0} > -0.5) & ({0} < {1})", "({0} > -0.5 and {0} < {1})", _any, 2),
}
"""Of inputs as they are: the result of a comparison jumps."""
BOOL_BINARY: dict[str, Op] = {
    "bool_and": Op("{0} & {1}", "{0} & {1}", "({0} and {1})", _any, 2),
    "bool_or": Op("{0} | {1}", "{0} | {1}", "({0} or {1})", _any, 2),
    "bool_xor": Op("{0} ^ {1}", "{0} ^ {1}", "({0} xor {1})", _any, 2),
}
SELECT: dict[str, Op] = {
    "masked_fill": Op(
        "{0}.masked_fill({1}, 0.5)", "tl.where({1}, 0.5, {0})", "({0} with 0.5 where {1})",
        lambda a, b: (min(a[0], 0.5), max(a[1], 0.5)), 2,
    ),
    "keep": Op("{0} * {1}", "tl.where({1}, {0}, 0.0)", "({0} where {1} else 0)",
               lambda a, b: (min(a[0], 0.0), max(a[1], 0.0)), 2),
    "select": Op(
        "torch.where({1}, {0}, {2})", "tl.where({1}, {0}, {2})", "({0} where {1} else {2})",
        lambda a, b, c: (min(a[0], c[0]), max(a[1], c[1])), 3,
    ),
    "flip_where": Op("torch.where({1}, -{0}, {0})", "tl.where({1}, -{0}, {0})", "(-{0} where {1} else {0})",
                     lambda a, b: (-magnitude_of(a), magnitude_of(a)), 2),
}  # fmt: skip
"""With a boolean input as the second operand."""


def magnitude_of(a: tuple[float, float]) -> float:
    return max(-a[0], a[1])
