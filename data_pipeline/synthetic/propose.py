"""`propose(count, seed)`: distinct synthetic tasks with solutions, the families taking turns."""

import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence

from data_pipeline.synthetic.cases import cases
from data_pipeline.synthetic.describe import describe
from data_pipeline.synthetic.families import DRAW
from data_pipeline.synthetic.launch import solution_text
from data_pipeline.synthetic.pose import ENTRY_POINT, Pose, draw_pose
from data_pipeline.synthetic.program import DeadEndError, Dtype, Program
from data_pipeline.synthetic.reference import reference
from data_pipeline.synthetic.style import Style, plain_style, rich_style
from data_pipeline.synthetic.templates import TEMPLATES
from data_pipeline.task import Provenance, Task

FAMILIES: tuple[str, ...] = tuple(DRAW)
VERSION = "2"
"""Of the generator; part of every synthetic task's provenance."""
TOLERANCE: dict[Dtype, str] = {"float32": "T32", "float16": "T16", "bfloat16": "TB", "int32": "T32", "int64": "T32"}
FLOATS: tuple[Dtype, ...] = ("float32", "float16", "bfloat16")
SMALL_MODEL_PIECES = 240
"""Words, digits and symbol runs; at most 300 tokens of SmolLM2's vocabulary, which a 135 M model can be expected to
write without a slip. Counted so because a tokenizer here would cost more than the whole generator. Up to here all
programs are posed and solved in one plain way."""
OPERATORS = (0.15, 0.45, 0.2, 0.1, 0.06, 0.04)
"""How often a program has one to six operators: mostly two (CUDA Agent's finding)."""
MAX_DRAWS = 2000
"""Draws in a row that bring nothing new before a family counts as exhausted."""
MAX_TOO_LONG = 100
"""Solutions in a row that are too long before none of a family is taken to fit."""

__all__ = ["ENTRY_POINT", "FAMILIES", "propose"]


def propose(
    count: int, seed: int, family_limits: Mapping[str, int] | None = None, max_pieces: int = SMALL_MODEL_PIECES,
    operators: Sequence[float] = OPERATORS,
) -> Iterator[tuple[Task, str]]:  # fmt: skip
    """At most `count` pairs (task, Triton solution), the same for the same arguments; fewer only once all
    families are exhausted or at their limit.

    Args:
        count: how many pairs.
        seed: of the programs, their cases and their style.
        family_limits: most pairs of a family; families left out are limited by `count` alone.
        max_pieces: longest solution; above `SMALL_MODEL_PIECES` styles and prompt formats vary.
        operators: weights of programs with one, two, … operators.
    """
    limits = family_limits or {}
    generators = {family: random.Random(f"{seed}/{family}") for family in FAMILIES if limits.get(family, count) > 0}
    made = dict.fromkeys(generators, 0)
    seen: set[bytes] = set()
    total = 0
    while generators:
        for family in list(generators):
            if total == count:
                return
            pair = _next_pair(family, generators[family], seen, max_pieces, operators)
            if pair is None:
                del generators[family]
                continue
            yield pair
            total, made[family] = total + 1, made[family] + 1
            if made[family] == limits.get(family, count):
                del generators[family]


def _next_pair(
    family: str, rng: random.Random, seen: set[bytes], max_pieces: int, operators: Sequence[float]
) -> tuple[Task, str] | None:
    too_long = 0
    for _ in range(MAX_DRAWS):
        dtype = rng.choices(FLOATS, (0.5, 0.25, 0.25))[0]
        ops = rng.choices(range(1, len(operators) + 1), operators)[0]
        try:
            program = DRAW[family](rng, dtype, ops)
        except DeadEndError:
            continue
        digest = hashlib.blake2b(program.key().encode(), digest_size=8).digest()
        if digest in seen:
            continue
        if max_pieces > SMALL_MODEL_PIECES:
            pose, styles = draw_pose(rng, program), [rich_style(rng, program), plain_style(rng, program)]
        else:
            pose, styles = Pose(), [plain_style(rng, program)]
        for style in styles:
            code = solution(program, style, pose)
            if len(re.findall(r"[A-Za-z]+|\d|[^\w\s]+|_", code)) <= max_pieces:
                seen.add(digest)
                return _task(program, pose, rng), code
        too_long += 1
        if too_long == MAX_TOO_LONG:
            break
    return None


def solution(program: Program, style: Style, pose: Pose) -> str:
    """A Triton file that computes the same as the reference."""
    return solution_text(program, style, pose, TEMPLATES[program.layout](program, style, pose))


def _task(program: Program, pose: Pose, rng: random.Random) -> Task:
    public, hidden = cases(program, pose, rng)
    source = reference(program, pose, public[0])
    tolerance = program.tolerance or TOLERANCE[program.dtype]
    content = [source, tolerance, [case.model_dump(mode="json") for case in public + hidden]]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return Task(
        id=f"syn-{program.family}-{digest}",
        family=program.family,
        source=Provenance(origin="synthetic", version=VERSION, licence="Apache-2.0"),
        description=describe(program, pose, rng),
        reference=source,
        entry_point=pose.entry_point,
        cases=public,
        hidden_cases=hidden,
        tolerance=tolerance,
        difficulty=len(program.steps) + (program.family == "gather"),
        prompt_format=pose.format,
    )
