"""The operators of synthetic programs, one table a kind; `OPS` is all of them by name."""

from data_pipeline.synthetic.ops.along import COLUMN, TOTAL
from data_pipeline.synthetic.ops.binary import BINARY
from data_pipeline.synthetic.ops.cores import ATTENTION, CODES, LOSS, MATMUL, ROTARY, SCAN, TABLE
from data_pipeline.synthetic.ops.integer import BOOL_BINARY, COMPARE, INT_BINARY, INT_UNARY, SELECT
from data_pipeline.synthetic.ops.op import Op
from data_pipeline.synthetic.ops.rows import REDUCE, ROW
from data_pipeline.synthetic.ops.unary import CONSTANT, CONSTANTS, UNARY

OPS: dict[str, Op] = (
    UNARY | CONSTANT | BINARY | ROW | REDUCE | COLUMN | TOTAL | SCAN | MATMUL | ATTENTION | ROTARY | TABLE | CODES
    | LOSS | INT_UNARY | INT_BINARY | COMPARE | BOOL_BINARY | SELECT
)  # fmt: skip
NUMBERS = frozenset(REDUCE) | frozenset(LOSS)
"""Operators after which a row is one number."""

__all__ = [
    "ATTENTION", "BINARY", "BOOL_BINARY", "CODES", "COLUMN", "COMPARE", "CONSTANT", "CONSTANTS", "INT_BINARY",
    "INT_UNARY", "LOSS", "MATMUL", "NUMBERS", "OPS", "REDUCE", "ROTARY", "ROW", "SCAN", "SELECT", "TABLE", "TOTAL",
    "UNARY", "Op",
]  # fmt: skip
