"""Sizes in Inductor's host code, in the candidate's words: symbols become names read from the shapes of inputs.

Whether two expressions are equal, or strides those of a dense tensor, is decided by evaluating them for several primes.
"""

import ast
from collections.abc import Mapping
from math import prod

from data_pipeline.inductor.rewrite import NotCleanError, Substitute, expression, names_in

PROBES = (7, 11, 13)
"""Size expressions are compared by their values, with other primes for every symbol."""
PRIMES = (101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181, 191, 193, 197)
AXES = {1: ("n",), 2: ("m", "n"), 3: ("b", "m", "n"), 4: ("b", "c", "h", "w")}
TORCH_TYPES = {
    "torch.float32": "*fp32", "torch.float16": "*fp16", "torch.bfloat16": "*bf16", "torch.int64": "*i64",
    "torch.int32": "*i32", "torch.bool": "*i1", "torch.int8": "*i8", "torch.uint8": "*u8", "torch.float64": "*fp64",
}  # fmt: skip


class Tensor:
    """A tensor of the host code."""

    def __init__(self, text: str, shape: list[str], strides: list[str], dtype: str, own: bool) -> None:
        self.text, self.shape, self.strides, self.dtype, self.own = text, shape, strides, dtype, own
        self.offset = "0"


class Sizes:
    """What is known of symbols."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = set(taken)
        self.values: dict[str, ast.expr] = {}
        """Name of the host code → expression of symbols."""
        self.sources: dict[str, str] = {}
        """Symbol → where it is read from, `x.shape[0]`."""
        self.names: dict[str, str] = {}
        """Symbol → name in the candidate."""

    def name_all(self, inputs: list[Tensor]) -> None:
        """Each symbol is read from the first input that has it for a dimension, and named after the axis."""
        for tensor in inputs:
            axes = AXES.get(len(tensor.shape), ())
            for axis, symbol in enumerate(tensor.shape):
                if symbol in self.sources and symbol not in self.names:
                    self.sources[symbol] = f"{tensor.text}.shape[{axis}]"
                    self.names[symbol] = self._new(axes[axis] if axes else "n")
        for symbol, source in self.sources.items():
            if symbol not in self.names:
                self.names[symbol] = source if source.isidentifier() else self._new("k")

    def prologue(self, inputs: list[Tensor], used: set[str]) -> list[str]:
        """Statements that read the sizes which later ones use."""
        lines = []
        for tensor in inputs:
            mine = [s for s in tensor.shape if self.sources.get(s, "").startswith(f"{tensor.text}.shape[")]
            mine = [s for s in mine if self.names[s] in used]
            if len(mine) > 1 and mine == tensor.shape:
                lines.append(f"{', '.join(self.names[s] for s in mine)} = {tensor.text}.shape")
            else:
                lines += [f"{self.names[s]} = {self.sources[s]}" for s in mine]
        other = {s: source for s, source in self.sources.items() if ".shape[" not in source and self.names[s] != source}
        return lines + [f"{self.names[s]} = {source}" for s, source in other.items() if self.names[s] in used]

    def check(self, value: ast.expr) -> None:
        """Raises: NotCleanError: it is no arithmetic of known sizes."""
        for node in ast.walk(value):
            if isinstance(node, ast.Call) and ast.unparse(node.func) not in ("max", "min"):
                raise NotCleanError(f"host call: {ast.unparse(node)[:80]}")
        if set(names_in(value)) - {"max", "min", *self.sources, *self.values}:
            raise NotCleanError(f"host value: {ast.unparse(value)[:80]}")

    def resolved(self, value: ast.expr) -> ast.expr:
        holder = ast.Expr(expression(ast.unparse(value)))
        Substitute(dict(self.values)).visit(holder)
        return holder.value

    def text(self, text: str) -> str:
        """A size expression in the candidate's words."""
        holder = ast.Expr(self.resolved(expression(text)))
        Substitute({s: ast.Name(n, ast.Load()) for s, n in self.names.items()}).visit(holder)
        return ast.unparse(_tidy(holder.value, list(self.names.values())))

    def tuple(self, texts: list[str]) -> str:
        parts = [self.text(text) for text in texts]
        return f"({', '.join(parts)}{',' * (len(parts) == 1)})"

    def _value(self, text: str, probe: int) -> int:
        node = self.resolved(expression(text))
        symbols = sorted({*names_in(node)} - {"max", "min"})
        values = {s: PRIMES[(i * 5 + probe) % len(PRIMES)] for i, s in enumerate(sorted({*self.sources, *symbols}))}
        return _evaluate(node, values)

    def dense(self, shape: list[str], strides: list[str]) -> bool:
        for probe in PROBES:
            sizes, steps = [self._value(s, probe) for s in shape], [self._value(s, probe) for s in strides]
            dense = [prod(sizes[i + 1 :]) for i in range(len(sizes))]
            if any(step != want for size, step, want in zip(sizes, steps, dense, strict=True) if size != 1):
                return False
        return True

    def alike(self, tensor: Tensor, buffer: Tensor) -> bool:
        if len(tensor.shape) != len(buffer.shape) or tensor.dtype not in (buffer.dtype, TORCH_TYPES.get(buffer.dtype)):
            return False
        same = all(
            self._value(a, probe) == self._value(b, probe)
            for probe in PROBES
            for a, b in zip([*tensor.shape, *tensor.strides], [*buffer.shape, *buffer.strides], strict=True)
        )
        return same and bool(tensor.shape) and self.dense(buffer.shape, buffer.strides)

    def _new(self, wanted: str) -> str:
        for name in (wanted, *(c for c in "mnkpqhwcdfg" if c != wanted), *(f"size{i}" for i in range(99))):
            if name not in self.taken:
                self.taken.add(name)
                return name
        raise NotCleanError("sizes: too many")


def _evaluate(node: ast.expr, values: Mapping[str, int]) -> int:
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand, values)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _evaluate(left, values), _evaluate(right, values)
            match op:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult():
                    return a * b
                case ast.FloorDiv():
                    return a // b
                case ast.Mod():
                    return a % b
                case ast.Pow():
                    return int(a**b)
        case ast.Call(func=ast.Name(id="max" | "min" as name), args=args):
            found = [_evaluate(arg, values) for arg in args]
            return max(found) if name == "max" else min(found)
    raise NotCleanError(f"size: {ast.unparse(node)[:80]}")


def _tidy(node: ast.expr, order: list[str]) -> ast.expr:
    """`n * m` → `m * n`: a product's factors in the order of the shapes."""
    factors = _factors(node)
    if len(factors) < 2 or not all(isinstance(f, ast.Name | ast.Constant) for f in factors):
        return node
    rank = {name: i for i, name in enumerate(order)}
    factors.sort(key=lambda f: rank.get(f.id, 99) if isinstance(f, ast.Name) else -1)
    return expression(" * ".join(ast.unparse(f) for f in factors))


def _factors(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [*_factors(node.left), *_factors(node.right)]
    return [node]
