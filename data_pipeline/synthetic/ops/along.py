"""The operators of a row along other dimensions: columns (dimension 0), and the whole tensor (reductions alone)."""

from data_pipeline.synthetic.intervals import Bounds, Interval, if_signed, magnitude, square
from data_pipeline.synthetic.ops.op import Op
from data_pipeline.synthetic.ops.rows import REDUCE, ROW

MAX_ELEMENTS = 9000
"""Most elements that a case of a whole-tensor reduction may have."""


def _unless_it_cancels(result: Bounds) -> Bounds:
    """A long sum of both signs is all rounding error where it happens to come out near zero."""
    return lambda a: result(a) if a[0] >= 0 or a[1] <= 0 else None


def _times(count: int) -> Bounds:
    return lambda a: (a[0] * count if a[0] < 0 else 0.0, a[1] * count if a[1] > 0 else 0.0)


def _root_of_squares(a: Interval) -> Interval:
    return 0.0, magnitude(a)[1]


COLUMN: dict[str, Op] = {
    f"column_{name}": op._replace(
        torch=op.torch.replace("dim=-1", "dim=0").replace("(-1, keepdim", "(0, keepdim"),
        triton="",
        words=op.words.replace("row_", "column_"),
    )
    for name, op in (ROW | REDUCE).items()
    if name != "layer_norm"  # F.layer_norm normalises trailing dimensions only
}
TOTAL: dict[str, Op] = {
    "total_sum": Op("{0}.sum()", "", "sum({0}) over all elements", _unless_it_cancels(_times(MAX_ELEMENTS))),
    "total_mean": Op("{0}.mean()", "", "mean({0}) over all elements", _unless_it_cancels(lambda a: a)),
    "total_max": Op("{0}.max()", "", "max({0}) over all elements", lambda a: a),
    "total_min": Op("{0}.min()", "", "min({0}) over all elements", lambda a: a),
    "total_sum_squares": Op(
        "({0} * {0}).sum()", "", "sum({0}^2) over all elements", lambda a: (0.0, square(a)[1] * MAX_ELEMENTS)
    ),
    "total_mean_squares": Op(
        "({0} * {0}).mean()", "", "mean({0}^2) over all elements", lambda a: (0.0, square(a)[1])
    ),
    "total_abs_sum": Op(
        "{0}.abs().sum()", "", "sum(abs({0})) over all elements",
        if_signed(lambda a: (0.0, magnitude(a)[1] * MAX_ELEMENTS)),
    ),
    "total_abs_max": Op("{0}.abs().max()", "", "max(abs({0})) over all elements", if_signed(_root_of_squares)),
    "total_norm": Op(
        "{0}.norm()", "", "the Euclidean norm of {0} over all elements", lambda a: (0.0, magnitude(a)[1] * 100)
    ),
    "total_rms": Op(
        "torch.sqrt(({0} * {0}).mean())", "", "the root mean square of {0} over all elements", _root_of_squares
    ),
}  # fmt: skip
