"""Names that say what they hold, and temporaries folded into the expressions that use them once."""

import ast
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from data_pipeline.inductor.rewrite import Substitute, blocks, is_number, names_in, stored
from sandbox.kernels.signature import path_of

if TYPE_CHECKING:
    from data_pipeline.inductor.kernel import Argument, Raw

LONGEST = 88
"""Characters of a statement that took in the temporaries it uses."""
LINE = 110
PLUMBING = frozenset(
    "unsqueeze squeeze view expand clone to_copy to copy slice select permute transpose t unsafe_view split full_like "
    "scalar_tensor detach alias getitem iota full native legit no training forward fused prims".split()
)
"""Words of a fused kernel's name that say nothing about what it computes."""
AFTER = {
    "sum": "total", "max": "largest", "min": "smallest", "exp": "e", "rsqrt": "scale", "sqrt": "root",
    "sigmoid": "gate", "where": "chosen", "associative_scan": "running", "log": "logarithm",
}  # fmt: skip
"""Operation → name of its result."""


class Names:
    """Hands out names, each once."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = set(taken)

    def new(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self.taken:
            name, number = f"{wanted}{number}", number + 1
        self.taken.add(name)
        return name


def kernel_name(title: str, taken: set[str]) -> str:
    """`triton_per_fused__softmax_0` → `softmax_kernel`."""
    middle = re.sub(r"^triton_(poi|red|per)_fused_|_\d+$", "", title)
    words = [w for w in re.split(r"_+", middle) if w and w not in PLUMBING and not w.isdigit()]
    name = "_".join([*dict.fromkeys(words)][:4]) or "copy"
    return Names(taken).new(f"{name}_kernel")


def rename(
    body: list[ast.stmt], raw: "Raw", kept: list[str], blocks_kept: Mapping[str, str],
    arguments: Mapping[str, "Argument"], names: Names,
) -> dict[str, str]:  # fmt: skip
    """Parameters, indices and masks; returns the parameters' new names."""
    new: dict[str, str] = {}
    for parameter in kept:
        pointer = raw.types[parameter].startswith("*")
        fallback = {"xnumel": "size", "ynumel": "y_size", "r0_numel": "length"}.get(parameter, "k")
        wanted = arguments[parameter].name
        new[parameter] = names.new(f"{wanted}_ptr" if pointer else wanted or fallback)
    short = len(blocks_kept) == 1
    for block in blocks_kept:
        new[block] = names.new("BLOCK" if short else f"BLOCK_{block[0]}")
    parameters = dict(new)
    flat = raw.kind == "pointwise" and raw.grid == "x"
    row = "XBLOCK" not in blocks_kept and raw.kind != "pointwise"
    wanted_names = {
        "xindex": "offsets" if flat else "row" if row else "ix", "xmask": "mask" if flat else "x_mask",
        "yindex": "iy", "ymask": "y_mask", "zindex": "iz", "zmask": "z_mask",
        "r0_index": "columns" if row else "ir", "r0_mask": "mask" if row else "r_mask", "r0_offset": "start",
        "r0_base": "lanes", "xoffset": "x_start", "yoffset": "y_start", "zoffset": "z_start",
    }  # fmt: skip
    there = {n for s in body for n in [*stored(s), *names_in(s)]}
    for old, wanted in wanted_names.items():
        if old in there:
            new[old] = names.new(wanted)
    _apply(body, new)
    return parameters


def wrapped(head: str, items: list[str], tail: str) -> str:
    """A call or signature; on three lines where one would be too long."""
    line = head + ", ".join(items) + tail
    return line if len(line) <= LINE else f"{head}\n    {', '.join(items)},\n{tail}"


def inline(body: list[ast.stmt], names: Names) -> None:
    """Fold temporaries that are used once into their users, and name the others after what made them."""
    for block in blocks(body):
        _fold(block, body)
    kinds: dict[str, str] = {}
    for block in blocks(body):
        for statement in block:
            if isinstance(statement, ast.Assign):
                for name in stored(statement):
                    if re.match(r"_?tmp\d+|[xyz]\d+$|r0_\d+$|_triton_helper", name):
                        kinds.setdefault(name, _wanted(name, statement.value))
    order = [n for s in body for n in stored(s)]
    _apply(body, {name: names.new(kinds[name]) for name in dict.fromkeys(order) if name in kinds})


def _fold(block: list[ast.stmt], body: list[ast.stmt]) -> None:
    """One block; only what is assigned once and read once, by a later statement of the same block."""
    while True:
        writes = Counter(n for s in body for n in stored(s))
        reads = Counter(n for s in body for n in names_in(s))
        for number, statement in enumerate(block):
            name = next(stored(statement), "")
            if writes[name] == 1 == reads[name] and _foldable(statement):
                user = _user(block, number, name)
                if user is not None and isinstance(statement, ast.Assign):
                    Substitute({name: statement.value}).visit(block[user])
                    del block[number]
                    break
        else:
            return


def _foldable(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
        return False
    value = statement.value
    if not re.match(r"tmp\d+|[xyz]\d+$|r0_\d+$|[xyz]_start", statement.targets[0].id):
        return False
    while isinstance(value, ast.Subscript) or (isinstance(value, ast.Call) and ast.unparse(value.func).endswith(".to")):
        value = value.value if isinstance(value, ast.Subscript) else getattr(value.func, "value", value)
    return not (isinstance(value, ast.Call) and path_of(value.func)[-1:][0:1] and path_of(value.func)[-1] in (
        "load", "sum", "max", "min", "reduce", "associative_scan"))  # fmt: skip


def _user(block: list[ast.stmt], number: int, name: str) -> int | None:
    value, changed = block[number], set[str]()
    assert isinstance(value, ast.Assign)
    for later in range(number + 1, len(block)):
        statement = block[later]
        if name in names_in(statement):
            if isinstance(statement, ast.For) or changed & set(names_in(value.value)):
                return None
            length = len(ast.unparse(statement)) + len(ast.unparse(value.value))
            return later if length <= LONGEST else None
        changed |= set(stored(statement))
    return None


def _wanted(name: str, value: ast.expr) -> str:
    text = ast.unparse(value)
    if re.match(r"[xyz]\d+$|r0_\d+$", name):
        return "inner" if text.count("%") and not text.count("//") else "middle" if "%" in text else "outer"
    load = re.search(r"tl\.load\((\w+?)_ptr\b", text)
    if load and text.startswith("tl.load"):
        return load[1] if load[1] not in ("out",) else "value"
    moment = re.match(r"tmp\d+_(mean|m2|weight)$", name)
    if moment:
        return {"mean": "mean", "m2": "squares", "weight": "count"}[moment[1]]
    if name.startswith("_tmp"):
        return "acc"
    operation = re.match(r"\(?(?:tl|libdevice)\.(\w+)", text)
    if operation:
        return AFTER.get(operation[1], "t")
    return "mask" if isinstance(value, ast.Compare) else "t" if not is_number(value) else "constant"


def _apply(body: list[ast.stmt], new: Mapping[str, str]) -> None:
    values: dict[str, ast.expr] = {old: ast.Name(name, ast.Load()) for old, name in new.items()}
    for statement in body:
        Substitute(values).visit(statement)
