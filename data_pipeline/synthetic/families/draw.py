"""What the families' drawing functions share: names, splitting a number of operators around a core, inputs."""

import random

from data_pipeline.synthetic.program import Input, Kind


def names(rng: random.Random, count: int) -> list[str]:
    return list(rng.choice((("x", "y", "w"), ("a", "b", "c"), ("u", "v", "w"), ("p", "q", "r"))))[:count]


def around(rng: random.Random, ops: int, core: int = 1) -> tuple[int, int]:
    """Operators before and after a core of `core`, `ops` in all."""
    rest = max(0, ops - core)
    before = sum(rng.random() < 0.5 for _ in range(rest))
    return before, rest - before


SHAPES: dict[Kind, tuple[str, ...]] = {
    "full": ("m", "n"), "row": ("n",), "col": ("m",), "source": ("k", "n"), "index": ("m",), "mask": ("m", "n"),
    "codes": ("m", "n"),
}  # fmt: skip


def matrix(name: str, kind: Kind) -> Input:
    """An input of a program over (m, n)."""
    if kind == "index":
        return Input(name=name, kind=kind, shape=("m",), contents="index")
    return Input(name=name, kind=kind, shape=SHAPES[kind])
