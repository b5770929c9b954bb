"""Attention for short keys: scores of a block of queries against all keys at once, or key block after key block."""

from data_pipeline.synthetic.lowered import Constant, Kernel, Lowered
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Program
from data_pipeline.synthetic.style import Style
from data_pipeline.synthetic.templates.body import Body, indented
from data_pipeline.synthetic.templates.host import allocation

KEPT = {"causal": "cols[None, :] <= rows[:, None]", "window": "cols[None, :] > rows[:, None] - 8"}
WITHIN = "(rows[:, None] < m) & (cols[None, :] < n)"


class _Attention:
    """A kernel under construction. Style variants: keys block by block, exact float32, how many queries a program."""

    def __init__(self, program: Program, style: Style) -> None:
        self.program, self.style = program, style
        self.inputs = {item.name: item for item in program.inputs}
        self.heads = len(program.inputs[0].shape) == 3
        self.ending = next((step.op for step in program.steps if step.op in ("attend", "weights")), "")
        ops = [step.op for step in program.steps]
        self.place = ops.index(self.ending) if self.ending else len(ops)
        self.by_blocks = self.ending == "attend" and style.variant % 2 == 1
        self.exact = ', input_precision="ieee"' if program.dtype == "float32" and style.variant % 3 else ""
        self.product = f"tl.dot(p.to(v.dtype), v{self.exact})"

    def at(self, name: str, rows: str, columns: str, width: str, count: str) -> str:
        batch = f"head * {count} * {width} + " if self.heads and name != "bias" else ""
        return f"{self.style.pointer_of(name)} + {batch}{rows}[:, None] * {width} + {columns}[None, :]"

    def load(self, name: str, place: tuple[str, str, str, str], mask: str, cast: bool = False) -> str:
        """Products take tiles in their own dtype, arithmetic takes float32."""
        tail = Body(self.program, self.style).cast(self.inputs[name], cast)
        return f"{name} = tl.load({self.at(name, *place)}, mask={mask}, other=0.0){tail}"

    def keys(self) -> tuple[list[str], str]:
        """Lines from keys to scores, and the scores' name; what is masked is -inf where a softmax follows."""
        name = self.style.value if self.style.value != "acc" else "qk"
        body = Body(self.program, self.style.model_copy(update={"value": name}))
        body.add(self.load("k", ("cols", "dims", "d", "n"), "cols[:, None] < n"))
        body.set(f"tl.dot(q, tl.trans(k){self.exact})")
        if "bias" in self.inputs:
            body.add(self.load("bias", ("rows", "cols", "n", "m"), WITHIN, cast=True))
        kept = "cols[None, :] < n"
        for step in self.program.steps[1 : self.place]:
            if step.op in KEPT:
                kept = f"(cols[None, :] < n) & ({KEPT[step.op]})"
            else:
                body.step(step)
        if self.ending:
            body.set(f'tl.where({kept}, {{0}}, float("-inf"))')
        return body.lines, body.value

    def values(self) -> str:
        return self.load("v", ("cols", "dims", "d", "n"), "cols[:, None] < n")

    def blocks_of_keys(self) -> list[str]:
        """Softmax in one pass over the keys (Dao et al., FlashAttention, 2022)."""
        lines, scores = self.keys()
        inner = [
            "cols = start + tl.arange(0, BLOCK_N)",
            *lines,
            f"new = tl.maximum(peak, tl.max({scores}, 1))",
            # A query may have seen no key yet that it may see: -inf minus -inf is no number.
            'base = tl.where(new == float("-inf"), 0.0, new)',
            f"p = tl.exp({scores} - base[:, None])",
            "scale = tl.exp(peak - base)",
            "total = total * scale + tl.sum(p, 1)",
            self.values(),
            f"acc = acc * scale[:, None] + {self.product}",
            "peak = new",
        ]
        return [
            'peak = tl.full([BLOCK_M], float("-inf"), tl.float32)',
            "total = tl.zeros([BLOCK_M], tl.float32)",
            "acc = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)",
            "for start in range(0, n, BLOCK_N):",
            *indented(inner),
            "acc = acc / total[:, None]",
        ]

    def all_keys(self) -> tuple[list[str], str]:
        """Lines, and the name of the result before the last steps."""
        lines, result = self.keys()
        lines = ["cols = tl.arange(0, BLOCK_N)", *lines]
        if self.ending:
            lines += [f"p = tl.exp({result} - tl.max({result}, 1)[:, None])", "p = p / tl.sum(p, 1)[:, None]"]
            result = "p"
        if self.ending == "attend":
            lines += [self.values(), f"acc = {self.product}"]
            result = "acc"
        return lines, result

    def tail(self, value: str) -> list[str]:
        """The steps after the core, and the store."""
        body = Body(self.program, self.style)
        body.value, body.first = value, False
        width, columns = ("d", "dims") if self.ending == "attend" else ("n", "cols")
        mask = "rows[:, None] < m" if self.ending == "attend" else WITHIN
        if "g" in self.inputs:
            body.add(self.load("g", ("rows", "dims", "d", "m"), mask, cast=True))
        body.steps(self.program.steps[self.place + 1 :])
        body.add(f"tl.store({self.at(self.style.result, 'rows', columns, width, 'm')}, {body.value}, mask={mask})")
        return body.lines


def attention(program: Program, style: Style, pose: Pose) -> Lowered:
    made = _Attention(program, style)
    head = ["rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)", "dims = tl.arange(0, BLOCK_D)"]
    head += ["head = tl.program_id(1)"] * made.heads
    head.append(made.load("q", ("rows", "dims", "d", "m"), "rows[:, None] < m"))
    lines, value = (made.blocks_of_keys(), "acc") if made.by_blocks else made.all_keys()
    keys = "32" if made.by_blocks else "max(16, triton.next_power_of_2(n))"
    kernel = Kernel(
        style.kernel, (*made.inputs, style.result), {"m": "m", "n": "n", "d": "d"},
        {"BLOCK_M": Constant(("16", "32")[style.variant % 2]), "BLOCK_N": Constant(keys), "BLOCK_D": Constant("d")},
        ("triton.cdiv(m, BLOCK_M)", *(["b"] if made.heads else [])), (*head, *lines, *made.tail(value)),
    )  # fmt: skip
    dims = "b, m, d" if made.heads else "m, d"
    host = (f"{dims} = q.shape", f"n = k.shape[{1 if made.heads else 0}]", allocation(program, style, pose))
    return Lowered(host, (kernel,), style.result)
