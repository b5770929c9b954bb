"""Statements of an Inductor kernel in the words of public Triton: without private helpers, and without needless casts.

Purely syntactic, on trees that are changed in place. What computes another value than Inductor's helper does so on
purpose: `tl.maximum` and `tl.max` do not carry NaN along, and integer division rounds as C does. Both are for the
sandbox to judge.
"""

import ast
from collections.abc import Callable, Iterator

from sandbox.kernels.language import LIBDEVICE
from sandbox.kernels.signature import path_of

PUBLIC = frozenset("exp exp2 log log2 sqrt rsqrt sin cos floor ceil erf abs fma sigmoid".split())
"""Functions of libdevice and of Inductor's maths that `tl` has by the same name."""
SIMPLE = {"maximum": "maximum", "minimum": "minimum", "max2": "max", "min2": "min"}
HELPERS = {
    "multiply": "@triton.jit\ndef multiply(a, b):\n    return a * b\n",
    "larger": """@triton.jit
def larger(a, i, b, j):
    first = (a > b) | ((a == b) & (i < j))
    return tl.where(first, a, b), tl.where(first, i, j)
""",
    "smaller": """@triton.jit
def smaller(a, i, b, j):
    first = (a < b) | ((a == b) & (i < j))
    return tl.where(first, a, b), tl.where(first, i, j)
""",
    "add_to_mean": """@triton.jit
def add_to_mean(value, mean, squares, count):
    delta = value - mean
    mean = mean + delta / (count + 1)
    return mean, squares + delta * (value - mean), count + 1
""",
    "merge_means": """@triton.jit
def merge_means(mean_a, squares_a, count_a, mean_b, squares_b, count_b):
    delta = mean_b - mean_a
    count = count_a + count_b
    share = count_b / tl.where(count == 0.0, 1.0, count)
    return mean_a + delta * share, squares_a + squares_b + delta * delta * count_a * share, count
""",
}
"""What has no public name, written out. Means and squares: Welford (1962); Chan, Golub and LeVeque (1983)."""
REDUCTIONS = frozenset("sum max min reduce argmax argmin xor_sum".split())


class NotCleanError(ValueError):
    """The code cannot be turned into a plain candidate; the text before the first colon is the kind of reason."""


class Public(ast.NodeTransformer):
    """Calls of private helpers → public ones; `helpers` collects which functions of `HELPERS` are called."""

    def __init__(self) -> None:
        self.helpers: set[str] = set()

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        module, _, name = ".".join(path_of(node.func)).rpartition(".")
        if module == "triton_helpers":
            return self._helper(name, node.args)
        if module in ("libdevice", "tl_math"):
            if name in PUBLIC:
                return call(f"tl.{name}", *node.args)
            if name not in LIBDEVICE:
                raise NotCleanError(f"private function: {module}.{name}")
            return call(f"libdevice.{name}", *node.args)
        if module == "tl" and name == "sqrt_rn":
            return call("tl.sqrt", *node.args)
        if module == "tl" and name == "div_rn":
            return ast.BinOp(node.args[0], ast.Div(), node.args[1])
        if module == "tl" and name in ("load", "store", "atomic_add"):
            return _access(node)
        if module == "tl" and name == "range":
            return call("range", *node.args)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        """`signbit(x) != 0 if x.dtype is tl.float32 else x < 0`: the sign of x."""
        if "libdevice.signbit" in ast.unparse(node.body):
            return node.orelse
        self.generic_visit(node)
        return node

    def _helper(self, name: str, args: list[ast.expr]) -> ast.expr:
        if name in SIMPLE:
            first, second = args
            if name in ("maximum", "minimum") and isinstance(first, ast.Constant):
                first, second = second, first
            return call(f"tl.{SIMPLE[name]}", first, second)
        match name:
            case "prod":
                return call("tl.reduce", *args, self._own("multiply"))
            case "any":
                return expression(f"tl.max(({ast.unparse(args[0])}).to(tl.int32), {ast.unparse(args[1])}) > 0")
            case "max_with_index" | "min_with_index":
                own = self._own("larger" if name.startswith("max") else "smaller")
                return call("tl.reduce", ast.Tuple(args[:2], ast.Load()), args[2], own)
            case "maximum_with_index" | "minimum_with_index":
                return ast.Call(self._own("larger" if name.startswith("max") else "smaller"), args, [])
            case "welford_reduce":
                return ast.Call(self._own("add_to_mean"), args[:4], [])
            case "welford":
                return call("tl.reduce", ast.Tuple(args[:3], ast.Load()), args[3], self._own("merge_means"))
            case "div_floor_integer":
                return ast.BinOp(args[0], ast.FloorDiv(), args[1])
            case "remainder_integer":
                a, b = (ast.unparse(arg) for arg in args)
                return expression(f"(({a}) % ({b}) + ({b})) % ({b})")
            case "select_one":
                x, mask = (ast.unparse(arg) for arg in args[:2])
                return expression(f"tl.sum(tl.where({mask}, {x}, 0), 1, keep_dims=True)")
            case "promote_to_tensor":
                return args[0]
        raise NotCleanError(f"private function: triton_helpers.{name}")

    def _own(self, name: str) -> ast.Name:
        self.helpers.add(name)
        return ast.Name(name, ast.Load())


class Simpler(ast.NodeTransformer):
    """Constants in place of one-element tensors, masks that are always true, casts of sizes and indices."""

    def __init__(self, sizes: set[str], indices: set[str]) -> None:
        self.sizes, self.indices = sizes, sizes | indices

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        whole = isinstance(node.slice, ast.Slice) and node.slice.lower is None and node.slice.upper is None
        return node.value if whole else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.BitAnd):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if is_true(one):
                    return other
        if isinstance(node.op, ast.Add) and isinstance(node.right, ast.Constant) and node.right.value == 0:
            return node.left
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        path = ".".join(path_of(node.func))
        if path == "tl.full":
            shape = ast.unparse(node.args[0])
            if shape in ("[]", "[1]", "[1, 1]", "[1, 1, 1]") or shape.endswith(".shape"):
                return _literal(node.args[1], ast.unparse(node.args[2]))
        if path == "tl.where" and is_true(node.args[0]):
            return node.args[1]
        if isinstance(node.func, ast.Attribute) and not path.startswith(("tl.", "libdevice.", "triton_helpers.")):
            return self._method(node, node.func)
        return node

    def _method(self, node: ast.Call, method: ast.Attribute) -> ast.expr:
        value, names = method.value, set(names_in(method.value))
        if method.attr == "broadcast_to" and isinstance(value, ast.Constant):
            return value
        if method.attr != "to":
            return node
        if is_number(value):
            return _literal(value, ast.unparse(node.args[0]))
        plain = all(isinstance(n, ast.Name | ast.BinOp | ast.UnaryOp | ast.Constant | ast.operator | ast.unaryop
                               | ast.expr_context) for n in ast.walk(value))  # fmt: skip
        if plain and names and names <= (self.sizes if "float" in ast.unparse(node.args[0]) else self.indices):
            return value
        twice = isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "to"
        return value if twice and ast.unparse(value).endswith(f".to({ast.unparse(node.args[0])})") else node


class Substitute(ast.NodeTransformer):
    """Names → copies of expressions."""

    def __init__(self, values: dict[str, ast.expr]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self.values.get(node.id)
        if value is None:
            return node
        if isinstance(node.ctx, ast.Store):
            return ast.Name(value.id, ast.Store()) if isinstance(value, ast.Name) else node
        return expression(ast.unparse(value))


def expression(text: str) -> ast.expr:
    """A fresh tree."""
    return ast.parse(text, mode="eval").body


def call(path: str, *args: ast.expr) -> ast.Call:
    return ast.Call(expression(path), list(args), [])


def is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def is_number(node: ast.expr) -> bool:
    """A literal, a negated one, or `float('inf')`."""
    if isinstance(node, ast.UnaryOp):
        return is_number(node.operand)
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "float"
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def names_in(node: ast.AST) -> Iterator[str]:
    """Names that an expression or statement reads, each as often as it does."""
    return (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))


def stored(node: ast.AST) -> Iterator[str]:
    """Names that it assigns."""
    return (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def blocks(body: list[ast.stmt]) -> Iterator[list[ast.stmt]]:
    """The body and the bodies of its loops, inner ones first."""
    for statement in body:
        if isinstance(statement, ast.For):
            yield from blocks(statement.body)
    yield body


def map_blocks(body: list[ast.stmt], change: Callable[[ast.stmt], ast.stmt | None]) -> None:
    """Replace every simple statement by `change` of it, or leave it out."""
    for block in blocks(body):
        block[:] = [s for old in block if (s := old if isinstance(old, ast.For) else change(old)) is not None]


def without_unused(body: list[ast.stmt]) -> None:
    """Drop assignments of names that nothing reads, until there are none."""
    while True:
        used = {name for statement in body for name in names_in(statement)}
        idle = [s for block in blocks(body) for s in block if isinstance(s, ast.Assign) and not set(stored(s)) & used]
        if not idle:
            return
        for block in blocks(body):
            block[:] = [s for s in block if s not in idle]


def _access(node: ast.Call) -> ast.Call:
    """A load or store without hints for the cache, and without a mask that is always true."""
    at = 1 if ast.unparse(node.func) == "tl.load" else 2
    node.args[0] = _ordered(node.args[0])
    args, keywords = node.args[:at], [k for k in node.keywords if k.arg == "other"]
    masks = [*node.args[at:], *(k.value for k in node.keywords if k.arg == "mask")]
    if not masks or is_true(masks[0]) or (isinstance(masks[0], ast.Constant) and masks[0].value is None):
        return ast.Call(node.func, args, [])
    return ast.Call(node.func, args, [ast.keyword("mask", masks[0]), *keywords])


def _ordered(address: ast.expr) -> ast.expr:
    """`p + (column + n * row)` → `p + row * n + column`: a person names the pointer first, then the longest stride."""
    terms = [_product(term) for term in _operands(address, ast.Add)]
    pointer, steps = terms[0], sorted(terms[1:], key=lambda term: -term.count("*"))
    return expression(" + ".join([pointer, *steps])) if all(steps) else address


def _product(term: ast.expr) -> str:
    """Its factors, indices before sizes."""
    factors = _operands(term, ast.Mult)
    simple = (ast.Name, ast.Constant, ast.Call)
    texts = [ast.unparse(f) if isinstance(f, simple) else f"({ast.unparse(f)})" for f in factors]
    if len(factors) == 1:
        return texts[0]
    return " * ".join(sorted(texts, key=lambda text: (text.isdigit(), text.startswith("ks"), text.endswith("numel"))))


def _operands(node: ast.expr, operator: type[ast.operator]) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, operator):
        return [*_operands(node.left, operator), *_operands(node.right, operator)]
    return [node]


def _literal(value: ast.expr, dtype: str) -> ast.expr:
    """A literal as a number of that type."""
    if isinstance(value, ast.Constant) and isinstance(value.value, int | float) and dtype.startswith("tl."):
        number = float(value.value) if "float" in dtype else value.value if dtype == "tl.int1" else int(value.value)
        return ast.Constant(number)
    return value
