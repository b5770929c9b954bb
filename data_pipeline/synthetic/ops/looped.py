"""The operators along a row once more, as readings block by block: for long rows, columns and whole tensors."""

from data_pipeline.synthetic.ops.op import Looped, Pass

_MEAN = "{0} / n"
_PEAK = (Pass("peak", "{0}", "max"), Pass("total", "tl.exp({0} - {peak})", "sum"))
LOOPED: dict[str, Looped] = {
    "softmax": Looped(_PEAK, "tl.exp({0} - {peak}) / {total}"),
    "log_softmax": Looped(_PEAK, "{0} - {peak} - tl.log({total})"),
    "layer_norm": Looped(
        (
            Pass("mean", "{0}", "sum", _MEAN),
            Pass("rstd", "({0} - {mean}) * ({0} - {mean})", "sum", "tl.rsqrt({0} / n + 1e-5)"),
        ),
        "({0} - {mean}) * {rstd}",
    ),
    "rms_norm": Looped((Pass("rstd", "{0} * {0}", "sum", "tl.rsqrt({0} / n + 1e-6)"),), "{0} * {rstd}"),
    "l2_norm": Looped((Pass("rnorm", "{0} * {0}", "sum", "tl.rsqrt({0} + 1e-6)"),), "{0} * {rnorm}"),
    "center": Looped((Pass("mean", "{0}", "sum", _MEAN),), "{0} - {mean}"),
    "max_norm": Looped((Pass("peak", "tl.abs({0})", "max"),), "{0} / (1.0 + {peak})"),
    "sum": Looped((Pass("total", "{0}", "sum"),), "{total}"),
    "mean": Looped((Pass("mean", "{0}", "sum", _MEAN),), "{mean}"),
    "max": Looped((Pass("peak", "{0}", "max"),), "{peak}"),
    "min": Looped((Pass("low", "{0}", "min"),), "{low}"),
    "sum_squares": Looped((Pass("total", "{0} * {0}", "sum"),), "{total}"),
    "mean_squares": Looped((Pass("mean", "{0} * {0}", "sum", _MEAN),), "{mean}"),
    "abs_max": Looped((Pass("peak", "tl.abs({0})", "max"),), "{peak}"),
    "abs_sum": Looped((Pass("total", "tl.abs({0})", "sum"),), "{total}"),
    "rms": Looped((Pass("rms", "{0} * {0}", "sum", "tl.sqrt({0} / n)"),), "{rms}"),
    "norm": Looped((Pass("norm", "{0} * {0}", "sum", "tl.sqrt({0})"),), "{norm}"),
    "logsumexp": Looped(_PEAK, "{peak} + tl.log({total})"),
}
