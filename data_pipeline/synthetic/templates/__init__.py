"""The template compiler: `TEMPLATES[layout](program, style, pose)` lowers a program, one file a family of templates."""

from collections.abc import Callable

from data_pipeline.synthetic.lowered import Lowered
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Layout, Program
from data_pipeline.synthetic.style import Style
from data_pipeline.synthetic.templates import loops, scan
from data_pipeline.synthetic.templates.attention import attention
from data_pipeline.synthetic.templates.flat import flat, take
from data_pipeline.synthetic.templates.matmul import matmul
from data_pipeline.synthetic.templates.rows import rotary, rows, scatter, unpack
from data_pipeline.synthetic.templates.tile import tile
from data_pipeline.synthetic.templates.total import total

TEMPLATES: dict[Layout, Callable[[Program, Style, Pose], Lowered]] = {
    "flat": flat, "flat2d": flat, "rows": rows, "loss": rows, "tile": tile,
    "row_loop": loops.lower, "column_loop": loops.lower, "column_tile": loops.column_tile, "total": total,
    "scan_row": scan.scan_row, "scan_loop": scan.scan_loop, "scan_down": scan.scan_down, "matmul": matmul,
    "attention": attention, "rotary": rotary, "take": take, "scatter": scatter, "unpack": unpack,
}  # fmt: skip
