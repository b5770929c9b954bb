"""Attention for short keys: scores of a block of queries against all keys at once, or key block after key block."""

from data_pipeline.synthetic.lowered import Constant, Kernel, Lowered
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Program
from data_pipeline.synthetic.style import Style
from data_pipeline.synthetic.templates.body import Body, indented
from data_pipeline.synthetic.templates.host import allocation

KEPT = {"causal": "cols[None, :] <= rows[:, None]", "window": "cols[None, :] > rows[:, None] - 8"}


def attention(program: Program, style: Style, pose: Pose) -> Lowered:
    heads = len(program.inputs[0].shape) == 3
    ending = next((step.op for step in program.steps if step.op in ("attend", "weights")), "")
    place = next((i for i, step in enumerate(program.steps) if step.op == ending), len(program.steps))
    flash = ending == "attend" and style.variant % 2 == 1
    exact = ', input_precision="ieee"' if program.dtype == "float32" and style.variant % 3 else ""
    names = [item.name for item in program.inputs]

    def at(name: str, rows: str, columns: str, width: str, count: str) -> str:
        batch = f"head * {count} * {width} + " if heads and name != "bias" else ""
        return f"{style.pointer_of(name)} + {batch}{rows}[:, None] * {width} + {columns}[None, :]"

    def load(name: str, rows: str, columns: str, width: str, count: str, mask: str, cast: bool = False) -> str:
        item = next(i for i in program.inputs if i.name == name)
        tail = Body(program, style).cast(item, cast)
        return f"{name} = tl.load({at(name, rows, columns, width, count)}, mask={mask}, other=0.0){tail}"

    body = Body(program, style)
    body.names = {"bias": "bias"}
    scores = body.style.value if style.value != "acc" else "qk"
    body.style = style.model_copy(update={"value": scores})
    body.set(f"tl.dot(q, tl.trans(k){exact})")
    if "bias" in names:
        body.add(load("bias", "rows", "cols", "n", "m", "(rows[:, None] < m) & (cols[None, :] < n)", cast=True))
    kept = "cols[None, :] < n"
    for step in program.steps[1:place]:
        if step.op in KEPT:
            kept = f"(cols[None, :] < n) & ({KEPT[step.op]})"
        else:
            body.step(step)
    head = ["rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)", "dims = tl.arange(0, BLOCK_D)"]
    head += ["head = tl.program_id(1)"] * heads
    head.append(load("q", "rows", "dims", "d", "m", "rows[:, None] < m"))
    keys = [load("k", "cols", "dims", "d", "n", "cols[:, None] < n")]
    if ending:
        body.set(f'tl.where({kept}, {{0}}, float("-inf"))')
    values = "" if ending != "attend" else load("v", "cols", "dims", "d", "n", "cols[:, None] < n")
    weighted = f"tl.dot(p.to(v.dtype), v{exact})"
    lines = [*head]
    if flash:
        inner = ["cols = start + tl.arange(0, BLOCK_N)", *keys, *body.lines]
        inner += [
            f"new = tl.maximum(peak, tl.max({body.value}, 1))",
            # A block of keys may be masked out for a query that has seen none: -inf minus -inf is no number.
            'base = tl.where(new == float("-inf"), 0.0, new)',
            f"p = tl.exp({body.value} - base[:, None])",
            "scale = tl.exp(peak - base)",
            "total = total * scale + tl.sum(p, 1)",
            values,
            f"acc = acc * scale[:, None] + {weighted}",
            "peak = new",
        ]
        lines += [
            'peak = tl.full([BLOCK_M], float("-inf"), tl.float32)',
            "total = tl.zeros([BLOCK_M], tl.float32)",
            "acc = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)",
            "for start in range(0, n, BLOCK_N):",
            *indented(inner),
            "acc = acc / total[:, None]",
        ]
    else:
        lines += ["cols = tl.arange(0, BLOCK_N)", *keys, *body.lines]
        if ending:
            lines += [
                f"p = tl.exp({body.value} - tl.max({body.value}, 1)[:, None])",
                "p = p / tl.sum(p, 1)[:, None]",
            ]
        if ending == "attend":
            lines += [values, f"acc = {weighted}"]
    tail = Body(program, style)
    tail.value, tail.first = {"attend": "acc", "weights": "p", "": body.value}[ending], False
    width, columns = ("d", "dims") if ending == "attend" else ("n", "cols")
    mask = "rows[:, None] < m" if ending == "attend" else "(rows[:, None] < m) & (cols[None, :] < n)"
    if "g" in names:
        tail.add(load("g", "rows", "dims", "d", "m", mask, cast=True))
    tail.steps(program.steps[place + 1 :] if ending else ())
    tail.add(f"tl.store({at(style.result, 'rows', columns, width, 'm')}, {tail.value}, mask={mask})")
    across = "32" if flash else "max(16, triton.next_power_of_2(n))"
    kernel = Kernel(
        style.kernel, (*names, style.result), {"m": "m", "n": "n", "d": "d"},
        {"BLOCK_M": Constant(("16", "32")[style.variant % 2]), "BLOCK_N": Constant(across), "BLOCK_D": Constant("d")},
        ("triton.cdiv(m, BLOCK_M)", *(["b"] if heads else [])), (*lines, *tail.lines),
    )  # fmt: skip
    dims = "b, m, d" if heads else "m, d"
    host = [f"{dims} = q.shape", f"n = k.shape[{1 if heads else 0}]", allocation(program, style, pose)]
    return Lowered(tuple(host), (kernel,), style.result)
