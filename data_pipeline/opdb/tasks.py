"""Programs of the operator database as tasks: sizes, dtypes, cases, description.

OpInfo's samples say how an operator is called; their tensors are tiny, so shapes are made symbolic (`template`) and
drawn anew for each case. Every operator is either proposed or named in `tables.SKIPPED`.
"""

import hashlib
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.testing._internal.common_methods_invocations import op_db

from data_pipeline.opdb.programs import Program, programs
from data_pipeline.opdb.render import public, summary
from data_pipeline.opdb.tables import DIFFICULTY, key, skipped
from data_pipeline.opdb.template import STEP, Dim, Template, concrete
from data_pipeline.opdb.values import Values, draw_text, dtype_text, words
from data_pipeline.quality import examine
from data_pipeline.task import Provenance, Task
from sandbox.types import Case, Distribution

TOLERANCE = {torch.float32: "T32", torch.float16: "T16", torch.bfloat16: "TB"}
HALVES = (torch.float16, torch.bfloat16)
WITH_INTEGERS = frozenset(["elementwise", "broadcast", "compare", "reduction", "scan", "gather", "scatter", "sort"])
HIDDEN: tuple[tuple[Distribution, ...], ...] = (("heavy_tailed", "large", "normal"), ("structured", "large", "normal"))
"""Of the hidden cases, the first on which the task is sound."""
MOST_ELEMENTS = 60_000
"""Of inputs and outputs together: cases are run by an interpreter."""
DRAWS = 60
Sizes = dict[str, int]

ROUND: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((256, 512, 1024, 2048),),
    2: ((4, 8, 16), (32, 64, 128, 256)),
    3: ((2, 4), (8, 16), (32, 64)),
    4: ((2, 4), (4, 8), (8, 16), (8, 16)),
    5: ((2,), (2, 4), (4, 8), (8,), (8, 16)),
}
"""Rank of the largest tensor → choices for each axis."""
RAGGED = {
    1: ((301, 3000),), 2: ((3, 24), (17, 300)), 3: ((2, 6), (5, 22), (17, 76)),
    4: ((2, 4), (3, 8), (7, 20), (7, 20)), 5: ((2, 4), (2, 6), (5, 9), (5, 11), (5, 13)),
}  # fmt: skip
"""The same as ranges."""


def tasks() -> Iterator[Task]:
    """Every task that the database gives, in its order; equal ones once."""
    seen: set[str] = set()
    for number, op in enumerate(op_db):
        if skipped(key(op.name, op.variant_test_name)) is None:
            for task in tasks_of(op, number):
                if task.id not in seen:
                    seen.add(task.id)
                    yield task


def tasks_of(op: Any, number: int) -> Iterator[Task]:
    """The tasks of one OpInfo; `number` decides which short float it is tried with first."""
    for position, program in enumerate(programs(op)):
        for dtype in _dtypes(op.dtypes, program, position, number):
            task = _task(program, dtype)
            if task is not None:
                yield task


def _dtypes(supported: set[torch.dtype], program: Program, position: int, number: int) -> list[torch.dtype]:
    """The first program of an operator in float32, a shorter float and int32, the others in one of them each."""
    if not program.dtype.is_floating_point:
        return [[torch.int32, torch.int64][(position + number) % 2]] if program.dtype == torch.int64 else [torch.bool]
    if any(values.kind == "distinct" for values in program.values):
        return [torch.float32]
    short = [dtype for dtype in HALVES if dtype in supported]
    half = short[(position + number) % len(short) :][:1] if short else []
    if "float32" in program.text.expression:
        return half
    if position:
        return half if half and position % 3 else [torch.float32]
    whole = torch.int32 in supported and program.family in WITH_INTEGERS
    return [torch.float32, *half, *([torch.int32] if whole else [])]


def _task(program: Program, dtype: torch.dtype) -> Task | None:
    """None if the program does not exist in this dtype, or no sizes of ours fit it."""
    if not dtype.is_floating_point and program.dtype.is_floating_point:
        whole = _whole(program)
        if whole is None:
            return None
        program = whole
    source = reference(program)
    rng = random.Random(f"{program.text.expression} {program.template.shapes} {dtype}")
    sizes = [_sizes(program, rng, ragged=ragged) for ragged in (False, True, True, True)]
    if any(found is None for found in sizes):
        return None
    name = str(dtype).removeprefix("torch.")
    arguments: list[dict[str, int | float | str | bool]] = [{**(found or {}), "dtype": name} for found in sizes]
    public_cases = (Case(name="public-round", args=arguments[0]), Case(name="public-ragged", args=arguments[1]))
    task = Task(
        id="",
        family=program.family,
        source=Provenance(
            origin="opdb", version=torch.__version__.split("+")[0], path=program.name, licence="BSD-3-Clause"
        ),
        description=describe(program, name),
        reference=source,
        entry_point=program.text.entry_point,
        cases=public_cases,
        hidden_cases=(),
        tolerance=TOLERANCE.get(dtype, "T32"),
        difficulty=DIFFICULTY[program.family],
    )
    hidden = tuple(_hidden(task, i, arguments[2 + i]) for i in range(2))
    content = [source, task.tolerance, [case.model_dump(mode="json") for case in public_cases + hidden]]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return task.model_copy(update={"id": f"opdb-{task.entry_point}-{digest}", "hidden_cases": hidden})


def _hidden(task: Task, number: int, arguments: Mapping[str, int | float | str | bool]) -> Case:
    """On a distribution on which the operator stays finite and accurate."""
    for distribution in HIDDEN[number]:
        case = Case(name=f"hidden-{number}", args=dict(arguments), distribution=distribution, hidden=True)
        if "draw.normal" not in task.reference:
            return case.model_copy(update={"distribution": "normal"})
        if examine(task.model_copy(update={"cases": (case,)})) is None:
            break
    return case


def _whole(program: Program) -> Program | None:
    """The program on int32, if its results are whole too."""
    template = program.template
    dtypes = tuple(torch.int32 if dtype == program.dtype else dtype for dtype in template.dtypes)
    template = template._replace(dtypes=dtypes)
    outputs = template.fits(template.sizes)
    infinite = any(values.kind == "infinite" for values in program.values)
    if infinite or outputs is None or any(out.is_floating_point() for out in outputs):
        return None
    values = tuple(
        _whole_values(values, program.family) if dtype == torch.int32 else values
        for values, dtype in zip(program.values, dtypes, strict=True)
    )
    return program._replace(template=template, values=values, dtype=torch.int32)


def _whole_values(values: Values, family: str) -> Values:
    """Wide for reductions: of a thousand small numbers, the largest is always the same."""
    kind, *numbers = values.kind.split()
    if kind == "uniform":
        low, high = (round(float(number)) for number in numbers)
        return values._replace(kind=f"whole {low if low else 1} {max(high, low + 9)}")
    wide = "whole -9999 10000" if family == "reduction" else "whole -99 100"
    return values._replace(kind=wide) if kind == "normal" else values


def _sizes(program: Program, rng: random.Random, ragged: bool) -> Sizes | None:
    """Sizes that the operator takes and that are large enough to mean something; None if there are none.

    Free choices first; operators that want multiples or a parity take the sample's sizes plus multiples of 12.
    """
    template = program.template
    for attempt in range(DRAWS):
        sizes = {name: _size(template, name, rng, ragged, attempt) for name in template.sizes}
        if not all(_room(values, shape, sizes) for values, shape in zip(program.values, template.shapes, strict=True)):
            continue
        total = sum(math.prod(concrete(shape, sizes)) for shape in template.shapes)
        outputs = template.fits(sizes) if total <= MOST_ELEMENTS else None
        if outputs is not None and total + sum(out.numel() for out in outputs) <= MOST_ELEMENTS:
            return sizes
    return None


def _room(values: Values, shape: Sequence[Dim], sizes: Sizes) -> bool:
    """Whether no index need be repeated, and something is left that no index names."""
    if values.kind != "permuted":
        return True
    (wanted,) = concrete([shape[values.axis % len(shape)]], sizes)
    return wanted < math.prod(concrete(values.bound, sizes))


def _size(template: Template, name: str, rng: random.Random, ragged: bool, attempt: int) -> int:
    shape, axis = next(
        (shape, shape.index(name)) for shape in sorted(template.shapes, key=len, reverse=True) if name in shape
    )
    rank = len(shape)
    if rank == 1 and max(len(other) for other in template.shapes) > 1:
        rank, axis = 2, 0
    shrink = 1 + attempt // 8
    if attempt % 2 and rng.random() < 0.7:
        return template.sizes[name] + STEP * rng.randrange(RAGGED[rank][axis][1] // STEP // shrink + 1)
    if ragged:
        low, high = RAGGED[rank][axis]
        return rng.randrange(low | 1, max(high // shrink, low + 4), 2)
    return max(rng.choice(ROUND[rank][axis]) // shrink, 2)


def reference(program: Program) -> str:
    """The task file."""
    text = program.text
    functional = "import torch.nn.functional as F\n" if text.function.startswith("F.") else ""
    draws = [
        draw_text(values, shape, dtype_text(dtype, program.dtype))
        for values, shape, dtype in zip(program.values, program.template.shapes, program.template.dtypes, strict=True)
    ]
    if len(draws) == 1:
        body = [f"    return ({draws[0]},)"]
    else:
        body = [f"    {name} = {drawn}" for name, drawn in zip(text.inputs, draws, strict=True)]
        body.append(f"    return {', '.join(text.inputs)}")
    made = "\n".join(body)
    return (
        f"import torch\n{functional}\n\ndef {text.entry_point}({', '.join(text.inputs)}):\n"
        f"    return {text.expression}\n\n\ndef make_inputs(case, draw):\n{made}\n"
    )


def describe(program: Program, dtype: str) -> str:
    """Shapes, dtype, the call, what torch's documentation says of it, and what the inputs are known to hold."""
    template, names = program.template, program.text.inputs
    shapes = [
        f"{name} ({_shape(shape)})" + ("" if of == program.dtype else f" {str(of).removeprefix('torch.')}")
        for name, shape, of in zip(names, template.shapes, template.dtypes, strict=True)
    ]
    found = public(program.name.split("/")[0])
    said = summary(found[1]) if found else ""
    facts = [words(name, values) for name, values in zip(names, program.values, strict=True)]
    known = "; ".join(fact for fact in facts if fact)
    parts = [f"Inputs: {', '.join(shapes)}, {dtype}.", f"Compute {program.text.expression}.", said]
    return " ".join(part for part in [*parts, known[:1].upper() + known[1:] + "." if known else ""] if part)


def _shape(shape: tuple[Dim, ...]) -> str:
    return ", ".join(str(dim) for dim in shape)
