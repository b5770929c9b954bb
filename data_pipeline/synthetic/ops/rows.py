"""Operators along a row: row → row, and row → number. Written for a row that is held whole."""

from data_pipeline.synthetic.intervals import if_signed, magnitude, square, within
from data_pipeline.synthetic.ops.op import MAX_ROW, Op

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
