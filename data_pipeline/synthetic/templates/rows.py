"""A program a row, the row held whole: elementwise with broadcasting, reductions, softmax, norms, losses, tables."""

from data_pipeline.synthetic.lowered import Constant, Kernel, Lowered
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Program
from data_pipeline.synthetic.style import Style
from data_pipeline.synthetic.templates.body import Body, fills, indented, split
from data_pipeline.synthetic.templates.host import allocation, sizes

PROGRAMS = 4
NEXT_POWER = "triton.next_power_of_2(n)"


def rows(program: Program, style: Style, pose: Pose) -> Lowered:
    """Style variants: the stride of a row as an argument, programs that stride over rows."""
    columns = style.columns
    width = "stride" if style.strides and program.inputs[0].kind in ("full", "codes", "source") else "n"
    body = Body(program, style)
    full = bool(program.of_kind("full", "codes"))
    place = "at" if full and not program.reduces else f"row * {width} + {columns}"
    prefix = [f"at = row * {width} + {columns}"] if place == "at" else []
    _load_row(body, place, width)
    if program.layout == "loss":
        _loss(body)
    else:
        body.steps(program.steps)
    if program.reduces:
        body.store("row")
    else:
        own = place if width == "n" or program.inputs[0].kind != "source" else f"row * n + {columns}"
        body.store(own, style.guard)
    head = [f"{columns} = tl.arange(0, {style.block_name})", f"mask = {columns} < n"]
    inner = [*prefix, *body.lines]
    host = [*sizes(program, pose, "m", "n"), allocation(program, style, pose)]
    taken = {"stride": f"{pose.name_on_host(program.inputs[0].name)}.stride(0)"} if width == "stride" else {}
    loop = style.loop and program.layout == "rows"
    if loop:
        row = "for row in range(tl.program_id(0), m, tl.num_programs(0)):"
        lines, taken = [*head, row, *indented(inner)], {**taken, "m": "m"}
    else:
        lines = ["row = tl.program_id(0)", *head, *inner]
    kernel = Kernel(
        name=style.kernel,
        tensors=(*(item.name for item in program.inputs), style.result),
        sizes={**taken, "n": "n"},
        constants={style.block_name: Constant(NEXT_POWER)},
        grid=(f"min({PROGRAMS}, m)" if loop else "m",),
        body=tuple(lines),
    )
    return Lowered(tuple(host), (kernel,), style.result)


def _load_row(body: Body, place: str, width: str) -> None:
    program, style, columns = body.program, body.style, body.style.columns
    places = {
        "full": place, "codes": place, "row": columns, "col": "row", "index": "row",
        "source": f"pick * {width} + {columns}",
    }  # fmt: skip
    if place != "at":
        places["full"] = f"row * {width} + {columns}"
    # Only inputs that lie like the first have its stride.
    other = fills(program)
    if program.layout == "loss":
        other = {item.name: "0.0" for item in program.inputs if item.kind == "full"}
    for item in sorted(program.inputs, key=lambda item: item.kind != "index"):
        scalar = item.kind in ("col", "index")
        name = "pick" if item.kind == "index" else item.name
        where = places[item.kind]
        if item.kind == "full" and program.inputs[0].kind == "source":
            where = f"row * n + {columns}"
        body.load(
            item, where, "" if scalar else style.guard, other.get(item.name, ""), name, cast=item.kind != "index"
        )  # fmt: skip


def _loss(body: Body) -> None:
    before, step, after = split(body.program, *(s.op for s in body.program.steps if s.op in _LOSSES))
    body.steps(before)
    out = body.style.reduced
    if step.op == "cross_entropy":
        body.set('tl.where(mask, {0}, float("-inf"))')
        body.add(
            f"peak = tl.max({body.value}, 0)",
            f"lse = peak + tl.log(tl.sum(tl.exp({body.value} - peak), 0))",
            f"picked = tl.sum(tl.where({body.style.columns} == pick, {body.value}, 0.0), 0)",
        )
        body.set("lse - picked", out)
    else:
        body.assign(body.style.value, body.formatted(step))
        body.set("tl.sum(tl.where(mask, {0}, 0.0), 0) / n", out)
    body.steps(after)


_LOSSES = frozenset("cross_entropy squared_error absolute_error smooth_l1 logistic hinge poisson".split())


def scatter(program: Program, style: Style, pose: Pose) -> Lowered:
    """Rows added atomically to, or stored in, the row that an index names."""
    item, index = program.inputs[0], program.of_kind("index")[0]
    before, step, after = split(program, "index_add", "scatter_rows")
    columns, base = style.columns, program.of_kind("source")
    body = Body(program, style)
    body.load(index, "row", name="pick", cast=False)
    body.load(item, f"row * n + {columns}", style.guard)
    body.steps([*before, *after])
    target = f"{style.pointer_of(style.result)} + pick * n + {columns}"
    if step.op == "index_add":
        body.add(f"tl.atomic_add({target}, {body.value}, {style.guard})")
        make = f"{style.result} = {base[0].name}.clone()"
    else:
        body.add(f"tl.store({target}, {body.value}, {style.guard})")
        make = f"{style.result} = torch.empty_like({item.name})"
    head = ["row = tl.program_id(0)", f"{columns} = tl.arange(0, {style.block_name})", f"mask = {columns} < n"]
    kernel = Kernel(
        name=style.kernel, tensors=(item.name, index.name, style.result), sizes={"n": "n"},
        constants={style.block_name: Constant(NEXT_POWER)}, grid=("m",), body=(*head, *body.lines),
    )  # fmt: skip
    return Lowered((f"m, n = {item.name}.shape", make), (kernel,), style.result)


def unpack(program: Program, style: Style, pose: Pose) -> Lowered:
    """Two 4-bit codes a byte; a lane an element, so neighbours read the same byte."""
    packed, columns = program.inputs[0], style.columns
    body = Body(program, style)
    pointer = style.pointer_of(packed.name)
    body.add(f"byte = tl.load({pointer} + row * (n // 2) + {columns} // 2, {style.guard}, other=0).to(tl.int32)")
    shift = f"({columns} % 2) * 4" if style.variant % 2 else f"({columns} & 1) << 2"
    body.set(f"((byte >> ({shift})) & 15).to(tl.float32)")
    places = {"full": f"row * n + {columns}", "row": columns, "col": "row"}
    for item in program.inputs[1:]:
        body.load(item, places[item.kind], "" if item.kind == "col" else style.guard)
    body.steps(program.steps[1:])
    body.store(f"row * n + {columns}", style.guard)
    head = ["row = tl.program_id(0)", f"{columns} = tl.arange(0, {style.block_name})", f"mask = {columns} < n"]
    kernel = Kernel(
        name=style.kernel, tensors=(*(item.name for item in program.inputs), style.result), sizes={"n": "n"},
        constants={style.block_name: Constant(NEXT_POWER)}, grid=("m",), body=(*head, *body.lines),
    )  # fmt: skip
    host = [f"m, n = {packed.name}.shape[0], 2 * {packed.name}.shape[1]", allocation(program, style, pose)]
    return Lowered(tuple(host), (kernel,), style.result)


def rotary(program: Program, style: Style, pose: Pose) -> Lowered:
    """A program a row: both parts of it are read, rotated by an angle a pair, and stored."""
    first = program.inputs[0]
    before, step, after = split(program, "rotate_halves", "rotate_pairs")
    columns, pointer = style.columns, style.pointer_of(program.inputs[0].name)
    places = (
        (f"{columns}", f"n + {columns}") if step.op == "rotate_halves" else (f"2 * {columns}", f"2 * {columns} + 1")
    )
    lines = ["row = tl.program_id(0)", f"{columns} = tl.arange(0, {style.block_name})", f"mask = {columns} < n"]
    tables = Body(program, style)
    for item in program.inputs[1:]:
        tables.load(item, f"row * n + {columns}", style.guard)
    lines += [*tables.lines, "base = row * 2 * n"]
    ends = []
    for number, place in enumerate(places, start=1):
        part = Body(program, style.model_copy(update={"value": f"{style.value}{number}"}))
        name = f"x{number}"
        part.add(f"{name} = tl.load({pointer} + base + {place}, {style.guard}){part.cast(first)}")
        part.value = part.names[first.name] = name
        part.steps(before)
        lines += part.lines
        ends.append(part.value)
    one, two = ends
    for number, (place, text) in enumerate(
        zip(places, (f"{one} * cos - {two} * sin", f"{two} * cos + {one} * sin"), strict=True), start=1
    ):
        part = Body(program, style)
        part.set(text, f"out{number}")
        part.style = style.model_copy(update={"value": f"out{number}"})
        part.steps(after)
        part.style = style
        part.store(f"base + {place}", style.guard)
        lines += part.lines
    kernel = Kernel(
        name=style.kernel, tensors=(*(item.name for item in program.inputs), style.result), sizes={"n": "n"},
        constants={style.block_name: Constant(NEXT_POWER)}, grid=("m",), body=tuple(lines),
    )  # fmt: skip
    host = ["m, n = cos.shape", f"{style.result} = torch.empty_like({first.name})"]
    return Lowered(tuple(host), (kernel,), style.result)
