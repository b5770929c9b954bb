"""One offset an element; in two dimensions row and column come by division. Also reading along rows by an index."""

from data_pipeline.synthetic.lowered import Constant, Kernel, Lowered
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Program
from data_pipeline.synthetic.style import Style
from data_pipeline.synthetic.templates.body import Body, indented
from data_pipeline.synthetic.templates.host import allocation, sizes

PROGRAMS = 4
"""Of a launch whose programs stride over the grid."""


def flat(program: Program, style: Style, pose: Pose) -> Lowered:
    """Style variants: programs that stride over the grid, and the arithmetic as a device function."""
    two = program.layout == "flat2d"
    offsets, block, size = style.offsets, style.block_name, "size" if two else "n"
    body = Body(program, style)
    places = {
        "full": offsets, "mask": offsets, "codes": offsets, "row": f"{offsets} % n", "col": f"{offsets} // n",
        "index": offsets, "source": "pick",
    }  # fmt: skip
    # The index comes first: the source is read where it says.
    for item in sorted(program.inputs, key=lambda item: item.kind != "index"):
        other = "0" if item.kind == "index" else ""
        name = "pick" if item.kind == "index" else item.name
        body.load(item, places[item.kind], style.guard, other, name, cast=item.kind != "index")
    helpers: tuple[str, ...] = ()
    if style.helper and len(program.steps) > 1:
        helpers = (_as_function(program, style, body),)
    else:
        body.steps(program.steps)
    body.store(offsets, style.guard)
    start = f"tl.program_id(0) * {block} + tl.arange(0, {block})"
    if style.loop:
        lines = [f"for start in range(tl.program_id(0) * {block}, {size}, tl.num_programs(0) * {block}):"]
        lines += indented([f"{offsets} = start + tl.arange(0, {block})", f"mask = {offsets} < {size}", *body.lines])
    else:
        lines = [f"{offsets} = {start}", f"mask = {offsets} < {size}", *body.lines]
    host, count = _host(program, style, pose, two)
    grid = f"triton.cdiv({count}, {block})"
    kernel = Kernel(
        name=style.kernel,
        tensors=(*(item.name for item in program.inputs), style.result),
        sizes={"size": "m * n", "n": "n"} if two else {"n": count},
        constants={block: Constant(str(style.block), (style.block * 2,))},
        grid=(f"min({PROGRAMS}, {grid})" if style.loop else grid,),
        body=tuple(lines),
        helpers=helpers,
    )
    return Lowered(tuple(host), (kernel,), style.result)


def _host(program: Program, style: Style, pose: Pose, two: bool) -> tuple[list[str], str]:
    if two:
        return [*sizes(program, pose, "m", "n"), allocation(program, style, pose)], "m * n"
    shaped = next((item for item in program.inputs if item.shape == program.result), program.inputs[0])
    name = pose.name_on_host(shaped.name)
    if program.of_kind("index"):
        lines = [f"{style.result} = {pose.name_on_host(program.inputs[0].name)}.new_empty({name}.shape)"]
    else:
        lines = [allocation(program, style, pose)]
    return ([*lines, f"n = {name}.numel()"], "n") if not style.strides else (lines, f"{style.result}.numel()")


def _as_function(program: Program, style: Style, body: Body) -> str:
    """Moves the steps into a device function, and returns its source."""
    names = [body.names[item.name] for item in program.inputs if item.kind != "index"]
    inner = Body(program, style)
    inner.names, inner.value = dict(body.names), body.value
    inner.steps(program.steps)
    called = f"{program.family}_body" if style.variant % 2 else "compute"
    lines = "".join(f"    {line}\n" for line in [*inner.lines, f"return {inner.value}"])
    body.set(f"{called}({', '.join(names)})")
    return f"@triton.jit\ndef {called}({', '.join(names)}):\n{lines.rstrip()}"


def take(program: Program, style: Style, pose: Pose) -> Lowered:
    """`x[i, idx[i, j]]`, an offset an element of the index."""
    item, index = program.inputs
    offsets, block = style.offsets, style.block_name
    body = Body(program, style)
    body.add(f"{offsets} = tl.program_id(0) * {block} + tl.arange(0, {block})", f"mask = {offsets} < size")
    body.load(index, offsets, style.guard, "0", "pick", cast=False)
    body.load(item, f"({offsets} // k) * n + pick", style.guard)
    for step in program.steps:
        if step.op != "take_along":
            body.step(step)
    body.store(offsets, style.guard)
    kernel = Kernel(
        name=style.kernel, tensors=(item.name, index.name, style.result),
        sizes={"size": "m * k", "n": "n", "k": "k"},
        constants={block: Constant(str(style.block), (style.block * 2,))},
        grid=(f"triton.cdiv(m * k, {block})",), body=tuple(body.lines),
    )  # fmt: skip
    host = [f"m, n = {item.name}.shape", f"k = {index.name}.shape[1]", f"{style.result} = {item.name}.new_empty(m, k)"]
    return Lowered(tuple(host), (kernel,), style.result)
