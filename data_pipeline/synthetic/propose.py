"""`propose(count, seed)`: distinct synthetic tasks with solutions, the families taking turns."""

import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping

from data_pipeline.synthetic.program import DRAW, DeadEndError, Dtype, Program
from data_pipeline.synthetic.render import ENTRY_POINT, describe, draw_style, reference, solution
from data_pipeline.task import Provenance, Task
from sandbox.types import Case, Distribution

FAMILIES: tuple[str, ...] = tuple(DRAW)
VERSION = "1"
"""Of the generator; part of every synthetic task's provenance."""
DTYPES: dict[Dtype, str] = {"float32": "T32", "float16": "T16", "bfloat16": "TB"}
MAX_SOLUTION_PIECES = 240
"""Words, digits and symbol runs; at most 300 tokens of SmolLM2's vocabulary, which a 135 M model can be expected to
write without a slip. Counted so because a tokenizer here would cost more than the whole generator."""
MAX_DRAWS = 2000
"""Draws in a row that bring nothing new before a family counts as exhausted."""

__all__ = ["ENTRY_POINT", "FAMILIES", "propose"]


def propose(count: int, seed: int, family_limits: Mapping[str, int] | None = None) -> Iterator[tuple[Task, str]]:
    """At most `count` pairs (task, Triton solution), the same for the same arguments; fewer only once all
    families are exhausted or at their limit.

    Args:
        count: how many pairs.
        seed: of the programs, their cases and their style.
        family_limits: most pairs of a family; families left out are limited by `count` alone.
    """
    limits = family_limits or {}
    generators = {family: random.Random(f"{seed}/{family}") for family in FAMILIES if limits.get(family, count) > 0}
    made = dict.fromkeys(generators, 0)
    seen: set[str] = set()
    total = 0
    while generators:
        for family in list(generators):
            if total == count:
                return
            pair = _next_pair(family, generators[family], seen)
            if pair is None:
                del generators[family]
                continue
            yield pair
            total, made[family] = total + 1, made[family] + 1
            if made[family] == limits.get(family, count):
                del generators[family]


def _next_pair(family: str, rng: random.Random, seen: set[str]) -> tuple[Task, str] | None:
    for _ in range(MAX_DRAWS):
        dtype = rng.choices(list(DTYPES), (0.5, 0.25, 0.25))[0]
        try:
            program = DRAW[family](rng, dtype)
        except DeadEndError:
            continue
        if program.key() in seen:
            continue
        seen.add(program.key())
        code = solution(program, draw_style(rng, program))
        if len(re.findall(r"[A-Za-z]+|\d|[^\w\s]+|_", code)) <= MAX_SOLUTION_PIECES:
            return _task(program, rng), code
    return None


def _task(program: Program, rng: random.Random) -> Task:
    source = reference(program)
    public, hidden = _cases(program, rng)
    tolerance = DTYPES[program.dtype]
    content = [source, tolerance, [case.model_dump(mode="json") for case in public + hidden]]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return Task(
        id=f"syn-{program.family}-{digest}",
        family=program.family,
        source=Provenance(origin="synthetic", version=VERSION, licence="Apache-2.0"),
        description=describe(program),
        reference=source,
        entry_point=ENTRY_POINT,
        cases=public,
        hidden_cases=hidden,
        tolerance=tolerance,
        difficulty=len(program.steps) + (program.family == "gather"),
    )


def _cases(program: Program, rng: random.Random) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Two public cases, a round and a ragged one; two hidden ones, ragged and on other distributions."""
    others: list[Distribution] = [d for d in program.distributions if d != "normal"]
    rng.shuffle(others)
    hidden = [*others, "normal", "normal"][:2]
    public = (
        Case(name="public-round", args=_sizes(program, rng, ragged=False)),
        Case(name="public-ragged", args=_sizes(program, rng, ragged=True)),
    )
    return public, tuple(
        Case(name=f"hidden-{i}", args=_sizes(program, rng, ragged=True), distribution=d, hidden=True)
        for i, d in enumerate(hidden)
    )


def _sizes(program: Program, rng: random.Random, ragged: bool) -> dict[str, int | float | str | bool]:
    """Shapes for one case; ragged ones are odd and so no multiple of any block."""
    gathers = any(item.kind == "index" for item in program.inputs)
    sizes: dict[str, int | float | str | bool] = {}
    if program.layout == "flat" and not program.two_dimensional:
        sizes["n"] = rng.randrange(301, 3000, 2) if ragged else rng.choice((256, 512, 1024, 2048))
    else:
        sizes["m"] = rng.randrange(3, 24, 2) if ragged else rng.choice((4, 8, 16))
        sizes["n"] = rng.randrange(17, 300, 2) if ragged else rng.choice((32, 64, 128, 256))
    if gathers:
        sizes["k"] = rng.randrange(9, 60)
    return sizes | {"dtype": program.dtype}
