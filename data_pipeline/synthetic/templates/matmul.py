"""A product of two matrices in tiles with `tl.dot`, and its epilogue on the accumulator."""

from data_pipeline.synthetic.lowered import Constant, Kernel, Lowered
from data_pipeline.synthetic.ops import MATMUL
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Program
from data_pipeline.synthetic.style import Style
from data_pipeline.synthetic.templates.body import Body, indented, split
from data_pipeline.synthetic.templates.host import allocation, sizes

PLACES: dict[tuple[str, ...], tuple[str, str]] = {
    ("m", "k"): ("rm[:, None] * k + rk[None, :]", "(rm[:, None] < m) & (rk[None, :] < k)"),
    ("k", "m"): ("rk[None, :] * m + rm[:, None]", "(rm[:, None] < m) & (rk[None, :] < k)"),
    ("k", "n"): ("rk[:, None] * n + rn[None, :]", "(rk[:, None] < k) & (rn[None, :] < n)"),
    ("n", "k"): ("rn[None, :] * k + rk[:, None]", "(rk[:, None] < k) & (rn[None, :] < n)"),
}
SHAPES = ((16, 16, 32), (32, 32, 16), (32, 16, 32), (16, 32, 16), (32, 32, 32), (16, 64, 32))
STRIDED: dict[tuple[str, ...], str] = {
    ("m", "k"): "rm[:, None] * {0} + rk[None, :] * {1}", ("k", "m"): "rm[:, None] * {1} + rk[None, :] * {0}",
    ("k", "n"): "rk[:, None] * {0} + rn[None, :] * {1}", ("n", "k"): "rk[:, None] * {1} + rn[None, :] * {0}",
}  # fmt: skip


def matmul(program: Program, style: Style, pose: Pose) -> Lowered:
    """Style variants: one or two dimensions of programs, tile shapes, strides as arguments, exact float32."""
    _, _, after = split(program, *MATMUL)
    left, right = program.inputs[:2]
    tall, wide, deep = SHAPES[style.variant]
    names = ("BLOCK_M", "BLOCK_N", "BLOCK_K") if style.block_name == "BLOCK" else ("BM", "BN", "BK")
    taken: dict[str, str] = {}
    loads = []
    for item in (left, right):
        at, mask = PLACES[item.shape]
        if style.strides:
            down, across = f"stride_{item.name}{item.shape[0]}", f"stride_{item.name}{item.shape[1]}"
            host = pose.name_on_host(item.name)
            taken |= {down: f"{host}.stride(0)", across: f"{host}.stride(1)"}
            at = STRIDED[item.shape].format(down, across)
        loads.append(f"{item.name} = tl.load({style.pointer_of(item.name)} + {at}, mask={mask}, other=0.0)")
    exact = ', input_precision="ieee"' if program.dtype == "float32" and style.variant % 2 else ""
    product = f"{left.name}, {right.name}"
    join = f"acc = tl.dot({product}, acc{exact})" if style.variant < 3 else f"acc += tl.dot({product}{exact})"
    if style.loop:
        ids = [f"width = tl.cdiv(n, {names[1]})", "pid = tl.program_id(0)", "pid_m, pid_n = pid // width, pid % width"]
        grid: tuple[str, ...] = (f"triton.cdiv(m, {names[0]}) * triton.cdiv(n, {names[1]})",)
    else:
        ids = ["pid_m, pid_n = tl.program_id(0), tl.program_id(1)"]
        grid = (f"triton.cdiv(m, {names[0]})", f"triton.cdiv(n, {names[1]})")
    lines = [
        *ids,
        f"rm = pid_m * {names[0]} + tl.arange(0, {names[0]})",
        f"rn = pid_n * {names[1]} + tl.arange(0, {names[1]})",
        f"acc = tl.zeros([{names[0]}, {names[1]}], tl.float32)",
        f"for start in range(0, k, {names[2]}):",
        *indented([f"rk = start + tl.arange(0, {names[2]})", *loads, join]),
        "mask = (rm[:, None] < m) & (rn[None, :] < n)",
    ]
    epilogue = Body(program, style.model_copy(update={"value": "acc"}))
    epilogue.value = "acc"
    for item in program.inputs[2:]:
        at, mask = {
            "row": ("rn[None, :]", "rn[None, :] < n"), "col": ("rm[:, None]", "rm[:, None] < m"),
            "full": ("rm[:, None] * n + rn[None, :]", "mask"),
        }[item.kind]  # fmt: skip
        epilogue.load(item, at, f"mask={mask}", "0.0")
    epilogue.steps(after)
    epilogue.store("rm[:, None] * n + rn[None, :]", style.guard)
    tuned = ((32,), (32,), ()) if tall == 16 else ((16,), (16,), ())
    kernel = Kernel(
        style.kernel, (*(item.name for item in program.inputs), style.result),
        {"m": "m", "n": "n", "k": "k", **taken},
        {n: Constant(str(v), t) for n, v, t in zip(names, (tall, wide, deep), tuned, strict=True)},
        grid, (*lines, *epilogue.lines),
    )  # fmt: skip
    return Lowered((*sizes(program, pose, "m", "n", "k"), allocation(program, style, pose)), (kernel,), style.result)
