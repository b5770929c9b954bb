"""How a program is asked for: as a function, as a function of TritonBench's kind, or as KernelBench's `Model`."""

import random
from collections.abc import Sequence

from data_pipeline.synthetic.program import Program
from data_pipeline.task import PromptFormat
from sandbox.types import Record

ENTRY_POINT = "fused_op"
MODEL = "ModelNew"


class Pose(Record):
    format: PromptFormat = "plain"
    entry_point: str = ENTRY_POINT
    parameters: tuple[str, ...] = ()
    """Inputs that are parameters of the model; their dimensions are the same in all cases."""

    @property
    def model(self) -> bool:
        return self.entry_point == MODEL

    def name_on_host(self, name: str) -> str:
        return f"self.{name}" if name in self.parameters else name

    def arguments(self, program: Program) -> list[str]:
        return [item.name for item in program.inputs if item.name not in self.parameters]

    def fixed(self, program: Program) -> list[str]:
        """Dimensions of parameters, in order."""
        found = [dim for item in program.inputs if item.name in self.parameters for dim in item.shape]
        return list(dict.fromkeys(found))

    def host(self, program: Program, lines: Sequence[str]) -> str:
        """The candidate's entry point with `lines` as its body."""
        if not self.model:
            return f"def {self.entry_point}({', '.join(self.arguments(program))}):\n" + _indented(lines, 1)
        return f"class {MODEL}(torch.nn.Module):\n{self.constructor(program)}\n{self.forward(program, lines)}"

    def forward(self, program: Program, lines: Sequence[str]) -> str:
        return f"    def forward(self, {', '.join(self.arguments(program))}):\n" + _indented(lines, 2)

    def constructor(self, program: Program) -> str:
        sizes = "".join(f", {dim}" for dim in self.fixed(program))
        lines = ["super().__init__()"]
        for item in program.inputs:
            if item.name in self.parameters:
                dtype = "" if program.dtype == "float32" else f", dtype=torch.{program.dtype}"
                scale = " * 0.1" if item.contents == "small" else ""
                value = f"torch.randn({', '.join(item.shape)}{dtype}){scale}"
                lines.append(f"self.{item.name} = torch.nn.Parameter({value})")
        return f"    def __init__(self{sizes}):\n" + _indented(lines, 2)


def _indented(lines: Sequence[str], depth: int) -> str:
    return "".join(f"{'    ' * depth}{line}\n" for line in lines)


def draw_pose(rng: random.Random, program: Program) -> Pose:
    """Half are plain functions; a quarter each in the way of one of the two benchmarks."""
    form = rng.choices(("plain", "tritonbench", "kernelbench"), (0.5, 0.25, 0.25))[0]
    if form == "plain":
        return Pose()
    if form == "tritonbench":
        words = [step.op for step in program.steps]
        return Pose(format="tritonbench", entry_point="_".join(["fused", *words[:4]]))
    candidates = [
        item.name for item in program.inputs[1:]
        if (item.kind == "row" and item.contents == "normal") or (item.contents == "small" and item.shape[-1] == "k")
    ]  # fmt: skip
    if set(candidates) == {item.name for item in program.inputs} or rng.random() < 0.3:
        candidates = []
    return Pose(format="kernelbench", entry_point=MODEL, parameters=tuple(candidates))
