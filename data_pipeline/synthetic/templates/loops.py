"""Rows and columns read block by block: the numbers of `ops.looped` first, a pass each, then the result."""

from data_pipeline.synthetic.lowered import Constant, Kernel, Lowered
from data_pipeline.synthetic.ops.looped import LOOPED
from data_pipeline.synthetic.ops.op import IDENTITY, Pass
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Input, Program, Step
from data_pipeline.synthetic.style import Style
from data_pipeline.synthetic.templates.body import Body, indented, reads, split
from data_pipeline.synthetic.templates.host import allocation, sizes

EMPTY = {"sum": "tl.zeros([{0}], tl.float32)", "max": 'tl.full([{0}], float("-inf"), tl.float32)',
         "min": 'tl.full([{0}], float("inf"), tl.float32)'}  # fmt: skip
ONLINE = ("softmax", "log_softmax", "logsumexp")


class _Loops:
    """A kernel under construction: `down` for columns (lanes are columns, time is rows), else for a row."""

    def __init__(self, program: Program, style: Style, down: bool) -> None:
        self.program, self.style, self.down = program, style, down
        cores = [step.op for step in program.steps if step.op.removeprefix("column_") in LOOPED]
        self.before, self.core, self.after = split(program, *cores)
        self.looped = LOOPED[self.core.op.removeprefix("column_")]
        self.numbers: dict[str, str] = {}
        self.lines: list[str] = []
        self.count = "m" if down else "n"

    def head(self) -> list[str]:
        columns, block = self.style.columns, self.style.block_name
        if self.down:
            return [f"{columns} = tl.program_id(0) * {block} + tl.arange(0, {block})", f"mask = {columns} < n"]
        scalars = Body(self.program, self.style)
        for item in self.program.of_kind("col"):
            scalars.load(item, "row")
        return ["row = tl.program_id(0)", *scalars.lines]

    def loop(self) -> list[str]:
        columns, block = self.style.columns, self.style.block_name
        if self.down:
            return ["for row in range(m):"]
        lanes = [f"{columns} = start + tl.arange(0, {block})", f"mask = {columns} < n"]
        return [f"for start in range(0, n, {block}):", *indented(lanes)]

    def element(self, steps: tuple[Step, ...], last: bool) -> Body:
        """Loads of what `steps` (and in the last loop the rest) read, and the steps before the core."""
        body = Body(self.program, self.style, count=self.count)
        body.names = {item.name: item.name for item in self.program.of_kind("col")}
        wanted = reads((*steps, *([self.core, *self.after] if last else [self.core])))
        for item in self.program.inputs:
            if item.kind in ("full", "row") and item.name in wanted:
                self._load(body, item)
        body.steps(steps)
        return body

    def _load(self, body: Body, item: Input) -> None:
        columns = self.style.columns
        at = f"row * n + {columns}" if item.kind == "full" else columns
        body.load(item, at, self.style.guard, "0.0")

    def fold(self, one: Pass) -> None:
        """One pass over the row."""
        style, fold = self.style, one.fold
        body = self.element(self.before, last=False)
        mapped = one.map.format(body.value, **self.numbers)
        if not self.down:
            mapped = f"tl.where(mask, {mapped}, {IDENTITY[fold]})"
        gathered = f"{one.name}_acc"
        join = f"{gathered} += {mapped}" if fold == "sum" else f"{gathered} = tl.{fold}imum({gathered}, {mapped})"
        self.lines += [f"{gathered} = {EMPTY[fold].format(style.block_name)}", *self.loop()]
        self.lines += indented([*body.lines, join])
        reduced = gathered if self.down else f"tl.{fold}({gathered}, 0)"
        finish = one.finish.replace("/ n", f"/ {self.count}")
        self.lines.append(f"{one.name} = {finish.format(reduced)}")
        self.numbers[one.name] = one.name

    def online(self) -> None:
        """The largest value and the sum of exponentials in one pass (Milakov and Gimelshein, 2018)."""
        body = self.element(self.before, last=False)
        seen = body.value if self.down else "seen"
        peak = seen if self.down else f"tl.max({seen}, 0)"
        added = f"tl.exp({seen} - new)" if self.down else f"tl.sum(tl.exp({seen} - new), 0)"
        empty = (
            [EMPTY[fold].format(self.style.block_name) for fold in ("max", "sum")]
            if self.down
            else ['float("-inf")', "0.0"]
        )
        inner = list(body.lines) if self.down else [*body.lines, f'seen = tl.where(mask, {body.value}, float("-inf"))']
        inner += [f"new = tl.maximum(peak, {peak})", f"total = total * tl.exp(peak - new) + {added}", "peak = new"]
        self.lines += [f"peak = {empty[0]}", f"total = {empty[1]}", *self.loop(), *indented(inner)]
        self.numbers = {"peak": "peak", "total": "total"}

    def result(self, body: Body) -> None:
        if self.looped.apply.strip("{}") in self.numbers:
            body.value, body.first = self.looped.apply.strip("{}"), False
        else:
            out = self.style.reduced if self.reduces() else self.style.value
            body.set(self.looped.apply.format(body.value, **self.numbers), out)
        body.steps(self.after)

    def reduces(self) -> bool:
        return "{0}" not in self.looped.apply


def lower(program: Program, style: Style, pose: Pose) -> Lowered:
    """Layouts row_loop and column_loop. Style variants: softmax in one pass or two."""
    down = program.layout == "column_loop"
    loops = _Loops(program, style, down)
    name = loops.core.op.removeprefix("column_")
    if name in ONLINE and style.variant % 2 and (not down or style.variant % 3):
        loops.online()
    else:
        for one in loops.looped.passes:
            loops.fold(one)
    if loops.reduces():
        body = Body(program, style)
        body.names = {item.name: item.name for item in program.of_kind("col")}
        loops.result(body)
        body.store(style.columns if down else "row", style.guard if down else "")
        loops.lines += body.lines
    else:
        body = loops.element(loops.before, last=True)
        loops.result(body)
        body.store(f"row * n + {style.columns}", style.guard)
        loops.lines += [*loops.loop(), *indented(body.lines)]
    block = (64, 128, 256)[style.variant % 3] if not down else (32, 64, 128)[style.variant % 3]
    kernel = Kernel(
        name=style.kernel,
        tensors=(*(item.name for item in program.inputs), style.result),
        sizes={"m": "m", "n": "n"} if down else {"n": "n"},
        constants={style.block_name: Constant(str(block), (block * 2,))},
        grid=(f"triton.cdiv(n, {style.block_name})" if down else "m",),
        body=(*loops.head(), *loops.lines),
    )
    return Lowered((*sizes(program, pose, "m", "n"), allocation(program, style, pose)), (kernel,), style.result)


def column_tile(program: Program, style: Style, pose: Pose) -> Lowered:
    """Columns held whole: a tile as high as the tensor, reduced down. The row operators' text is used as it is."""
    height, width = "ROWS", style.block_name
    body = Body(program, style, along="down", count="m")
    body.add(
        f"rows = tl.arange(0, {height})",
        f"cols = tl.program_id(0) * {width} + tl.arange(0, {width})",
        "mask = (rows[:, None] < m) & (cols[None, :] < n)",
    )
    for item in program.inputs:
        body.load(item, "rows[:, None] * n + cols[None, :]", style.guard, "0.0")
    body.first = False
    body.zero = True
    reduced = False
    for step in program.steps:
        plain = step.op.removeprefix("column_")
        if plain == step.op:
            body.step(step)
            continue
        body.step(Step(op=plain, args=step.args))
        reduced = "{0}" not in LOOPED[plain].apply
    if reduced:
        body.store("cols[None, :]", "mask=cols[None, :] < n" if "=" in style.guard else "cols[None, :] < n")
    else:
        body.store("rows[:, None] * n + cols[None, :]", style.guard)
    wide = (16, 32, 64)[style.variant % 3]
    kernel = Kernel(
        name=style.kernel,
        tensors=(*(item.name for item in program.inputs), style.result),
        sizes={"m": "m", "n": "n"},
        constants={height: Constant("triton.next_power_of_2(m)"), width: Constant(str(wide), (wide * 2,))},
        grid=(f"triton.cdiv(n, {width})",),
        body=tuple(body.lines),
    )
    return Lowered((*sizes(program, pose, "m", "n"), allocation(program, style, pose)), (kernel,), style.result)
