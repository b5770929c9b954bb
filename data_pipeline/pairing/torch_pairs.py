"""Launchers named like an operator of PyTorch that take its arguments in its order."""

import re
from collections.abc import Iterator, Sequence

from data_pipeline.pairing.guessed_inputs import Argument, Kind
from data_pipeline.pairing.launchers import Launcher
from data_pipeline.pairing.namespace import Package
from data_pipeline.pairing.pair import Pair, candidate_files, identifiers
from data_pipeline.pairing.rewriting import UnsliceableError
from data_pipeline.pairing.torch_operators import Operator, SchemaArgument, operators

KINDS: dict[str, Kind] = {
    "Tensor": "tensor", "Tensor?": "tensor", "Tensor[]": "tensors", "int": "int", "SymInt": "int", "float": "float",
    "Scalar": "float", "bool": "bool", "int?": "int", "SymInt?": "int", "float?": "float", "Scalar?": "float",
}  # fmt: skip
WANTED = frozenset({"dim", "dims", "axis", "min", "max"})
"""Optional arguments that make another operator of it: given a value although they have one."""


def torch_pairs(package: Package, launcher: Launcher) -> Iterator[Pair]:
    """Those of one launcher: with the optional tensors and dimensions given, and without."""
    operator = _operator(launcher)
    if operator is None:
        return
    tried = set()
    for optional in (True, False):
        chosen = _chosen(launcher, operator, optional)
        if not chosen or tuple(chosen) in tried:
            continue
        tried.add(tuple(chosen))
        arguments = tuple(_argument(a) for a in chosen)
        names = identifiers([a.name for a in arguments])
        arguments = tuple(a._replace(name=n) for a, n in zip(arguments, names, strict=True))
        call = _operator_call(operator, chosen, names)
        entry = launcher.name
        reference = f"import torch\n\n\ndef {entry}({', '.join(names)}):\n    return {call}\n"
        given = [
            (launcher.positional[i] if launcher.positional else None, n) for i, n in _places(operator, chosen, names)
        ]
        try:
            solutions, why = candidate_files(package, launcher, entry, names, given, False), ""
        except UnsliceableError as error:
            solutions, why = (), str(error)
        yield Pair(launcher, "torch", entry, reference, operator.call, (arguments,), solutions, why)


def _operator(launcher: Launcher) -> Operator | None:
    """The overload that a launcher's name and arguments mean."""
    name = launcher.name.lower()
    best: tuple[int, Operator] | None = None
    for base in {name, *(name.rsplit("_", n)[0] for n in (1, 2) if name.count("_") >= n)}:
        for operator in operators().get(base, ()):
            full = f"{base}_{operator.overload}".lower().rstrip("_")
            if base != name and not full.startswith(name):
                continue
            score = _agreement(launcher, operator)
            if score is not None and (best is None or score > best[0]):
                best = (score, operator)
    return None if best is None else best[1]


def _agreement(launcher: Launcher, operator: Operator) -> int | None:
    """None if the launcher cannot take the operator's arguments in their order; more is better."""
    schema = [a for a in operator.arguments if not a.keyword]
    if not schema or not any(a.type.startswith("Tensor") for a in schema):
        return None
    if launcher.starred and not launcher.positional:
        return -len(schema)
    required = len(launcher.positional) - launcher.defaults
    needed = sum(not a.default for a in schema)
    if required > len(schema) or len(launcher.positional) < needed:
        return None
    score = -abs(len(schema) - len(launcher.positional))
    for mine, theirs in zip(launcher.positional, schema, strict=False):
        if theirs.type.startswith("Tensor"):
            continue
        if not _plain(mine).startswith(_plain(theirs.name)):  # `mini` is a min that shadows no builtin
            return None
        score += 2
    return score


def _chosen(launcher: Launcher, operator: Operator, optional: bool) -> list[SchemaArgument]:
    schema = [a for a in operator.arguments if not a.keyword]
    if launcher.positional:
        schema = schema[: len(launcher.positional)]
    required = len(launcher.positional) - launcher.defaults if not launcher.starred else 0
    found = []
    for position, argument in enumerate(schema):
        wanted = optional and (argument.type == "Tensor?" or argument.name in WANTED)
        if not argument.default or position < required or wanted:
            found.append(argument)
    return found


def _argument(argument: SchemaArgument) -> Argument:
    kind = KINDS.get(argument.type, "ints" if re.match(r"(Sym)?[iI]nt\[", argument.type) else "other")
    default = argument.default if argument.default not in ("", "None") else ""
    if not re.fullmatch(r"-?[\d.e-]+|True|False|'\w*'|\[[\d, ]*\]", default):
        default = ""
    return Argument(argument.name, kind, None, default)


def _operator_call(operator: Operator, chosen: Sequence[SchemaArgument], names: Sequence[str]) -> str:
    parts, skipped = [], False
    places = dict(zip((a.name for a in chosen), names, strict=True))
    for argument in operator.arguments:
        if argument.name in places:
            parts.append(
                f"{argument.name}={places[argument.name]}" if skipped or argument.keyword else places[argument.name]
            )
        else:
            skipped = True
    return f"{operator.call}({', '.join(parts)})"


def _places(operator: Operator, chosen: Sequence[SchemaArgument], names: Sequence[str]) -> list[tuple[int, str]]:
    order = [a.name for a in operator.arguments]
    return [(order.index(a.name), n) for a, n in zip(chosen, names, strict=True)]


def _plain(name: str) -> str:
    return name.lower().replace("_", "")
