"""Which inputs a function takes, guessed from names: a bounded list of hypotheses, best first.

A hypothesis is a `make_inputs` and cases. Nothing here knows whether one is right: the reference has to run on it, and
the quality check has to find every input to matter. Shapes that a docstring or an unpacked `.shape` states are taken as
given; the others are tried relative to the first tensor.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Literal, NamedTuple

from sandbox.types import Case

Kind = Literal["tensor", "tensors", "int", "float", "bool", "ints", "other"]
Shape = tuple[str, ...]
MOST = 64
"""Hypotheses for one function."""
MAINS: tuple[Shape, ...] = (("M", "N"), ("B", "C", "N"), ("B", "C", "H", "W"), ("N",), ("B", "C", "U", "H", "W"))
"""Shapes of the first tensor where nothing states one."""
FILLS = (
    "normal({})", "uniform({}low=0.05, high=0.95)", "uniform({}low=1.1, high=3.0)", "integers({}low=-9, high=10)",
    "booleans({})",
)  # fmt: skip
"""What floating-point tensors are drawn from: anything; where a function is defined on part of the line only, less."""
SIZES: dict[str, tuple[int, int, int, int]] = {
    "B": (2, 1, 2, 2), "C": (4, 6, 8, 4), "H": (4, 6, 8, 4), "W": (8, 10, 4, 8), "U": (3, 4, 2, 3), "T": (64, 32,
    128, 64),
    "M": (4, 7, 3, 6), "N": (64, 100, 257, 48), "P": (32, 48, 16, 40), "K": (16, 32, 64, 16), "V": (16, 32, 32, 16),
    "D": (16, 32, 64, 16), "S": (32, 64, 48, 32), "G": (2, 3, 2, 2), "E": (4, 8, 6, 4),
}  # fmt: skip
"""Two public cases, two hidden ones."""
OTHER_SIZES = (8, 16, 12, 8)
INDEX = re.compile(r"^(indices|index|idx|ids|targets?|labels?|tokens?|.*_(ids|idx|indices|index|labels?))$", re.I)
MASK = re.compile(r"^(mask|condition|cond|.*_mask)$", re.I)
DECAY = re.compile(r"^(g|gk|gv|w|log_decay|decay|g_gamma|gate_log|log_.*)$")
SHARE = re.compile(r"^(beta|alpha|a|lambd|i|f)$")
POSITIVE = re.compile(r"^(.*scales?|var|variance|running_var|rstd|dt|delta|.*_std|temperature)$", re.I)
LAST = re.compile(r"^(w|b|weight|bias|gamma|beta|.*weight|.*bias|running_.*|norm_.*|scale_b|dim_scale)$", re.I)
RIGHT = re.compile(r"^(mat2|b|batch2|other|vec|vec2|tensor2|rhs|right|B|weight|w|tensor)$")
SCALARS: dict[str, tuple[str, ...]] = {
    "dim": ("-1", "0", "1"), "dims": ("[-1]", "[0, 1]"), "axis": ("-1", "0", "1"), "eps": ("1e-5",),
    "epsilon": ("1e-5",),
    "k": ("3",), "groups": ("2",), "group": ("2",), "num_groups": ("2",), "ngroups": ("2",), "causal": ("True",),
    "is_causal": ("True",), "scale": ("0.25",), "sm_scale": ("0.25",), "min": ("-0.5",), "max": ("0.5",), "p": ("2",),
    "exponent": ("3",), "kernel_size": ("2", "[2, 2]"), "stride": ("1", "2"), "beta": ("0.7",), "chunk_size": ("16",
    "64"),
    "diagonal": ("0",), "offset": ("0",), "value": ("0.5",), "other": ("0.75",), "weight": ("0.3",),
    "threshold": ("0.1",),
    "lambd": ("0.5",), "alpha": ("1.0", "0.5"), "reduction": ("1",), "num_heads": ("H",),
    "output_final_state": ("True",),
    "iou_threshold": ("0.5",), "upscale_factor": ("2",), "downscale_factor": ("2",), "iters": ("4",),
    "num_iters": ("4",),
    "output_size": ("[5]", "[4, 6]", "[4, 3, 5]"), "padding": ("[1, 2]", "[1, 2, 1, 1]", "[1, 1, 1, 1, 1, 1]", "1",
    "[1, 1]"),
    "shifts": ("[3]",), "size": ("[-1]",), "repeats": ("3", "[2, 3]"), "q": ("0.3",), "input_dtype": ("torch.float32",),
    "base": ("10000.0",), "size_average": ("True",), "temperature": ("0.7",), "ignore_index": ("-100",),
}  # fmt: skip


LAYOUTS: tuple[tuple[tuple[str, ...], tuple[Shape, ...]], ...] = (
    (("input", "mat1", "mat2"), (("M", "P"), ("M", "N"), ("N", "P"))),
    (("input", "batch1", "batch2"), (("B", "M", "P"), ("B", "M", "N"), ("B", "N", "P"))),
    (("input", "mat", "vec"), (("M",), ("M", "N"), ("N",))),
    (("input", "vec1", "vec2"), (("M", "N"), ("M",), ("N",))),
    (("input", "vec"), (("M", "N"), ("N",))),
    (("input", "mat2"), (("M", "N"), ("N", "P"))),
    (("input", "mat2"), (("B", "M", "N"), ("B", "N", "P"))),
    (("query", "key", "value"), (("B", "H", "T", "D"),) * 3),
    (("input", "weight", "bias"), (("M", "N"), ("N",), ("N",))),
    (("input", "weight", "bias"), (("B", "C", "N"), ("P", "C", "3"), ("P",))),
    (("input", "weight", "bias"), (("B", "C", "H", "W"), ("P", "C", "3", "3"), ("P",))),
    (("input", "weight", "bias"), (("B", "C", "U", "H", "W"), ("P", "C", "3", "3", "3"), ("P",))),
    (("input", "weight", "bias"), (("B", "C", "H", "W"), ("C",), ("C",))),
    (("input", "weight"), (("B", "C", "N"), ("P", "C", "3"))),
    (("input", "weight"), (("B", "C", "H", "W"), ("P", "C", "3", "3"))),
    (("input", "weight"), (("B", "C", "U", "H", "W"), ("P", "C", "3", "3", "3"))),
    (("weight", "indices"), (("N", "D"), ("M", "P"))),
    (("input", "index", "src"), (("M", "N"), ("3", "N"), ("3", "N"))),
    (("input", "index", "src"), (("M", "N"), ("M", "P"), ("M", "P"))),
    (("input", "index"), (("M", "N"), ("3",))),
    (("grad_output", "input", "weight"), (("M", "N"), ("M", "N"), ("N",))),
)
"""Shapes of operators of linear algebra, convolutions and indexing, by the names of their tensors."""


class Argument(NamedTuple):
    """A parameter to be given a value, in the order of the call."""

    name: str
    kind: Kind
    shape: Shape | None = None
    """Where something states it."""
    literal: str = ""
    """A value that is known to do (the default, say), tried after what the name suggests."""


class Inputs(NamedTuple):
    """One hypothesis."""

    source: str
    """`make_inputs`."""
    cases: tuple[Case, ...]
    hidden: tuple[Case, ...]


def hypotheses(arguments: Sequence[Argument], most: int = MOST) -> Iterator[Inputs]:
    """At most `most`, the likeliest first; none if there is no tensor among the arguments."""
    if not any(a.kind in ("tensor", "tensors") for a in arguments):
        return iter(())
    return islice(_all(arguments), most)


def _all(arguments: Sequence[Argument]) -> Iterator[Inputs]:
    yield from _laid_out(arguments)
    stated = next((a.shape for a in arguments if a.shape), None)
    mains = (stated,) if stated else MAINS
    for tails in (True, False):
        for fill in FILLS:
            for main in mains:
                choices = [_values(argument, main, fill, first) for first, argument in _with_first(arguments)]
                for values in _nearest_first(choices, 10 if fill == FILLS[0] and tails else 3):
                    yield _inputs(arguments, values, tails)


def _laid_out(arguments: Sequence[Argument]) -> Iterator[Inputs]:
    tensors = tuple(a.name for a in arguments if a.kind == "tensor")
    for names, shapes in LAYOUTS:
        if names == tensors and not any(a.shape for a in arguments):
            stated = dict(zip(names, shapes, strict=True))
            known = [a._replace(shape=stated.get(a.name)) for a in arguments]
            choices = [_values(a, shapes[0], FILLS[0], False) for a in known]
            for values in _nearest_first(choices, 4):
                yield _inputs(known, values, True)


def _with_first(arguments: Sequence[Argument]) -> Iterator[tuple[bool, Argument]]:
    seen = False
    for argument in arguments:
        yield not seen and argument.kind == "tensor", argument
        seen |= argument.kind == "tensor"


def _nearest_first(choices: list[list[str]], most: int) -> Iterator[tuple[str, ...]]:
    """Combinations, those with the fewest second thoughts first."""
    ranked = islice(product(*(range(min(len(c), 6)) for c in choices)), 4000)
    for ranks in sorted(ranked, key=sum)[:most]:
        yield tuple(choice[rank] for choice, rank in zip(choices, ranks, strict=True))


def _values(argument: Argument, main: Shape, fill: str, first: bool) -> list[str]:
    """Expressions for one argument, likeliest first."""
    name = argument.name
    if argument.kind == "tensor":
        shapes = [argument.shape] if argument.shape else [main] if first else _shapes(name, main)
        found = [_tensor(name, shape, main, fill) for shape in shapes]
        if INDEX.match(name) and not first:
            found.insert(2, "draw." + _filled(fill, main))  # the target of a regression
        return found
    if argument.kind == "tensors":
        return ["[" + ", ".join([_tensor(name, main, main, fill)] * 2) + "]"]
    if name.lower() in ("normalized_shape",):
        return [f"[{main[-1]}]"]
    known = list(SCALARS.get(name.lower(), ()))
    if argument.kind == "ints" and known and not known[0].startswith("["):
        known = [f"[{value}]" for value in known if not value.startswith("[")] + known
    if argument.literal:
        known.append(argument.literal)
    if name in main:
        known.insert(0, name)
    if name == "HxW" and len(main) == 4:
        known.insert(0, f"{main[2]} * {main[3]}")
    if known:
        return known
    if argument.kind == "ints":
        return ["[1]", "[0]", "[2, 2]", "[1, 1]", "[1, 1, 1]"]
    return {"int": ["1", "2", "0"], "float": ["0.5"], "bool": ["False", "True"]}.get(argument.kind, ["None"])


def _shapes(name: str, main: Shape) -> list[Shape]:
    last, rows = (main[-1],), main[:-1]
    right = (*main[:-2], main[-1], "P") if len(main) > 1 else main
    found: list[Shape] = []
    if INDEX.match(name):
        found = [rows, main, ("P",)]
    elif LAST.match(name):
        found = [last, main, (main[min(1, len(main) - 1)],), right]
    elif name == "self":  # of addmm and its like: what the product is added to
        found = [main, (*main[:-1], "P")]
    found += [main, last, rows] if not RIGHT.match(name) else [main, right, last, ("P", main[-1])]
    return list(dict.fromkeys(found))


def _tensor(name: str, shape: Shape, main: Shape, fill: str) -> str:
    sizes, more = ", ".join(shape), "".join(f"{size}, " for size in shape)
    if INDEX.match(name):
        high = main[-1] if shape != main or len(main) == 1 else main[0]
        return f"draw.integers({more}low=0, high={high})"
    if MASK.match(name):
        return f"draw.booleans({sizes})"
    if fill == FILLS[0]:
        if DECAY.match(name):
            return f"-draw.uniform({more}low=0.01, high=1.0)"
        if SHARE.match(name):
            return f"draw.uniform({more}low=0.05, high=0.95)"
        if POSITIVE.match(name):
            return f"draw.uniform({more}low=0.5, high=1.5)"
        if name.lower() in ("weight", "w") and len(shape) > 1:
            return f"draw.weight({sizes})"
    return "draw." + _filled(fill, shape)


def _filled(fill: str, shape: Shape) -> str:
    return fill.format(", ".join(shape) if fill.endswith("({})") else "".join(f"{size}, " for size in shape))


def _inputs(arguments: Sequence[Argument], values: tuple[str, ...], tails: bool) -> Inputs:
    symbols = sorted(
        {n.id for value in values for n in ast.walk(ast.parse(value)) if isinstance(n, ast.Name)} - {"draw"}
    )
    lines = [f"    {', '.join(symbols)} = {', '.join(f'case[{s!r}]' for s in symbols)}"] if symbols else []
    lines.append(f"    return ({', '.join(values)},)")
    source = "def make_inputs(case, draw):\n" + "\n".join(lines) + "\n"
    args = [{s: SIZES.get(s, OTHER_SIZES)[n] for s in symbols} for n in range(4)]
    return Inputs(
        source,
        (Case(name="first", args=args[0]), Case(name="second", args=args[1])),
        (
            Case(name="other_sizes", args=args[2], hidden=True),
            Case(name="spread", args=args[3], distribution="heavy_tailed" if tails else "structured", hidden=True),
        ),
    )
