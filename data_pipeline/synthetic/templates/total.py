"""One number for a whole tensor: partial results and a second kernel, one program that loops, or atomic additions."""

from data_pipeline.synthetic.lowered import Constant, Kernel, Lowered
from data_pipeline.synthetic.ops import TOTAL
from data_pipeline.synthetic.ops.looped import LOOPED
from data_pipeline.synthetic.ops.op import IDENTITY
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Program
from data_pipeline.synthetic.style import Style
from data_pipeline.synthetic.templates.body import Body, indented, split
from data_pipeline.synthetic.templates.loops import EMPTY

SECOND = "triton.next_power_of_2(blocks)"


def total(program: Program, style: Style, pose: Pose) -> Lowered:
    before, core, after = split(program, *TOTAL)
    (one,) = LOOPED[core.op.removeprefix("total_")].passes
    block, offsets = style.block_name, style.offsets
    body = Body(program, style)
    for item in program.inputs:
        body.load(item, offsets, style.guard, "0.0")
    body.steps(before)
    body.set(f"tl.where(mask, {one.map.format(body.value)}, {IDENTITY[one.fold]})")
    tensors = tuple(item.name for item in program.inputs)
    tail = Body(program, style)
    tail.value, out = "total", style.result
    if one.finish != "{0}":
        tail.set(one.finish.format("total"), "total")
    tail.steps(after)
    tail.add(f"tl.store({style.pointer_of(out)}, {tail.value})")
    first = tensors[0]
    host = [f"n = {first}.numel()"]
    make = f"{out} = torch.empty((), dtype=torch.float32, device={first}.device)"
    constants = {block: Constant(str(style.block))}
    whole = [f"{offsets} = tl.program_id(0) * {block} + tl.arange(0, {block})", f"mask = {offsets} < n", *body.lines]
    if style.variant == 0:
        join = f"lanes += {body.value}" if one.fold == "sum" else f"lanes = tl.{one.fold}imum(lanes, {body.value})"
        inner = [f"{offsets} = start + tl.arange(0, {block})", f"mask = {offsets} < n", *body.lines, join]
        lines = [f"lanes = {EMPTY[one.fold].format(block)}", f"for start in range(0, n, {block}):", *indented(inner)]
        lines += [f"total = tl.{one.fold}(lanes, 0)", *tail.lines]
        kernel = Kernel(style.kernel, (*tensors, out), {"n": "n"}, constants, ("1",), tuple(lines))
        return Lowered((*host, make), (kernel,), out)
    if style.variant < 3 and one.fold == "sum" and not after and one.finish in ("{0}", "{0} / n"):
        share = one.finish.format(f"tl.sum({body.value}, 0)")
        lines = [*whole, f"tl.atomic_add({style.pointer_of(out)}, {share})"]
        grid = (f"triton.cdiv(n, {block})",)
        kernel = Kernel(style.kernel, (*tensors, out), {"n": "n"}, constants, grid, tuple(lines))
        return Lowered((*host, make.replace("torch.empty", "torch.zeros")), (kernel,), out)
    partial = "partial" if style.variant % 2 else "part"
    stage = Kernel(
        style.kernel, (*tensors, partial), {"n": "n"}, constants, ("blocks",),
        (*whole, f"tl.store({style.pointer_of(partial)} + tl.program_id(0), tl.{one.fold}({body.value}, 0))"),
    )  # fmt: skip
    lines = [
        f"{offsets} = tl.arange(0, {block})",
        f"mask = {offsets} < blocks",
        f"parts = tl.load({style.pointer_of(partial)} + {offsets}, mask=mask, other={IDENTITY[one.fold]})",
        f"total = tl.{one.fold}(parts, 0)",
        *tail.lines,
    ]
    finish = Kernel(
        "finish_kernel", (partial, out), {"blocks": "blocks", "n": "n"}, {block: Constant(SECOND)}, ("1",), tuple(lines)
    )
    host += [
        f"blocks = triton.cdiv(n, {style.block})",
        f"{partial} = torch.empty(blocks, dtype=torch.float32, device={first}.device)",
        make,
    ]
    return Lowered(tuple(host), (stage, finish), out)
