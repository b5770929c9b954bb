"""Names of an Inductor kernel that only stand for others, and its combine functions that `tl` has by name."""

import ast
import re
from collections import Counter

from data_pipeline.inductor.names import Names, inline
from data_pipeline.inductor.rewrite import (
    Public,
    Substitute,
    call,
    expression,
    is_number,
    map_blocks,
    names_in,
    stored,
    without_unused,
)


def drop_aliases(body: list[ast.stmt]) -> None:
    """`x0 = xindex`, `rindex = r0_index` and the like: one name is enough; `xmask = True` is none at all."""
    found: dict[str, ast.expr] = {}

    def change(statement: ast.stmt) -> ast.stmt | None:
        Substitute(found).visit(statement)
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name, value = statement.targets[0].id, statement.value
            known = isinstance(value, ast.Name) and not value.id.startswith(("tmp", "_tmp"))
            constant = isinstance(value, ast.Constant) and not name.startswith("_tmp")
            if (known or constant) and not name.startswith("tmp"):
                found[name] = value
                return None
        return statement

    for statement in list(body):  # in order, so that an alias of an alias is one
        if isinstance(statement, ast.For):
            Substitute(found).visit(statement.iter)
            map_blocks(statement.body, change)
        elif change(statement) is None:
            body.remove(statement)


def drop_copies(body: list[ast.stmt]) -> None:
    """Temporary names that stand for a literal, or for another name that does not change."""
    writes = Counter(name for statement in body for name in stored(statement))
    values: dict[str, ast.expr] = {}

    def note(statement: ast.stmt) -> ast.stmt:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name, value = statement.targets[0].id, statement.value
            fixed = isinstance(value, ast.Name) and writes[value.id] <= 1
            sizes = isinstance(value, ast.BinOp) and not any(writes[n] for n in names_in(value))
            if name.startswith("tmp") and writes[name] == 1 and (fixed or sizes or is_number(value)):
                values[name] = value
        return statement

    map_blocks(body, note)
    for _ in values:  # a copy of a copy
        values = {name: values.get(v.id, v) if isinstance(v, ast.Name) else v for name, v in values.items()}
    map_blocks(body, lambda s: None if set(stored(s)) & values.keys() else s)
    for statement in body:
        Substitute(values).visit(statement)
    without_unused(body)


def name_scans(scans: list[ast.FunctionDef], body: list[ast.stmt], public: Public) -> dict[str, str]:
    """Combine functions of scans, by name; sums and products along a row have a function in `tl`."""
    found: dict[str, str] = {}
    for function in scans:
        text = "".join(ast.unparse(s) + ";" for s in function.body)
        plain = re.fullmatch(r"(\w+) = arg0_0 ([+*]) arg1_0;return \1;", text)
        if plain:
            _as_cumulative(body, function.name, "tl.cumsum" if plain[2] == "+" else "tl.cumprod")
        else:
            map_blocks(function.body, lambda s: public.visit(s))
            function.decorator_list = [expression("triton.jit")]
            name = _combine_name(function.name)
            for statement in body:
                Substitute({function.name: ast.Name(name, ast.Load())}).visit(statement)
            function.name = name
            _name_arguments(function)
            found[name] = ast.unparse(function) + "\n"
    return found


def _combine_name(name: str) -> str:
    """`_triton_helper_fn_gt_eq_ne_gt_where0` → `combine_gt_eq_ne_where`: equal functions keep equal names."""
    words = re.sub(r"^_triton_helper_fn_|\d+$", "", name).split("_")
    return "_".join(["combine", *dict.fromkeys(words)])


def _name_arguments(function: ast.FunctionDef) -> None:
    """`arg0_0, arg0_1, arg1_0, arg1_1` → `a, a1, b, b1`; temporaries that are used once become part of their users."""
    new: dict[str, ast.expr] = {}
    for argument in function.args.args:
        side, _, number = argument.arg.removeprefix("arg").partition("_")
        short = "ab"[int(side)] + number.replace("0", "")
        new[argument.arg] = ast.Name(short, ast.Load())
        argument.arg = short
    for statement in function.body:
        Substitute(new).visit(statement)
    inline(function.body, Names({argument.arg for argument in function.args.args}))


def _as_cumulative(body: list[ast.stmt], combine: str, name: str) -> None:
    def change(statement: ast.stmt) -> ast.stmt:
        value = statement.value if isinstance(statement, ast.Assign) else None
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "tl.associative_scan":
            values, axis, function = value.args
            if ast.unparse(function) == combine and isinstance(values, ast.Tuple):
                (target,) = stored(statement)
                return ast.Assign([ast.Name(target, ast.Store())], call(name, values.elts[0], axis), lineno=0)
        return statement

    map_blocks(body, change)
