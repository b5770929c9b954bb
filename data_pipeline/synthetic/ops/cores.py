"""Operators that a template lowers as a whole: scans, products of matrices, attention, tables, packed codes, losses."""

import math

from data_pipeline.synthetic.intervals import Bounds, Interval, magnitude
from data_pipeline.synthetic.ops.op import MAX_ROW, Op

MAX_TIME = 80
"""Longest decayed scan: PyTorch has none, so the reference loops."""


def _grow(factor: float) -> Bounds:
    return lambda a, *others: (-factor * magnitude(a)[1], factor * magnitude(a)[1])


def _contracted(a: Interval, b: Interval) -> Interval:
    """Of ordinary data the terms cancel; elsewhere they may all be large and of one sign."""
    factor = 6 if a[0] < 0 and magnitude(a)[1] < 10 else 140
    return -factor * magnitude(a)[1], factor * magnitude(a)[1]


def _unless_all_agree(most: float) -> Bounds:
    """Of predictions that are all right nothing is lost, and nothing left to compare."""
    return lambda a, b: (0, magnitude(a)[1] * magnitude(b)[1] + most) if a[0] < 0 < a[1] and b[0] < 0 < b[1] else None


def _partial_sums(a: Interval) -> Interval:
    return min(a[0], 0) * MAX_ROW, max(a[1], 0) * MAX_ROW


def _all_added(a: Interval, b: Interval, index: Interval) -> Interval:
    return min(a[0], 0) * 24 + b[0], max(a[1], 0) * 24 + b[1]


SCAN: dict[str, Op] = {
    "cumsum": Op("torch.cumsum({0}, dim=-1)", "", "row_cumsum({0})", _partial_sums),
    "reverse_cumsum": Op(
        "torch.cumsum({0}.flip(-1), dim=-1).flip(-1)", "", "row_reverse_cumsum({0})", _partial_sums
    ),
    "cummax": Op("torch.cummax({0}, dim=-1).values", "", "row_cummax({0})", lambda a: a),
    "cummin": Op("torch.cummin({0}, dim=-1).values", "", "row_cummin({0})", lambda a: a),
    "running_mean": Op(
        "torch.cumsum({0}, dim=-1) / torch.arange(1, {0}.shape[-1] + 1, dtype={0}.dtype, device={0}.device)", "",
        "row_cumsum({0}) / (position + 1)", lambda a: a,
    ),
    "column_cumsum": Op("torch.cumsum({0}, dim=0)", "", "column_cumsum({0})", _partial_sums),
    "column_cummax": Op("torch.cummax({0}, dim=0).values", "", "column_cummax({0})", lambda a: a),
    "decay": Op(
        "decayed_scan({0}, {1})", "", "the recurrence h[t] = {1} * h[t - 1] + ({0})[t] down each column, h[-1] = 0",
        lambda a, b: (min(a[0], 0) * MAX_TIME, max(a[1], 0) * MAX_TIME), 2,
    ),
}  # fmt: skip
MATMUL: dict[str, Op] = {
    "matmul": Op("{0} @ {1}", "", "({0} @ {1})", _contracted, 2),
    "linear": Op("{0} @ {1}.T", "", "({0} @ {1}^T)", _contracted, 2),
    "matmul_tn": Op("{0}.T @ {1}", "", "({0}^T @ {1})", _contracted, 2),
}
"""The second operand is drawn a tenth as large as ordinary data."""
ATTENTION: dict[str, Op] = {
    "scores": Op("{0} @ {1}.transpose(-1, -2)", "", "({0} @ {1}^T)", lambda a, b: (-40, 40), 2),
    "causal": Op(
        '{0}.masked_fill(torch.ones({0}.shape[-2:], dtype=torch.bool, device={0}.device).triu(1), float("-inf"))', "",
        "causal_mask({0})", lambda a: a,
    ),
    "window": Op(
        '{0}.masked_fill(torch.ones({0}.shape[-2:], dtype=torch.bool, device={0}.device).tril(-8), float("-inf"))', "",
        "mask({0}, keys more than 7 before the query left out)", lambda a: a,
    ),
    "attend": Op("torch.softmax({0}, dim=-1) @ {1}", "", "(row_softmax({0}) @ {1})", lambda a, b: (-6, 6), 2),
    "weights": Op("torch.softmax({0}, dim=-1)", "", "row_softmax({0})", lambda a: (0, 1)),
}  # fmt: skip
_ROTATED = (
    "torch.cat(({0}[:, : {0}.shape[1] // 2] * {1} - {0}[:, {0}.shape[1] // 2 :] * {2}, "
    "{0}[:, {0}.shape[1] // 2 :] * {1} + {0}[:, : {0}.shape[1] // 2] * {2}), dim=1)"
)
_ROTATED_PAIRS = (
    "torch.stack(({0}[:, 0::2] * {1} - {0}[:, 1::2] * {2}, {0}[:, 1::2] * {1} + {0}[:, 0::2] * {2}), dim=-1).flatten(1)"
)
ROTARY: dict[str, Op] = {
    "rotate_halves": Op(
        _ROTATED, "", "rotate_halves({0}, cos={1}, sin={2}), that is rotary embedding of the two halves of each row",
        _grow(1.5), 3,
    ),
    "rotate_pairs": Op(
        _ROTATED_PAIRS, "",
        "rotate_pairs({0}, cos={1}, sin={2}), that is rotary embedding of neighbouring elements of each row",
        _grow(1.5), 3,
    ),
}  # fmt: skip
TABLE: dict[str, Op] = {
    "index_add": Op("{1}.index_add(0, {2}, {0})", "", "{1} with row i of {0} added to its row {2}[i]", _all_added, 3),
    "scatter_rows": Op(
        "torch.empty_like({0}).index_copy(0, {1}, {0})", "", "a tensor whose row {1}[i] is row i of {0}",
        lambda a, b: a, 2,
    ),
    "take_along": Op(
        "torch.gather({0}, 1, {1})", "", "{0} read at the columns {1} (out[i, j] = {0}[i, {1}[i, j]])",
        lambda a, b: a, 2,
    ),
}  # fmt: skip
CODES: dict[str, Op] = {
    "dequantise": Op("{0} * {1}", "{0} * {1}", "({0} * {1})", lambda a, b: (-127 * b[1], 127 * b[1]), 2),
    "dequantise_zero": Op(
        "({0} - {2}) * {1}", "({0} - {2}) * {1}", "(({0} - {2}) * {1})", lambda a, b, c: (-300 * b[1], 300 * b[1]), 3
    ),
    "unpack": Op(
        "torch.stack(({0} & 15, {0} >> 4), dim=-1).flatten(1)", "",
        "unpack_int4({0})", lambda a: (0, 15),
    ),
    "quantise": Op(
        "torch.clamp(torch.floor({0} * {1} + 0.5), -127, 127).to(torch.int8)",
        "tl.minimum(tl.maximum(tl.floor({0} * {1} + 0.5), -127.0), 127.0).to(tl.int8)",
        "clamp(floor({0} * {1} + 0.5), -127, 127)", lambda a, b: (-127, 127), 2,
    ),
}  # fmt: skip
LOSS: dict[str, Op] = {
    "cross_entropy": Op(
        'F.cross_entropy({0}, {1}, reduction="none")', "", "cross_entropy({0}, labels {1}) of each row",
        lambda a, b: (0, a[1] - a[0] + 6), 2,
    ),
    "squared_error": Op(
        "(({0} - {1}) * ({0} - {1})).mean(-1)", "({0} - {1}) * ({0} - {1})", "row_mean(({0} - {1})^2)",
        lambda a, b: (0, max(abs(a[0] - b[1]), abs(a[1] - b[0])) ** 2), 2,
    ),
    "absolute_error": Op(
        "torch.abs({0} - {1}).mean(-1)", "tl.abs({0} - {1})", "row_mean(abs({0} - {1}))",
        lambda a, b: (0, max(abs(a[0] - b[1]), abs(a[1] - b[0]))), 2,
    ),
    "smooth_l1": Op(
        'F.smooth_l1_loss({0}, {1}, reduction="none").mean(-1)',
        "tl.where(tl.abs({0} - {1}) < 1.0, 0.5 * ({0} - {1}) * ({0} - {1}), tl.abs({0} - {1}) - 0.5)",
        "row_mean(smooth_l1({0}, {1}))", lambda a, b: (0, max(abs(a[0] - b[1]), abs(a[1] - b[0]))), 2,
    ),
    "logistic": Op(
        "F.softplus(-{0} * {1}).mean(-1)",
        "tl.maximum(-{0} * {1}, 0.0) + tl.log(1.0 + tl.exp(-tl.abs({0} * {1})))",
        "row_mean(softplus(-{0} * {1}))", _unless_all_agree(0.7), 2,
    ),
    "hinge": Op(
        "torch.relu(1.0 - {0} * {1}).mean(-1)", "tl.maximum(1.0 - {0} * {1}, 0.0)",
        "row_mean(relu(1 - {0} * {1}))", _unless_all_agree(1.0), 2,
    ),
    "poisson": Op(
        "(torch.exp(torch.clamp({0}, max=4.0)) - {1} * {0}).mean(-1)", "tl.exp(tl.minimum({0}, 4.0)) - {1} * {0}",
        "row_mean(exp(min({0}, 4)) - {1} * {0})",
        lambda a, b: (-magnitude(a)[1] * magnitude(b)[1], magnitude(a)[1] * magnitude(b)[1] + math.exp(4)), 2,
    ),
}  # fmt: skip
"""Row → number; all but the first are means of what `triton` says of an element."""
