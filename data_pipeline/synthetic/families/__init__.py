"""How a program of each family is drawn; `DRAW[family](rng, dtype, ops)` has about `ops` operators."""

import random
from collections.abc import Callable

from data_pipeline.synthetic.families.elementwise import broadcast, elementwise, masked, strided
from data_pipeline.synthetic.families.exact import compare, integer
from data_pipeline.synthetic.families.products import attention, matmul, quantised, rotary
from data_pipeline.synthetic.families.rows import column, loss, normalisation, reduction, softmax, total
from data_pipeline.synthetic.families.scans import scan
from data_pipeline.synthetic.families.tables import gather, scatter
from data_pipeline.synthetic.program import Dtype, Program

DRAW: dict[str, Callable[[random.Random, Dtype, int], Program]] = {
    "elementwise": elementwise, "broadcast": broadcast, "reduction": reduction, "softmax": softmax,
    "normalisation": normalisation, "gather": gather, "masked": masked, "strided": strided, "integer": integer,
    "compare": compare, "column": column, "total": total, "scan": scan, "scatter": scatter, "loss": loss,
    "matmul": matmul, "attention": attention, "rotary": rotary, "quantised": quantised,
}  # fmt: skip
