"""One Inductor kernel → one plain `@triton.jit` function, and how to launch it.

1. Row reductions lose the dimension over rows: one program computes one row, as a person would write it.
2. Block sizes, which Inductor leaves to autotuning, are chosen: fixed ones, or the whole row (`next_power_of_2`).
3. Private helpers become public functions (`rewrite`), names say what they hold (`names`).
"""

import ast
from collections.abc import Mapping
from typing import NamedTuple

from data_pipeline.inductor.copies import drop_aliases, drop_copies, name_scans
from data_pipeline.inductor.names import Names, inline, kernel_name, rename, wrapped
from data_pipeline.inductor.rewrite import (
    HELPERS,
    REDUCTIONS,
    NotCleanError,
    Public,
    Simpler,
    Substitute,
    expression,
    map_blocks,
    names_in,
    stored,
    without_unused,
)
from data_pipeline.inductor.shapes import Superfluous
from sandbox.kernels.signature import path_of

DIMENSIONS = {"x": "xnumel", "y": "ynumel", "z": "znumel", "r0_": "r0_numel"}
GRIDS = {"Grid1D": "x", "Grid2D": "xy", "Grid2DWithYZOverflow": "xy", "Grid3D": "xyz"}
KINDS = ("pointwise", "reduction", "persistent_reduction")
SHORT = 64
"""Elements of a row that are too few for a program of their own."""
FLAT_BLOCK, TILE, LOOP_BLOCK, COLUMNS, ROWS_AT_ONCE = 256, 32, 1024, 64, 32
"""Elements a program: of a flat kernel, of each side of a tile, of a row read in a loop, of columns reduced side by
side, and how many rows of those at once."""


class Argument(NamedTuple):
    """What the host passes for one parameter."""

    text: str
    """Expression of the host."""
    name: str
    """Suggestion for the parameter; empty: none."""


class Raw(NamedTuple):
    """A kernel as Inductor wrote it."""

    function: ast.FunctionDef
    scans: list[ast.FunctionDef]
    """Its own combine functions."""
    kind: str
    grid: str
    columns: bool
    """A program should reduce many columns side by side: the reduced dimension is strided, or short."""
    types: dict[str, str]
    """Parameter → `*fp32`, `i64`, `constexpr`, …"""

    @property
    def parameters(self) -> list[str]:
        """What the host passes, in order."""
        return [a.arg for a in self.function.args.args if a.arg not in ("XBLOCK", "YBLOCK", "ZBLOCK", "R0_BLOCK")]


class Clean(NamedTuple):
    """A plain kernel."""

    name: str
    functions: dict[str, str]
    """Source of the kernel and of the functions that it calls, by name; the kernel last."""
    launch: str
    """The statement that launches it."""


def read_kernel(source: str) -> Raw:
    """Raises: NotCleanError: no kernel of a kind that is understood."""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    for function in functions:
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and path_of(decorator.func)[:1] == ["triton_heuristics"]:
                kind = path_of(decorator.func)[-1]
                if kind not in KINDS:
                    raise NotCleanError(f"kernel kind: {kind}")
                words = {k.arg: k.value for k in decorator.keywords}
                grid = _entry(words["inductor_meta"], "grid_type")
                if not isinstance(grid, ast.Constant) or grid.value not in GRIDS:
                    raise NotCleanError(f"grid: {ast.unparse(grid)}")
                return Raw(
                    function=function,
                    scans=[f for f in functions if f is not function],
                    kind=kind,
                    grid=GRIDS[str(grid.value)],
                    columns=_side_by_side(words),
                    types=ast.literal_eval(_entry(words["triton_meta"], "signature")),
                )
    raise NotCleanError("kernel kind: not one of triton_heuristics")


def clean_kernel(raw: Raw, title: str, arguments: Mapping[str, Argument], taken: set[str]) -> Clean:
    """`taken` are names of functions of the file.

    Raises:
        NotCleanError: the kernel uses something that has no public form.
    """
    body = list(raw.function.body)
    _drop_constants(body)
    blocks = _block_sizes(raw, body, arguments)
    if blocks.get("XBLOCK") == "1":
        _one_row(body)
    public, sizes = Public(), {p for p, kind in raw.types.items() if not kind.startswith("*")}
    drop_aliases(body)
    _same_arguments(body, arguments, sizes)
    indices = {f"{d}{end}" for d in DIMENSIONS for end in ("index", "offset", "base")}
    simpler = Simpler(sizes | set(blocks), indices | _index_names(body))
    for _ in range(4):  # a literal may make its user one
        map_blocks(body, lambda s: simpler.visit(s))
        drop_copies(body)
    map_blocks(body, lambda s: public.visit(s))
    for loop in (s for s in body if isinstance(s, ast.For)):
        loop.iter = public.visit(loop.iter)
    scans = name_scans(raw.scans, body, public)
    Superfluous(raw.types).over(body)
    drop_copies(body)
    without_unused(body)
    used = {name for statement in body for name in names_in(statement)}
    names = Names({*taken, *public.helpers, *scans, "tl", "triton", "torch", "libdevice"})
    kept = [p for p in raw.parameters if p in used]
    kept_blocks = {name: size for name, size in blocks.items() if name in used}
    renamed = rename(body, raw, kept, kept_blocks, arguments, names)
    inline(body, names)
    name = kernel_name(title, taken)
    functions = {key: HELPERS[key] for key in sorted(public.helpers)} | scans
    signature = [*(renamed[p] for p in kept), *(f"{renamed[b]}: tl.constexpr" for b in kept_blocks)]
    lines = "\n".join(f"    {line}" for s in body for line in ast.unparse(s).splitlines())
    head = wrapped(f"def {name}(", signature, "):")
    functions[name] = f"@triton.jit\n{head}\n{lines}\n"
    passed = [arguments[p].text for p in kept] + [f"{renamed[b]}={size}" for b, size in kept_blocks.items()]
    return Clean(name, functions, wrapped(f"{name}[{_grid(raw, blocks, arguments)}](", passed, ")"))


def _entry(node: ast.expr, key: str) -> ast.expr:
    """The value of a dictionary display, which may hold calls elsewhere."""
    if isinstance(node, ast.Dict):
        for name, value in zip(node.keys, node.values, strict=True):
            if isinstance(name, ast.Constant) and name.value == key:
                return value
    raise NotCleanError(f"kernel description: has no {key}")


def _side_by_side(words: Mapping[str | None, ast.expr]) -> bool:
    hints = {str(key): int(value) for key, value in ast.literal_eval(words["size_hints"]).items()}
    short = hints.get("r0_", SHORT + 1) <= SHORT and hints.get("x", 0) >= 4 * hints.get("r0_", 0)
    return short or "OUTER" in ast.unparse(words.get("reduction_hint", ast.Constant("")))


def _drop_constants(body: list[ast.stmt]) -> None:
    """Sizes that are known when Inductor compiles: the host passes them all the same."""
    body[:] = [
        s
        for s in body
        if not (isinstance(s, ast.AnnAssign) and ast.unparse(s.target) != "RBLOCK")
        and not (
            isinstance(s, ast.Assign)
            and isinstance(s.value, ast.Constant)
            and ast.unparse(s.targets[0]) in DIMENSIONS.values()
        )
    ]
    for number, statement in enumerate(body):
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            body[number] = ast.Assign([statement.target], statement.value, lineno=0)


def _block_sizes(raw: Raw, body: list[ast.stmt], arguments: Mapping[str, Argument]) -> dict[str, str]:
    """Host expression for each block size."""
    if raw.kind == "pointwise":
        return {f"{d.upper()}BLOCK": str(FLAT_BLOCK if len(raw.grid) == 1 else TILE) for d in raw.grid}
    looped = any(isinstance(s, ast.For) for s in body)
    row = "associative_scan" not in ast.unparse(ast.Module(body, [])) or not looped
    single = arguments["xnumel"].text == "1"
    side_by_side = raw.columns and not single
    if looped:
        size = str(ROWS_AT_ONCE if side_by_side else LOOP_BLOCK)
    else:
        length = arguments["r0_numel"].text
        size = str(1 << (int(length) - 1).bit_length()) if length.isdigit() else f"triton.next_power_of_2({length})"
    if row and not side_by_side:
        return {"XBLOCK": "1", "R0_BLOCK": size}
    return {"XBLOCK": str(COLUMNS if side_by_side else 4), "R0_BLOCK": size}


def _grid(raw: Raw, blocks: dict[str, str], arguments: Mapping[str, Argument]) -> str:
    parts = []
    for d in raw.grid:
        total, block = arguments[DIMENSIONS[d]].text, blocks[f"{d.upper()}BLOCK"]
        parts.append(total if block == "1" else f"triton.cdiv({total}, {block})")
    return f"({', '.join(parts)}{',' * (len(parts) == 1)})"


class _OneRow(ast.NodeTransformer):
    """Without the first of two dimensions."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        return node.value if "None" in ast.unparse(node.slice) else node

    def visit_List(self, node: ast.List) -> ast.expr:
        return ast.List([e for e in node.elts if ast.unparse(e) not in ("XBLOCK", "1")], node.ctx)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        method = path_of(node.func)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "broadcast_to" and method[:1] != ["tl"]:
            return node.func.value
        if method[:1] in (["triton_helpers"], ["tl"]):
            name = method[-1]
            if name in REDUCTIONS or name in (
                "max2", "min2", "any", "prod", "welford", "max_with_index", "min_with_index", "associative_scan",
            ):  # fmt: skip
                node.args = [ast.Constant(0) if ast.unparse(arg) == "1" else arg for arg in node.args]
        return node


def _one_row(body: list[ast.stmt]) -> None:
    program = {"xindex": "tl.program_id(0)", "xmask": "True"}

    def change(statement: ast.stmt) -> ast.stmt | None:
        target = next(stored(statement), "")
        if target == "xoffset":
            return None
        if target in program:
            return ast.Assign([ast.Name(target, ast.Store())], expression(program[target]), lineno=0)
        found = _OneRow().visit(statement)
        assert isinstance(found, ast.stmt)
        return found

    map_blocks(body, change)


def _same_arguments(body: list[ast.stmt], arguments: Mapping[str, Argument], sizes: set[str]) -> None:
    """Two parameters for which the host passes the same number are one."""
    first: dict[str, str] = {}
    same: dict[str, ast.expr] = {}
    for name, argument in sorted(arguments.items(), key=lambda item: item[0].startswith("ks")):
        if name in sizes and first.setdefault(argument.text, name) != name:
            same[name] = ast.Name(first[argument.text], ast.Load())
    for statement in body:
        Substitute(same).visit(statement)


def _index_names(body: list[ast.stmt]) -> set[str]:
    """`x0`, `r0_1`: parts of an index."""
    return {n for s in body for n in stored(s) if n[:1] in "xyzr" and n[-1].isdigit()}
