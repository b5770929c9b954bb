"""What varies between solutions without changing what they compute: names, tilings, and how a kernel is launched."""

import random
from typing import Literal

from data_pipeline.synthetic.program import Program
from sandbox.types import Record

Tuning = Literal["none", "autotune", "heuristics"]


class Style(Record):
    kernel: str
    block: int
    block_name: str
    offsets: str
    columns: str
    result: str
    value: str
    reduced: str
    pointer: str
    """How the pointer of tensor x is named: X or x_ptr."""
    guard: str
    """The mask argument: by position or by name."""
    block_by_name: bool
    tuning: Tuning = "none"
    grid: Literal["inline", "named", "lambda"] = "inline"
    options: str = ""
    """Further arguments of a launch, such as `num_warps=4`."""
    block_variable: bool = False
    """The block size is computed on a line of its own."""
    strides: bool = False
    """Strides are arguments even where tensors are contiguous."""
    loop: bool = False
    """Fewer programs than blocks: each strides over the grid."""
    helper: bool = False
    """The arithmetic is a device function."""
    variant: int = 0
    """Which of a template's ways is taken; each template says what for."""

    def pointer_of(self, name: str) -> str:
        return name.upper() if self.pointer == "upper" else f"{name}_ptr"


def plain_style(rng: random.Random, program: Program) -> Style:
    """The shortest way, which a small model can learn to write without a slip; some kernels are named after their last
    operator.
    """
    last = program.steps[-1].op if program.steps else program.family
    kernel = rng.choice(("kernel", "kernel", "kernel", "fused_kernel", f"{last}_kernel"))
    return Style(
        kernel=kernel,
        block=rng.choice((64, 128, 256, 512, 1024)),
        block_name=rng.choice(("BLOCK", "BLOCK", "BLOCK_SIZE")),
        offsets=rng.choice(("offs", "offsets", "i")),
        columns=rng.choice(("cols", "offs", "j")),
        result=rng.choice(("out", "out", "res")),
        value=rng.choice(("z", "t", "acc")),
        reduced=rng.choice(("s", "total", "red")),
        pointer=rng.choice(("upper", "upper", "ptr")) if len(program.steps) < 3 else "upper",
        guard=rng.choice(("mask", "mask", "mask=mask")),
        block_by_name=rng.random() < 0.3,
    )


def rich_style(rng: random.Random, program: Program) -> Style:
    """Any way at all."""
    last = program.steps[-1].op if program.steps else program.family
    plain = plain_style(rng, program)
    return plain.model_copy(
        update={
            "kernel": rng.choice((plain.kernel, f"{program.family}_kernel", f"_{last}_kernel", f"{last}_fwd_kernel")),
            "pointer": rng.choice(("upper", "ptr", "ptr")),
            "guard": rng.choice(("mask", "mask=mask", "mask=mask")),
            "block_name": rng.choice(("BLOCK", "BLOCK_SIZE", "BLOCK_SIZE")),
            "block_by_name": rng.random() < 0.7,
            "tuning": rng.choices(("none", "autotune", "heuristics"), (0.78, 0.1, 0.12))[0],
            "grid": rng.choice(("inline", "named", "lambda")),
            "options": rng.choices(("", "num_warps=4", "num_warps=2", "num_warps=8, num_stages=2"), (7, 1, 1, 1))[0],
            "block_variable": rng.random() < 0.3,
            "strides": rng.random() < 0.35,
            "loop": rng.random() < 0.15,
            "helper": rng.random() < 0.15,
            "variant": rng.randrange(6),
        }
    )
