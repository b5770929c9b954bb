"""Named tuples in kernels: `p.scale` becomes `p[2]`, so that kernels have no attributes but those of Triton's values,
and `Point(x, y)` becomes `(x, y)`.

Which class `p` is of is told by the fields that the kernel reads of it. Not covered: a kernel that reads only fields
named as something that Triton's values have (`p.shape`), or fields that stand at different places in several classes;
and a class that is called without all of its fields, or with names out of order.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping

from sandbox.kernels.language import MEMBERS
from sandbox.kernels.scopes import bound
from sandbox.kernels.signature import last_name
from sandbox.kernels.syntax import walk
from sandbox.kernels.text import Function, KernelError
from sandbox.plans.plan import Argument, Group

MAX_RECORDS = 64
"""Each is held against every variable of a kernel."""


def number_fields(tree: ast.Module, kernels: list[Function]) -> None:
    """Rewrite in place what `kernels` of the file read of their own variables, and the named tuples that they make."""
    known = list(records_of(tree))
    records = [dict(zip(fields, range(len(fields)), strict=True)) for _, fields in known]
    once = _bound_once(tree)
    made = {name: fields for name, fields in known if name in once}
    for kernel in kernels if 0 < len(records) <= MAX_RECORDS else ():
        try:
            own = bound(kernel)
            others = {name: fields for name, fields in made.items() if name not in own}
            rewriter = _Numbers(_places(kernel, own, records), others)
        except KernelError:
            continue  # refused by `kernels.source.check` if it is launched
        kernel.body = [rewriter.visit(statement) for statement in kernel.body]


class Fields:
    """Those of all named tuples of a file, however many it has."""

    def __init__(self, tree: ast.Module) -> None:
        self._records = {tuple(fields) for _, fields in records_of(tree)}
        self._names = {name for fields in self._records for name in fields}

    def check(self, argument: Argument) -> None:
        """Raises:
        KernelError: a named tuple has fields of a class of the file, and is of another one, whose order nobody knows.
        """
        if not isinstance(argument, Group):
            return
        for item in argument.items:
            self.check(item)
        if tuple(argument.fields) not in self._records and not self._names.isdisjoint(argument.fields):
            fields = ", ".join(argument.fields)
            raise KernelError(f"a named tuple has the fields {fields}; write its class out, with all of them in order")


class _Numbers(ast.NodeTransformer):
    def __init__(self, places: Mapping[int, int], made: Mapping[str, list[str]]) -> None:
        """Args:
        places: of each attribute that is a field, by the node's `id`.
        made: fields of each class that may be called.
        """
        self.places, self.made = places, made

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        fields = self.made.get(node.func.id) if isinstance(node.func, ast.Name) else None
        named = [keyword.arg for keyword in node.keywords]
        plain = not any(isinstance(item, ast.Starred) for item in node.args)
        if fields is None or not plain or fields[len(node.args) :] != named or len(node.args) > len(fields):
            return node
        items = [*node.args, *(keyword.value for keyword in node.keywords)]
        return ast.copy_location(ast.Tuple(items, ast.Load()), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if id(node) not in self.places:
            return node
        number = ast.copy_location(ast.Constant(self.places[id(node)]), node)
        return ast.copy_location(ast.Subscript(node.value, number, node.ctx), node)


def _places(kernel: Function, own: set[str], records: list[dict[str, int]]) -> dict[int, int]:
    """For each attribute that is a field, where that stands; by the node's `id`."""
    paths: dict[tuple[int, str], int] = {}
    of: dict[int, int] = {}
    """Node → number of the path that it is, equal for equal paths."""
    read: dict[int, list[ast.Attribute]] = {}
    for node in reversed([node for statement in kernel.body for node in walk(statement)]):  # from within
        if isinstance(node, ast.Name) and node.id in own:
            of[id(node)] = paths.setdefault((-1, node.id), len(paths))
        elif isinstance(node, ast.Attribute | ast.Subscript) and (owner := of.get(id(node.value))) is not None:
            step = node.attr if isinstance(node, ast.Attribute) else "[]"
            of[id(node)] = paths.setdefault((owner, step), len(paths))
            if isinstance(node, ast.Attribute):
                read.setdefault(owner, []).append(node)
    found: dict[int, int] = {}
    for nodes in read.values():
        names = {node.attr for node in nodes}
        fitting = [record for record in records if names <= record.keys()]
        for node in nodes if names - MEMBERS else ():
            places = {record[node.attr] for record in fitting}
            if len(places) == 1:
                found[id(node)] = places.pop()
    return found


def records_of(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Name and fields, in order, of each named tuple: classes, `P = namedtuple("P", "a b")`, `NamedTuple("P", [("a",
    int)])`; "" where it has no name.
    """
    names: dict[int, str] = {}
    for node in walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            names[id(node.value)] = node.targets[0].id
        if isinstance(node, ast.ClassDef) and any(last_name(base) == "NamedTuple" for base in node.bases):
            own = [s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
            yield node.name, own
        elif isinstance(node, ast.Call) and last_name(node.func) in ("namedtuple", "NamedTuple") and node.args[1:]:
            yield names.get(id(node), ""), _listed(node.args[1])


def _bound_once(tree: ast.Module) -> set[str]:
    """Names of the file that one statement alone binds, wherever that stands."""
    found: Counter[str] = Counter()
    for node in walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id] += 1
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] += 1
        elif isinstance(node, ast.alias):
            found[node.asname or node.name.partition(".")[0]] += 1
        elif isinstance(node, ast.arg):
            found[node.arg] += 1
    return {name for name, times in found.items() if times == 1}


def _listed(fields: ast.expr) -> list[str]:
    if isinstance(fields, ast.Constant) and isinstance(fields.value, str):
        return fields.value.replace(",", " ").split()
    items = fields.elts if isinstance(fields, ast.List | ast.Tuple) else []
    names = [item.elts[0] if isinstance(item, ast.Tuple) and item.elts else item for item in items]
    return [name.value for name in names if isinstance(name, ast.Constant) and isinstance(name.value, str)]
