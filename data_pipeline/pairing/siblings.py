"""References that a package has itself: `naive_attention` beside `attention`, `rms_norm_ref`, `reference/rms_norm.py`.

Two functions are siblings if their names are equal once the words that say how it is computed are gone, one launches
kernels and the other is plain PyTorch, and each takes what the other requires, by the names of the parameters.
"""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from data_pipeline.pairing.guessed_inputs import Argument, Kind, Shape
from data_pipeline.pairing.launchers import Launcher, Launchers, described
from data_pipeline.pairing.namespace import Package, SourceModule
from data_pipeline.pairing.parameters import kind_of, parameters
from data_pipeline.pairing.stated_shapes import stated

PLAIN_WORDS = frozenset("ref reference naive torch pytorch native eager golden fallback baseline".split())
"""What a reference is called."""
HOW_WORDS = PLAIN_WORDS | frozenset(
    "triton fused chunk chunked parallel recurrent forward fwd launcher impl fn op ops cuda kernel func simple liger "
    "flash apply py func interface wrapper iterative vectorized".split()
)
SAME_WORDS = {
    "bwd": "backward",
    "rmsnorm": "rms_norm",
    "layernorm": "layer_norm",
    "embd": "embedding",
    "attn": "attention",
}
REFERENCE_FILE = re.compile(r"(^|[/_])(reference|references|naive|ref|torch_ref|default)(/|_|\.py$)")
MENTION = re.compile(r"def \w*(ref|naive|torch|native|eager|golden|fallback|baseline)", re.I)
SAME_NAMES = {
    "inp": "x", "input": "x", "a": "x", "hiddenstates": "x", "inputs": "x", "input_": "x", "epsilon": "eps",
    "w": "weight",
    "smscale": "scale", "softmaxscale": "scale", "other": "y", "b": "y", "residuals": "residual", "queries": "q",
    "query": "q", "key": "k", "value": "v", "iscausal": "causal", "h0": "initialstate",
}  # fmt: skip
NEVER = re.compile(
    r"^(out|output|o|cu_seqlens|.*seqlens?|return_.*|inplace|dtype|device|out_dtype|training|.*_buf|ctx)$"
)
"""Optional parameters that are left alone."""


class Reference(NamedTuple):
    """A plain PyTorch function."""

    described: Launcher
    node: ast.FunctionDef
    module: SourceModule


class Match(NamedTuple):
    """A launcher with a reference and what to call both with."""

    launcher: Launcher
    reference: Launcher
    given: tuple[tuple[str, str], ...]
    """(parameter of the launcher, parameter of the reference) for each argument."""
    arguments: tuple[tuple[Argument, ...], ...]
    """The arguments under different beliefs about their shapes, best first."""
    several: bool
    """The reference may return more than the launcher: its first output is worth a try."""


def key(name: str) -> tuple[str, ...]:
    """What a function computes, by its name, without how."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_")
    plain = [part for word in words for part in SAME_WORDS.get(word, word).split("_")]
    return tuple(word for word in plain if word and word not in HOW_WORDS)


def matches(package: Package, launchers: Launchers) -> Iterator[Match]:
    """In the order of the launchers; the reference nearest in the tree first."""
    references: dict[tuple[str, ...], list[Reference]] = {}
    for reference in _references(package, launchers):
        references.setdefault(key(reference.described.name), []).append(reference)
    for launcher in launchers.all() if references else ():
        near = references.get(key(launcher.name), [])
        if not key(launcher.name):
            continue
        for reference in sorted(near, key=lambda r: _distance(launcher, r.described))[:3]:
            yield from _match(package, launcher, reference)


def _references(package: Package, launchers: Launchers) -> Iterator[Reference]:
    for dotted in sorted(package):
        path = package.path(dotted)
        whole = bool(REFERENCE_FILE.search(path))
        text = package.text(dotted)
        if "torch" not in text or not (whole or MENTION.search(text)):
            continue
        module = package.module(dotted)
        for node in module.functions():
            plain = set(node.name.lower().split("_")) & PLAIN_WORDS
            if (plain or whole) and not node.name.startswith("test") and not launchers.kernels(dotted, node.name):
                yield Reference(described(module, node, frozenset()), node, module)


def _distance(launcher: Launcher, reference: Launcher) -> tuple[int, int]:
    mine, theirs = launcher.where.split("/"), reference.where.split("/")
    shared = sum(a == b for a, b in zip(mine, theirs, strict=False))
    words = set(launcher.name.split("_")) ^ set(reference.name.split("_"))
    return -shared, len(words)


def _match(package: Package, launcher: Launcher, reference: Reference) -> Iterator[Match]:
    """With the optional tensors that both take, and without."""
    module = package.module(launcher.dotted)
    node = module.definitions[launcher.name]
    assert isinstance(node, ast.FunctionDef)
    mine, theirs = parameters(node), parameters(reference.node)
    partners = _partners(mine, theirs)
    if partners is None:
        return
    shapes = [stated(module, node), stated(reference.module, reference.node)]
    tried = set()
    for optional in (True, False):
        chosen = []
        for name, partner in partners.items():
            kind = kind_of(name, reference.node, node, partner)
            required = theirs[name] is None or mine[partner] is None
            if required or (optional and kind == "tensor" and not NEVER.match(name) and not NEVER.match(partner)):
                chosen.append((name, partner, kind))
        names = tuple(name for name, _, _ in chosen)
        if names not in tried and any(kind == "tensor" for _, _, kind in chosen):
            tried.add(names)
            given = tuple((partner, name) for name, partner, _ in chosen)
            believed = _alternatives(chosen, shapes, theirs, mine)
            yield Match(launcher, reference.described, given, believed, _returns_several(reference.node))


def _partners(mine: dict[str, str | None], theirs: dict[str, str | None]) -> dict[str, str] | None:
    """Parameter of the reference → parameter of the launcher; None if either requires more."""
    by_name = {_same(name): name for name in mine}
    places = list(mine)
    found: dict[str, str] = {}
    for position, name in enumerate(theirs):
        partner = name if name in mine else by_name.get(_same(name))
        if partner is None and theirs[name] is None and len(mine) == len(theirs):
            partner = places[position]
        if partner is not None and partner not in found.values():
            found[name] = partner
    missing = any(default is None and name not in found for name, default in theirs.items())
    unused = any(default is None and name not in found.values() for name, default in mine.items())
    return None if missing or unused else found


def _returns_several(node: ast.FunctionDef) -> bool:
    return any(isinstance(n, ast.Return) and isinstance(n.value, ast.Tuple) for n in ast.walk(node))


def _alternatives(
    chosen: list[tuple[str, str, Kind]], shapes: list[dict[str, Shape]], theirs: dict[str, str | None],
    mine: dict[str, str | None],
) -> tuple[tuple[Argument, ...], ...]:  # fmt: skip
    both = shapes[1] | {name: shapes[0][partner] for name, partner, _ in chosen if partner in shapes[0]}
    found = []
    for belief in (both, shapes[1], {}):
        arguments = []
        for name, partner, kind in chosen:
            literal = theirs[name] or mine[partner] or ""
            arguments.append(Argument(name, kind, belief.get(name), literal if literal not in ("None", "...") else ""))
        found.append(tuple(arguments))
    return tuple(dict.fromkeys(found))


def _same(name: str) -> str:
    plain = name.lower().replace("_", "")
    return SAME_NAMES.get(plain, plain)
