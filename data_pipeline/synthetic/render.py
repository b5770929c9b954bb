"""Program → PyTorch reference, Triton solution, description. Names, block sizes and phrasing vary with the style.

The solution is what a person would write for this one program: no loop over the row (rows fit a block), masks on
every access, arithmetic in float32, and a host function that only allocates and launches.
"""

import random
import re

from data_pipeline.synthetic.ops import OPS, REDUCE
from data_pipeline.synthetic.program import RUNNING, Input, Program
from sandbox.types import Record

ENTRY_POINT = "fused_op"
ZERO_STAYS_ZERO = frozenset(
    "relu leaky_relu abs neg square cube silu gelu tanh elu log1p softsign sin clamp1 scale divide add sub mul "
    "maximum minimum ratio gate swiglu difference2 average flip_sign".split()
)
"""Operators that map zeros to zero, so that lanes loaded as 0.0 need no second mask before a sum."""


class Style(Record):
    """What varies between solutions without changing what they compute."""

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


def draw_style(rng: random.Random, program: Program) -> Style:
    """A style from the seed; some kernels are named after their last operator."""
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


def reference(program: Program) -> str:
    """The task file: `fused_op` in PyTorch and `make_inputs`. 16-bit inputs are computed on in float32."""
    names = ", ".join(item.name for item in program.inputs)
    half = program.dtype != "float32"
    operands: dict[str, str] = {}
    bindings: dict[str, str] = {}
    for item in program.inputs:
        if item.kind == "index":
            continue
        expression = item.name + (f"[{_index(program)}]" if item.kind == "source" else "") + ".float()" * half
        expression += "[:, None]" * (item.kind == "col" and not program.reduces)
        operands[item.name] = item.name
        if expression != item.name:
            operands[item.name] = _bound_name(item, half)
            bindings[operands[item.name]] = expression
    body = [f"{', '.join(bindings)} = {', '.join(bindings.values())}"] if bindings else []
    expression = operands[program.inputs[0].name]
    for number, step in enumerate(program.steps):
        expression = OPS[step.op].torch.format(*(operands.get(arg, arg) for arg in step.args))
        if number < len(program.steps) - 1:
            body.append(f"{RUNNING} = {expression}")
    if half:
        simple = re.fullmatch(r"[\w.]+(\([^()]*\))?", expression)
        expression = (expression if simple else f"({expression})") + f".to({program.inputs[0].name}.dtype)"
    body.append(f"return {expression}")
    functional = "import torch.nn.functional as F\n" if any("F." in line for line in body) else ""
    lines = "\n".join(f"    {line}" for line in body)
    return f"import torch\n{functional}\n\ndef {ENTRY_POINT}({names}):\n{lines}\n\n\n{_make_inputs(program)}"


def solution(program: Program, style: Style) -> str:
    """A Triton file that computes the same as `reference`."""
    kernel = {"flat": _flat_kernel, "flat2d": _flat_kernel, "rows": _row_kernel}[program.layout](program, style)
    host = "\n".join(f"    {line}" for line in _host(program, style))
    names = ", ".join(item.name for item in program.inputs)
    return (
        "import torch\nimport triton\nimport triton.language as tl\n\n\n"
        f"@triton.jit\n{kernel}\n\n\ndef {ENTRY_POINT}({names}):\n{host}\n"
    )


def describe(program: Program) -> str:
    """One or two sentences: shapes, formula, dtype."""
    words = program.inputs[0].name
    if program.inputs[0].kind == "source":
        words = f"{words}[{_index(program)}]"
    operands = {program.inputs[0].name: words} | {item.name: item.name for item in program.inputs[1:]}
    for step in program.steps:
        operands[RUNNING] = words = _in_words(OPS[step.op].words, [operands.get(arg, arg) for arg in step.args])
    shapes = ", ".join(f"{item.name} ({_shape(program, item)})" for item in program.inputs)
    return f"Inputs: {shapes}, {program.dtype}. Compute {_outer(words)}."


def _in_words(template: str, args: list[str]) -> str:
    """`f({0})` with `(a + b)` is `f(a + b)`: parentheses are dropped where the template has them already."""
    alone = {int(k) for k in re.findall(r"(?:\(|, )\{(\d)\}(?=[,)])", template)}
    return template.format(*(_outer(arg) if k in alone else arg for k, arg in enumerate(args)))


def _outer(words: str) -> str:
    """Without the parentheses that enclose the whole formula."""
    if not words.startswith("("):
        return words
    depth = 0
    for position, char in enumerate(words):
        depth += (char == "(") - (char == ")")
        if depth == 0:
            return words[1:-1] if position == len(words) - 1 else words
    return words


def _index(program: Program) -> str:
    return next(item.name for item in program.inputs if item.kind == "index")


def _bound_name(item: Input, half: bool) -> str:
    if item.kind == "source":
        return "rows" if item.name != "rows" else "picked"
    return f"{item.name}f" if half else f"{item.name}c"


def _shape(program: Program, item: Input) -> str:
    flat = program.layout == "flat" and not program.two_dimensional
    match item.kind:
        case "full":
            return "n" if flat else "m, n"
        case "row":
            return "n"
        case "col":
            return "m"
        case "source":
            return "k" if flat else "k, n"
        case "index":
            return "n" if flat else "m"


def _make_inputs(program: Program) -> str:
    sizes = sorted({size for item in program.inputs for size in _shape(program, item).split(", ")})
    values = []
    for item in program.inputs:
        shape = _shape(program, item)
        if item.kind == "index":
            values.append(f"draw.integers({shape}, low=0, high=k)")
        else:
            values.append(f"draw.normal({shape}, dtype=dtype)")
    names = ", ".join([*sizes, "dtype"])
    keys = ", ".join(f'case["{name}"]' for name in [*sizes, "dtype"])
    ends = "," if len(values) == 1 else ""
    return f"def make_inputs(case, draw):\n    {names} = {keys}\n    return {', '.join(values)}{ends}\n"


def _flat_kernel(program: Program, style: Style) -> str:
    offsets, size = style.offsets, "size" if program.layout == "flat2d" else "n"
    extra = ", n" if program.layout == "flat2d" else ""
    start = f"* {style.block_name} + tl.arange(0, {style.block_name})"
    lines = [f"{offsets} = tl.program_id(0) {start}", f"mask = {offsets} < {size}"]
    places = {"full": offsets, "row": f"{offsets} % n", "col": f"{offsets} // n", "index": offsets, "source": "pick"}
    lines += _loads(program, style, places, {})
    body, value = _steps(program, style, {})
    lines += [*body, f"tl.store({_pointer(style.result, style)} + {offsets}, {value}, {style.guard})"]
    return _signature(program, style, size + extra) + "".join(f"\n    {line}" for line in lines)


def _row_kernel(program: Program, style: Style) -> str:
    columns = style.columns
    lines = ["row = tl.program_id(0)", f"{columns} = tl.arange(0, {style.block_name})", f"mask = {columns} < n"]
    full = any(item.kind == "full" for item in program.inputs)
    place = "at" if full and not program.reduces else f"row * n + {columns}"
    if place == "at":
        lines.append(f"at = row * n + {columns}")
    places = {"full": place, "row": columns, "col": "row", "index": "row", "source": f"pick * n + {columns}"}
    other = _load_values(program)
    lines += _loads(program, style, places, other)
    body, value = _steps(program, style, other)
    lines += body
    if program.reduces:
        lines.append(f"tl.store({_pointer(style.result, style)} + row, {value})")
    else:
        lines.append(f"tl.store({_pointer(style.result, style)} + {place}, {value}, {style.guard})")
    return _signature(program, style, "n") + "".join(f"\n    {line}" for line in lines)


def _signature(program: Program, style: Style, sizes: str) -> str:
    pointers = ", ".join(_pointer(name, style) for name in [*(item.name for item in program.inputs), style.result])
    return f"def {style.kernel}({pointers}, {sizes}, {style.block_name}: tl.constexpr):"


def _pointer(name: str, style: Style) -> str:
    return name.upper() if style.pointer == "upper" else f"{name}_ptr"


def _load_values(program: Program) -> dict[str, str]:
    """What masked lanes of each input must hold: the identity of the row operator that reads it, else 0.0."""
    row_steps = [(i, step) for i, step in enumerate(program.steps) if OPS[step.op].identity]
    if not row_steps:
        return {}
    position, step = row_steps[0]
    used = {arg for earlier in program.steps[: position + 1] for arg in earlier.args}
    values = {item.name: "0.0" for item in program.inputs if item.kind in ("full", "row") and item.name in used}
    if position == 0:
        values[step.args[0]] = OPS[step.op].identity or "0.0"
    return values


def _loads(program: Program, style: Style, places: dict[str, str], other: dict[str, str]) -> list[str]:
    cast = "" if program.dtype == "float32" else ".to(tl.float32)"
    lines = []
    # The index comes first: the source is read where it says.
    for item in sorted(program.inputs, key=lambda item: item.kind != "index"):
        scalar = program.layout == "rows" and item.kind in ("col", "index")
        fill = f", other={other[item.name]}" if item.name in other else ""
        if item.kind == "index" and not scalar:
            fill = ", other=0"
        guard = "" if scalar else f", {style.guard}{fill}"
        name = "pick" if item.kind == "index" else item.name
        end = "" if item.kind == "index" else cast
        lines.append(f"{name} = tl.load({_pointer(item.name, style)} + {places[item.kind]}{guard}){end}")
    return lines


def _steps(program: Program, style: Style, other: dict[str, str]) -> tuple[list[str], str]:
    """The arithmetic, a statement a step, and the name that holds the result."""
    lines: list[str] = []
    value, zero = program.inputs[0].name, True
    kinds = {item.name: item.kind for item in program.inputs}
    for number, step in enumerate(program.steps):
        spec = OPS[step.op]
        out = style.reduced if step.op in REDUCE else (style.reduced if value == style.reduced else style.value)
        if spec.identity and number and not (spec.identity == "0.0" and zero):
            lines.append(f"{value} = tl.where(mask, {value}, {spec.identity})")
        args = [value if arg == RUNNING else arg for arg in step.args]
        template = spec.triton if "{out}" in spec.triton else "{out} = " + spec.triton
        lines += template.format(*args, out=out).split("\n")
        zero = zero and step.op in ZERO_STAYS_ZERO and all(kinds.get(arg) != "col" for arg in step.args)
        value = out
    return lines, value


def _host(program: Program, style: Style) -> list[str]:
    names = [item.name for item in program.inputs]
    first, out = names[0], style.result
    block = f"{style.block_name}=" if style.block_by_name else ""
    kinds = {item.kind: item.name for item in reversed(program.inputs)}
    launch = ", ".join([*names, out])
    if program.layout == "flat":
        shaped = kinds.get("index", first)
        make = f"{first}.new_empty({shaped}.shape)" if "index" in kinds else f"torch.empty_like({first})"
        lines = [f"{out} = {make}", f"n = {shaped}.numel()"]
        return [
            *lines,
            f"{style.kernel}[(triton.cdiv(n, {style.block}),)]({launch}, n, {block}{style.block})",
            f"return {out}",
        ]
    if "full" in kinds:
        lines = [f"m, n = {kinds['full']}.shape"]
    elif "index" in kinds:
        lines = [f"m, n = {kinds['index']}.shape[0], {first}.shape[1]"]
    else:
        lines = [f"m, n = {kinds['col']}.shape[0], {kinds['row']}.shape[0]"]
    if program.reduces:
        lines.append(f"{out} = {first}.new_empty(m)")
    elif program.inputs[0].kind == "full":
        lines.append(f"{out} = torch.empty_like({first})")
    else:
        lines.append(f"{out} = {first}.new_empty(m, n)")
    if program.layout == "flat2d":
        lines.append(f"{style.kernel}[(triton.cdiv(m * n, {style.block}),)]({launch}, m * n, n, {block}{style.block})")
    else:
        lines.append(f"{style.kernel}[(m,)]({launch}, n, {block}triton.next_power_of_2(n))")
    return [*lines, f"return {out}"]
