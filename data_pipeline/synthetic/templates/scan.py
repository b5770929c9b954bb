"""Scans: along a row that is held whole, along a row with a carry from block to block, and down columns."""

from data_pipeline.synthetic.lowered import Constant, Kernel, Lowered
from data_pipeline.synthetic.ops import SCAN
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Program
from data_pipeline.synthetic.style import Style
from data_pipeline.synthetic.templates.body import Body, indented, split
from data_pipeline.synthetic.templates.host import allocation, sizes

LARGER = "@triton.jit\ndef larger(a, b):\n    return tl.maximum(a, b)"
SMALLER = "@triton.jit\ndef smaller(a, b):\n    return tl.minimum(a, b)"
RECURRENCE = (
    "@triton.jit\ndef advance(decay_a, state_a, decay_b, state_b):\n"
    "    return decay_a * decay_b, state_a * decay_b + state_b"
)


def scan_row(program: Program, style: Style, pose: Pose) -> Lowered:
    before, core, after = split(program, *SCAN)
    columns, block = style.columns, style.block_name
    body = _loaded(program, style)
    body.steps(before)
    helpers: tuple[str, ...] = ()
    match core.op:
        case "cumsum" | "running_mean":
            body.set("tl.cumsum({0}, 0)")
            if core.op == "running_mean":
                body.set(f"{{0}} / ({columns} + 1)")
        case "reverse_cumsum":
            body.set("tl.where(mask, {0}, 0.0)")
            body.set("tl.cumsum({0}, 0, reverse=True)")
        case _:
            name = "larger" if core.op == "cummax" else "smaller"
            helpers = (LARGER if core.op == "cummax" else SMALLER,)
            body.set(f"tl.associative_scan({{0}}, 0, {name})")
    body.steps(after)
    body.store(f"row * n + {columns}", style.guard)
    head = ["row = tl.program_id(0)", f"{columns} = tl.arange(0, {block})", f"mask = {columns} < n"]
    kernel = Kernel(
        style.kernel, _tensors(program, style), {"n": "n"}, {block: Constant("triton.next_power_of_2(n)")}, ("m",),
        (*head, *body.lines), helpers,
    )  # fmt: skip
    return Lowered(_host(program, style, pose), (kernel,), style.result)


def scan_loop(program: Program, style: Style, pose: Pose) -> Lowered:
    before, core, after = split(program, *SCAN)
    columns, block = style.columns, style.block_name
    body = _loaded(program, style)
    body.steps(before)
    body.set("tl.where(mask, {0}, 0.0)", "part")
    body.set("carry + tl.cumsum({0}, 0)")
    body.add("carry += tl.sum(part, 0)")
    if core.op == "running_mean":
        body.set(f"{{0}} / ({columns} + 1)")
    body.steps(after)
    body.store(f"row * n + {columns}", style.guard)
    inner = [f"{columns} = start + tl.arange(0, {block})", f"mask = {columns} < n", *body.lines]
    lines = ["row = tl.program_id(0)", "carry = 0.0", f"for start in range(0, n, {block}):", *indented(inner)]
    size = (64, 128, 32)[style.variant % 3]
    kernel = Kernel(
        style.kernel,
        _tensors(program, style),
        {"n": "n"},
        {block: Constant(str(size), (size * 2,))},
        ("m",),
        tuple(lines),
    )
    return Lowered(_host(program, style, pose), (kernel,), style.result)


def scan_down(program: Program, style: Style, pose: Pose) -> Lowered:
    """Style variants: row after row, or `tl.associative_scan` over a tile as high as the tensor."""
    before, core, after = split(program, *SCAN)
    columns, block = style.columns, style.block_name
    decay = core.args[-1]
    whole = core.op == "decay" and style.variant % 2 == 1
    body = Body(program, style)
    at = f"rows[:, None] * n + {columns}[None, :]" if whole else f"row * n + {columns}"
    for item in program.inputs:
        body.load(item, at, style.guard, "0.0")
    body.steps(before)
    head = [f"{columns} = tl.program_id(0) * {block} + tl.arange(0, {block})"]
    constants = {block: Constant("16" if whole else ("32", "64", "128")[style.variant % 3], (64,))}
    helpers: tuple[str, ...] = ()
    if whole:
        helpers = (RECURRENCE,)
        head += ["rows = tl.arange(0, ROWS)", f"mask = (rows[:, None] < m) & ({columns}[None, :] < n)"]
        body.add(f"decays = tl.full([ROWS, {block}], {decay}, tl.float32)")
        body.add(f"decays, state = tl.associative_scan((decays, {body.value}), 0, advance)")
        constants = {"ROWS": Constant("triton.next_power_of_2(m)"), **constants}
    else:
        head.append(f"mask = {columns} < n")
        update = {
            "column_cumsum": "state + {0}", "column_cummax": "tl.maximum(state, {0})",
            "decay": f"{decay} * state + {{0}}",
        }[core.op]  # fmt: skip
        empty = (
            'tl.full([{0}], float("-inf"), tl.float32)' if core.op == "column_cummax" else "tl.zeros([{0}], tl.float32)"
        )
        head += [f"state = {empty.format(block)}", "for row in range(m):"]
        body.set(update, "state")
    body.value, body.first = "state", False
    body.steps(after)
    body.store(at, style.guard)
    lines = [*head, *(body.lines if whole else indented(body.lines))]
    kernel = Kernel(
        style.kernel, _tensors(program, style), {"m": "m", "n": "n"}, constants, (f"triton.cdiv(n, {block})",),
        tuple(lines), helpers,
    )  # fmt: skip
    return Lowered(_host(program, style, pose), (kernel,), style.result)


def _loaded(program: Program, style: Style) -> Body:
    body = Body(program, style)
    for item in program.inputs:
        body.load(item, f"row * n + {style.columns}", style.guard, "0.0")
    return body


def _tensors(program: Program, style: Style) -> tuple[str, ...]:
    return *(item.name for item in program.inputs), style.result


def _host(program: Program, style: Style, pose: Pose) -> tuple[str, ...]:
    return *sizes(program, pose, "m", "n"), allocation(program, style, pose)
