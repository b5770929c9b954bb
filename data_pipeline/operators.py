"""Which operators a PyTorch program applies, whatever the names, the order and the style: `a @ b`, `torch.matmul(a, b)`
and an `nn.Linear`'s forward all count as what they do. For telling whether a task is a benchmark's in other words.

Read from the syntax tree; nothing is executed. Plumbing (casts, views, allocation) does not count.
"""

import ast
from collections import Counter
from collections.abc import Iterator

from sandbox.kernels.syntax import parsed

Operators = tuple[tuple[str, int], ...]
"""Operator and how often it occurs in the text, sorted."""
BINARY = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.MatMult: "matmul", ast.Pow: "pow",
    ast.Mod: "remainder", ast.FloorDiv: "floor_divide",
}  # fmt: skip
PLUMBING = frozenset(
    """
    append arange as_strided bool cat chunk clone contiguous copy_ cpu cuda detach device dim double empty empty_like
    enumerate eval expand expand_as flatten float full full_like half int int64 isinstance item items len list long
    manual_seed new_empty new_zeros no_grad numel ones ones_like parameter permute print randn range register_buffer
    register_parameter reshape sequential set_grad_enabled shape size split squeeze stack stride super tensor to tolist
    train transpose tuple type_as unsqueeze values view view_as zeros zeros_like zip
    """.split()
)
SAME = {
    "mm": "matmul", "bmm": "matmul", "einsum": "matmul", "dot": "matmul", "addmm": "matmul add",
    "baddbmm": "matmul add", "linear": "matmul", "multiply": "mul", "divide": "div", "true_divide": "div",
    "subtract": "sub", "absolute": "abs", "negative": "neg", "square": "pow", "amax": "max", "amin": "min",
    "rmsnorm": "rms_norm", "layernorm": "layer_norm", "groupnorm": "group_norm", "batchnorm1d": "batch_norm",
    "batchnorm2d": "batch_norm", "batchnorm3d": "batch_norm", "swish": "silu", "logsoftmax": "log_softmax",
    "leakyrelu": "leaky_relu", "crossentropyloss": "cross_entropy", "clip": "clamp", "clamp_min": "clamp",
    "clamp_max": "clamp", "concat": "cat", "gather": "index", "index_select": "index", "take": "index",
}  # fmt: skip


def operators(code: str, entry_point: str) -> Operators:
    """Of `entry_point` and the functions of the file that it calls; for a class, its constructor and `forward`.

    () if the file does not parse, defines no such thing, or applies no operator.
    """
    try:
        tree = parsed(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    known = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    if entry_point not in known:
        return ()
    counts: Counter[str] = Counter()
    queue, seen = [entry_point], set[str]()
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        queue += [n.id for n in ast.walk(known[name]) if isinstance(n, ast.Name) and n.id in known]
        counts.update(word for op in _of(known[name]) for word in SAME.get(op.lower(), op.lower()).split())
    return tuple(sorted((name, count) for name, count in counts.items() if name not in PLUMBING))


def _of(node: ast.AST) -> list[str]:
    modules = dict(_modules(node))  # self.fc = nn.Linear(…): its use is what counts, not its construction
    built = {id(call) for call in modules.values()}
    found = []
    for child in ast.walk(node):
        if isinstance(child, ast.BinOp | ast.AugAssign) and type(child.op) in BINARY:
            found.append(BINARY[type(child.op)])
        elif isinstance(child, ast.UnaryOp) and isinstance(child.op, ast.USub):
            found += [] if isinstance(child.operand, ast.Constant) else ["neg"]
        elif isinstance(child, ast.Subscript) and isinstance(child.slice, ast.Name):
            found.append("index")
        elif isinstance(child, ast.Call) and id(child) not in built and isinstance(child.func, ast.Attribute):
            made = modules.get(child.func.attr)  # plain names are Python's or the file's own
            function = child.func if made is None else made.func
            found.append(function.attr if isinstance(function, ast.Attribute) else "")
    return [name for name in found if name and not name.startswith("__")]


def _modules(node: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.walk(node):
        if isinstance(child, ast.Assign) and isinstance(child.value, ast.Call):
            for target in child.targets:
                if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                    yield target.attr, child.value
