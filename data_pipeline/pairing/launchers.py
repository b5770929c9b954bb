"""Which functions of a package launch Triton kernels, and which are plain PyTorch: read from who uses whom."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from data_pipeline.pairing.namespace import Definition, Inside, Package, SourceModule
from data_pipeline.pairing.rewriting import is_jit

OTHER_VENDORS = re.compile(
    r"(^|/)_?(ascend|cambricon|aipu|arm|hygon|iluvatar|kunlunxin|metax|mthreads|nvidia|sunrise|thead|tsingmicro|amd|xpu|"
    r"npu|mlu|musa|enflame|spacemit|dlinfer|intel|backends|testing|tests?|benchmarks?)(/|$)"
)
"""Folders of code for other hardware, and of code that tests or measures."""
SUMMARY_CHARS = 300


class Launcher(NamedTuple):
    """A top-level function through which kernels are launched."""

    dotted: str
    name: str
    where: str
    """Path and line."""
    positional: tuple[str, ...]
    defaults: int
    """How many of `positional` have one, from the end."""
    keywords: tuple[str, ...]
    starred: bool
    """Takes `*args`."""
    summary: str
    """First sentence of its docstring."""
    kernels: frozenset[tuple[str, str]]
    """(module, name) of the kernels that it reaches."""


class Launchers:
    """Answers about a package; each definition is looked at once."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self._direct: dict[tuple[str, str], tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]] = {}

    def all(self) -> Iterator[Launcher]:
        """By path and line; not those of other vendors, nor those that change an argument (`…_`, `…_out`)."""
        for dotted in sorted(self.package):
            if "triton" not in self.package.text(dotted) and "kernel" not in self.package.text(dotted):
                continue
            module = self.package.module(dotted)
            if OTHER_VENDORS.search(module.path.rpartition("/")[0]):
                continue
            for node in module.functions():
                if is_jit(self.package, module, node) or node.name.endswith(("_", "_out")):
                    continue
                kernels = self.kernels(dotted, node.name)
                if kernels:
                    yield described(module, node, kernels)

    def kernels(self, dotted: str, name: str) -> frozenset[tuple[str, str]]:
        """Kernels that a definition uses, directly or through others of the package; their helpers too."""
        found: set[tuple[str, str]] = set()
        queue, seen = [(dotted, name)], set()
        while queue:
            key = queue.pop()
            if key in seen:
                continue
            seen.add(key)
            kernels, uses = self._uses(*key)
            found |= kernels
            queue += uses | kernels
        return frozenset(found)

    def _uses(self, dotted: str, name: str) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
        key = (dotted, name)
        if key not in self._direct:
            self._direct[key] = self._look(dotted, name)
        return self._direct[key]

    def _look(self, dotted: str, name: str) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
        meaning = self.package.resolve(dotted, name)
        kernels: set[tuple[str, str]] = set()
        uses: set[tuple[str, str]] = set()
        if not isinstance(meaning, Definition):
            return frozenset(), frozenset()
        module = meaning.module
        local: dict[str, tuple[str, str]] = {}
        for node in ast.walk(meaning.node):
            if isinstance(node, ast.Import | ast.ImportFrom):
                local |= module.import_names(node)
        for node in ast.walk(meaning.node):
            used = None
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used = (
                    self.package.imported(*local[node.id])
                    if node.id in local
                    else self.package.resolve(module.dotted, node.id)
                )
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                outer = self.package.resolve(module.dotted, node.value.id)
                used = self.package.resolve(outer.dotted, node.attr) if isinstance(outer, Inside) else None
            if isinstance(used, Definition) and used.node is not meaning.node:
                key = (used.module.dotted, used.name)
                (kernels if is_jit(self.package, used.module, used.node) else uses).add(key)
        return frozenset(kernels), frozenset(uses)


def described(module: SourceModule, node: ast.FunctionDef, kernels: frozenset[tuple[str, str]]) -> Launcher:
    """What there is to know of a function from its text."""
    text = (ast.get_docstring(node) or "").strip().split("\n\n")[0]
    sentence = " ".join(text.split()).split(". ")[0].rstrip(".")
    positional = tuple(a.arg for a in [*node.args.posonlyargs, *node.args.args])
    return Launcher(
        module.dotted, node.name, f"{module.path}:{node.lineno}", positional, len(node.args.defaults),
        tuple(a.arg for a in node.args.kwonlyargs), node.args.vararg is not None,
        f"{sentence}." if 10 < len(sentence) < SUMMARY_CHARS and not sentence.lower().startswith("arg") else "",
        kernels,
    )  # fmt: skip
