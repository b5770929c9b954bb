"""Shapes that a function's text states: in its docstring (`[B, T, H, K]`), or by unpacking (`M, N = x.shape`)."""

import ast
import re

from data_pipeline.pairing.guessed_inputs import Shape
from data_pipeline.pairing.namespace import SourceModule

DOCUMENTED = re.compile(
    r"^[ \t]*[`*-]*[ ]*(?P<name>\w+)[`*]*[ ]*(?:\([^)\n]*\))?[ ]*:"
    r"(?P<text>(?:(?!\n[ \t]*\w+[ ]*(?:\([^)\n]*\))?[ ]*:).){0,240}?)"
    r"[\[(](?P<dims>(?:\.\.\.|\w+)(?:[ ]*[,x][ ]*\w+)*,?)[\])]",
    re.M | re.S,
)
COMMENTED = re.compile(
    r"^[ \t]*(?P<name>\w+)(?:[ ]*:[^,#\n]*)?,?[ \t]*#.*?[\[(](?P<dims>(?:\.\.\.|\w+)(?:[ ]*,[ ]*\w+)*,?)[\])]", re.M
)
"""`q: torch.Tensor,  # [B, T, H, K]` in a signature."""
SYMBOLS = {
    "batch": "B", "batch_size": "B", "bsz": "B", "bs": "B", "n_batch": "B", "seq_len": "T", "seqlen": "T", "seq": "T",
    "l": "T", "length": "T", "s": "T", "sequence_length": "T", "q_len": "T", "seqlen_q": "T", "num_tokens": "T",
    "tokens": "T",
    "num_heads": "H", "n_heads": "H", "nheads": "H", "heads": "H", "head": "H", "num_head": "H", "head_dim": "D",
    "headdim": "D", "head_size": "D", "d_head": "D", "dim": "D", "dstate": "K", "hidden_size": "N", "hidden": "N",
    "hidden_dim": "N",
    "d_model": "N", "vocab_size": "N", "nrows": "M", "n_rows": "M", "ncols": "N", "n_cols": "N", "bt": "M",
    "chunk": "16",
}  # fmt: skip
MOST_DIMS = 5


def stated(module: SourceModule, node: ast.FunctionDef) -> dict[str, Shape]:
    """Parameter → shape; sizes are symbols in capitals, or numbers."""
    names = {a.arg for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]}
    header = "".join(module.lines[node.lineno - 1 : node.body[0].lineno])
    found = _unpacked(node)
    for pattern, text in ((COMMENTED, header), (DOCUMENTED, ast.get_docstring(node) or "")):
        for match in pattern.finditer(text):
            dims = [d.strip() for d in re.split(r"[,x]", match["dims"]) if d.strip()]
            if match["name"] in names and 0 < len(dims) <= MOST_DIMS and _are_sizes(dims):
                found[match["name"]] = tuple(_symbol(d) for d in dims)
    return {name: shape for name, shape in found.items() if name in names}


def _unpacked(node: ast.FunctionDef) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for child in ast.walk(node):
        if not isinstance(child, ast.Assign) or not isinstance(child.targets[0], ast.Tuple):
            continue
        name = _shape_of(child.value)
        targets = child.targets[0].elts
        if name and name not in found and all(isinstance(t, ast.Name) for t in targets) and len(targets) <= MOST_DIMS:
            sizes = [t.id if isinstance(t, ast.Name) else "" for t in targets]
            found[name] = tuple(_symbol(s if s.strip("_") else f"U{n}") for n, s in enumerate(sizes))
        elif (
            isinstance(child.value, ast.Tuple)
            and len(child.value.elts)
            and isinstance(child.value.elts[0], ast.Starred)
        ):
            name = _shape_of(child.value.elts[0].value)
            count = len(targets) - len(child.value.elts) + 1
            if name and name not in found and 0 < count <= MOST_DIMS:
                found[name] = tuple(_symbol(t.id) for t in targets[:count] if isinstance(t, ast.Name))
            for target, value in zip(targets[count:], child.value.elts[1:], strict=False):
                other = _shape_of(value.value) if isinstance(value, ast.Subscript) else ""
                if name in found and other and other not in found and isinstance(target, ast.Name):
                    found[other] = (*found[name][:-1], _symbol(target.id))
    return found


def _shape_of(node: ast.expr) -> str:
    """The name in `name.shape` or `name.size()`."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "size"
        and not node.args
    ):
        node = ast.Attribute(node.func.value, "shape", ast.Load())
    if isinstance(node, ast.Attribute) and node.attr == "shape" and isinstance(node.value, ast.Name):
        return node.value.id
    return ""


def _are_sizes(dims: list[str]) -> bool:
    words = {"optional", "int", "float", "bool", "str", "default", "torch", "tensor", "none", "true", "false", "e", "i"}
    return not any(d.lower() in words for d in dims) and (len(dims) > 1 or dims[0].isupper() or dims[0] in SYMBOLS)


def _symbol(name: str) -> str:
    if name == "...":
        return "M"
    if name.isdigit():
        return name
    return SYMBOLS.get(name.lower().strip("_"), re.sub(r"\W", "", name.upper()))
