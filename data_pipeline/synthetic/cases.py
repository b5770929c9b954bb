"""Shapes and distributions of a program's cases. Small: a case is judged under an interpreter, in milliseconds."""

import random

from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Program, Sizes
from data_pipeline.synthetic.reference import dimensions
from sandbox.types import Case, Distribution

Choices = tuple[tuple[int, ...], range]
"""Round sizes for one public case, and ragged ones (odd, so no multiple of any block) for all others."""
_ROWS: Choices = ((4, 8, 16), range(3, 24, 2))
_COLUMNS: Choices = ((32, 64, 128, 256), range(17, 300, 2))
_TABLE: Choices = ((16, 32), range(9, 60))
SIZES: dict[Sizes, dict[str, Choices]] = {
    "flat": {"n": ((256, 512, 1024, 2048), range(301, 3000, 2)), "k": _TABLE},
    "rows": {"m": _ROWS, "n": _COLUMNS, "k": _TABLE},
    "table": {"m": ((8, 16), range(7, 24, 2)), "n": _COLUMNS, "k": _TABLE},
    "cube": {"b": ((2, 4), range(2, 5)), "m": ((4, 8), range(3, 12, 2)), "n": ((32, 64), range(17, 90, 2))},
    "columns": {"m": ((8, 16, 32), range(5, 40, 2)), "n": ((32, 64, 128), range(17, 140, 2))},
    "total": {"m": _ROWS, "n": ((64, 128, 256), range(101, 300, 2))},
    "scan": {"m": ((8, 16), range(5, 30, 2)), "n": ((32, 64, 128), range(17, 200, 2))},
    "matmul": {"m": ((16, 32, 64), range(17, 64, 2)), "n": ((16, 32, 64), range(17, 64, 2)),
               "k": ((16, 32, 64), range(17, 80, 2))},
    "attention": {"b": ((2,), range(2, 4)), "m": ((16, 32), range(11, 33, 2)), "n": ((32, 64), range(33, 64, 2)),
                  "d": ((16, 32), range(16, 17))},
    "rotary": {"m": _ROWS, "n": ((16, 32, 64), range(9, 80, 2))},
    "packed": {"m": _ROWS, "n": ((32, 64, 128), range(18, 300, 4))},
}  # fmt: skip


def cases(program: Program, pose: Pose, rng: random.Random) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Two public cases, a round and a ragged one; two hidden ones, ragged and on other distributions."""
    others: list[Distribution] = [d for d in program.distributions if d != "normal"]
    rng.shuffle(others)
    hidden = [*others, "normal", "normal"][:2]
    fixed = {dim: _size(program, dim, rng, ragged=rng.random() < 0.5) for dim in pose.fixed(program)}
    public = (
        Case(name="public-round", args=_args(program, fixed, rng, ragged=False)),
        Case(name="public-ragged", args=_args(program, fixed, rng, ragged=True)),
    )
    return public, tuple(
        Case(name=f"hidden-{i}", args=_args(program, fixed, rng, ragged=True), distribution=d, hidden=True)
        for i, d in enumerate(hidden)
    )


def _args(
    program: Program, fixed: dict[str, int], rng: random.Random, ragged: bool
) -> dict[str, int | float | str | bool]:
    sizes = {dim: fixed[dim] if dim in fixed else _size(program, dim, rng, ragged) for dim in dimensions(program)}
    return {**sizes, "dtype": program.dtype}


def _size(program: Program, dim: str, rng: random.Random, ragged: bool) -> int:
    return rng.choice(SIZES[program.sizes][dim][1 if ragged else 0])
