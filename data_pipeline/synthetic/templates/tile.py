"""Two-dimensional tiles: of elements, with strides for tensors that are no matrix row after row, and of whole rows."""

from data_pipeline.synthetic.lowered import Constant, Kernel, Lowered
from data_pipeline.synthetic.ops import OPS
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Program
from data_pipeline.synthetic.style import Style
from data_pipeline.synthetic.templates.body import Body, fills
from data_pipeline.synthetic.templates.host import allocation, sizes


def tile(program: Program, style: Style, pose: Pose) -> Lowered:
    """Style variants: strides as arguments, several tile shapes."""
    whole = any(OPS[step.op].identity for step in program.steps)
    views = any(item.view for item in program.inputs)
    strided = views or style.strides
    height, width = _names(style)
    body, taken = _pointers(program, style, height, width, strided, whole)
    tall = (4, 8, 16, 2)[style.variant % 4] if whole else (16, 8, 32, 16)[style.variant % 4]
    wide = "triton.next_power_of_2(n)" if whole else str((32, 64, 16, 128)[style.variant % 4])
    grid = [f"triton.cdiv(m, {height})"] + ([] if whole else [f"triton.cdiv(n, {width})"])
    kernel = Kernel(
        name=style.kernel,
        tensors=(*(item.name for item in program.inputs), style.result),
        sizes={"m": "m", "n": "n", **taken},
        constants={height: Constant(str(tall), (tall * 2,)), width: Constant(wide, () if whole else (64,))},
        grid=tuple(grid),
        body=tuple(body.lines),
    )
    host = [*sizes(program, pose, "m", "n"), allocation(program, style, pose)]
    return Lowered(tuple(host), (kernel,), style.result)


def _names(style: Style) -> tuple[str, str]:
    return ("BLOCK_M", "BLOCK_N") if style.variant % 2 else ("ROWS", "COLS")


def _pointers(
    program: Program, style: Style, height: str, width: str, strided: bool, whole: bool
) -> tuple[Body, dict[str, str]]:
    body = Body(program, style, along="across")
    columns = f"tl.arange(0, {width})" if whole else f"tl.program_id(1) * {width} + tl.arange(0, {width})"
    body.add(
        f"rows = tl.program_id(0) * {height} + tl.arange(0, {height})",
        f"cols = {columns}",
        "mask = (rows[:, None] < m) & (cols[None, :] < n)",
    )
    other = fills(program)
    taken: dict[str, str] = {}
    for item in program.inputs:
        at, guard = "rows[:, None] * n + cols[None, :]", style.guard
        if item.kind == "row":
            at, guard = "cols[None, :]", "mask=cols[None, :] < n" if "=" in style.guard else "cols[None, :] < n"
        elif item.kind == "col":
            at, guard = "rows[:, None]", "mask=rows[:, None] < m" if "=" in style.guard else "rows[:, None] < m"
        elif strided:
            down, across = f"stride_{item.name}m", f"stride_{item.name}n"
            at = f"rows[:, None] * {down} + cols[None, :] * {across}"
            taken |= {down: f"{item.name}.stride(0)", across: f"{item.name}.stride(1)"}
        body.load(item, at, guard, other.get(item.name, ""))
    body.steps(program.steps)
    if program.reduces:
        body.store("rows[:, None]", "mask=rows[:, None] < m" if "=" in style.guard else "rows[:, None] < m")
    else:
        body.store("rows[:, None] * n + cols[None, :]", style.guard)
    return body, taken
