"""The arithmetic of a kernel: loads, then a statement a step. Knows how reductions along a row read in each tiling."""

from collections.abc import Sequence
from typing import Literal

from data_pipeline.synthetic.ops import NUMBERS, OPS
from data_pipeline.synthetic.program import RUNNING, Input, Program, Step
from data_pipeline.synthetic.style import Style

Along = Literal["row", "across", "down"]
"""row: a vector; across: the rows of a tile; down: its columns."""
REDUCED: dict[Along, str] = {"row": ", 0)", "across": ", 1)[:, None]", "down": ", 0)[None, :]"}
ZERO_STAYS_ZERO = frozenset(
    "relu leaky_relu abs neg square cube silu gelu tanh elu log1p softsign sin clamp1 scale divide add sub mul "
    "maximum minimum ratio gate swiglu difference2 average flip_sign".split()
)
"""Operators that map zeros to zero, so that lanes loaded as 0.0 need no second mask before a sum."""


class Body:
    """Lines of a kernel, and the name that holds the running value."""

    def __init__(
        self, program: Program, style: Style, along: Along = "row", mask: str = "mask", count: str = "n"
    ) -> None:  # fmt: skip
        self.program, self.style, self.along, self.mask, self.count = program, style, along, mask, count
        self.lines: list[str] = []
        self.names: dict[str, str] = {}
        self.value = program.inputs[0].name
        self.zero = True
        self.first = True

    def add(self, *lines: str) -> None:
        self.lines += lines

    def load(self, item: Input, at: str, mask: str = "", other: str = "", name: str = "", cast: bool = True) -> None:
        """`name = tl.load(pointer + at, …)`, as float32 where the input is shorter."""
        name = name or item.name
        guard = f", {mask}" if mask else ""
        fill = f", other={other}" if other and mask else ""
        self.add(f"{name} = tl.load({self.style.pointer_of(item.name)} + {at}{guard}{fill}){self.cast(item, cast)}")
        self.names[item.name] = name

    def cast(self, item: Input, wanted: bool = True) -> str:
        short = item.kind == "codes" or (item.floating and self.program.dtype in ("float16", "bfloat16"))
        return ".to(tl.float32)" if wanted and short else ""

    def steps(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self.step(step)

    def step(self, step: Step) -> None:
        """One statement, or a few."""
        spec, style = OPS[step.op], self.style
        out = style.reduced if step.op in NUMBERS or self.value == style.reduced else style.value
        if spec.identity and not self.first and not (spec.identity == "0.0" and self.zero):
            self.add(f"{self.value} = tl.where({self.mask}, {self.value}, {spec.identity})")
        self.assign(out, self.formatted(step))
        kinds = {item.name: item.kind for item in self.program.inputs}
        self.zero = self.zero and step.op in ZERO_STAYS_ZERO and all(kinds.get(arg) != "col" for arg in step.args)

    def formatted(self, step: Step) -> str:
        """The operator's Triton text for this tiling."""
        text = OPS[step.op].triton
        if OPS[step.op].identity:
            text = text.replace(", 0)", REDUCED[self.along]).replace("/ n", f"/ {self.count}")
            text = text.replace("tl.where(mask,", f"tl.where({self.mask},")
        args = [self.value if arg == RUNNING else self.names.get(arg, arg) for arg in step.args]
        return (text if "{out}" in text else "{out} = " + text).format(*args, out="{out}")

    def assign(self, out: str, text: str) -> None:
        self.add(*text.replace("{out}", out).split("\n"))
        self.value, self.first = out, False

    def set(self, expression: str, out: str = "") -> None:
        """`value = expression`; `{0}` in it is the running value."""
        out = out or self.style.value
        self.assign(out, f"{out} = {expression.replace('{0}', self.value)}")

    def store(self, at: str, mask: str = "") -> None:
        guard = f", {mask}" if mask else ""
        self.add(f"tl.store({self.style.pointer_of(self.style.result)} + {at}, {self.value}{guard})")


def indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def split(program: Program, *cores: str) -> tuple[tuple[Step, ...], Step, tuple[Step, ...]]:
    """Steps before the first of `cores`, that step, and those after it."""
    at = next(i for i, step in enumerate(program.steps) if step.op in cores)
    return program.steps[:at], program.steps[at], program.steps[at + 1 :]


def reads(steps: Sequence[Step]) -> set[str]:
    """Names that `steps` mention."""
    return {arg for step in steps for arg in step.args}


def fills(program: Program) -> dict[str, str]:
    """What masked lanes of each input must hold: the identity of the row operator that reads it, else 0.0."""
    row_steps = [(i, step) for i, step in enumerate(program.steps) if OPS[step.op].identity]
    if not row_steps:
        return {}
    position, step = row_steps[0]
    used = reads(program.steps[: position + 1])
    values = {item.name: "0.0" for item in program.inputs if item.kind in ("full", "row") and item.name in used}
    if position == 0:
        values[step.args[0]] = OPS[step.op].identity or "0.0"
    return values
