"""A function that launches kernels beside PyTorch code for the same, as files: nothing was run yet."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from data_pipeline.pairing.guessed_inputs import Argument
from data_pipeline.pairing.idioms import table_entry, written_out
from data_pipeline.pairing.launchers import Launcher
from data_pipeline.pairing.namespace import Package
from data_pipeline.pairing.slicing import CANDIDATE_IMPORTS, REFERENCE_IMPORTS, Slice

Mechanism = Literal["torch", "sibling", "formula"]


class Pair(NamedTuple):
    """A launcher with a reference, before anything was run."""

    launcher: Launcher
    mechanism: Mechanism
    entry_point: str
    reference: str
    """Its file without `make_inputs`."""
    where: str
    """Where the reference comes from: path and line, or the operator of PyTorch."""
    arguments: tuple[tuple[Argument, ...], ...]
    """The same arguments under different beliefs about their shapes, best first."""
    solutions: tuple[str, ...]
    """Files to try, in order; none if the launcher cannot stand alone."""
    unsliceable: str = ""
    """Why there are none."""


def candidate_files(
    package: Package, launcher: Launcher, entry: str, names: Sequence[str],
    given: Sequence[tuple[str | None, str]], picks: bool,
) -> tuple[str, ...]:  # fmt: skip
    """Candidate files that define `entry(*names)`; `given`: (parameter of the launcher, name) for each."""
    in_order = all(
        p is None or (i < len(launcher.positional) and launcher.positional[i] == p) for i, (p, _) in enumerate(given)
    )
    direct = launcher.name == entry and [n for _, n in given] == list(names)
    found = []
    for pick in (None, 0) if picks else (None,):
        plain = direct and in_order and pick is None
        slice = Slice(package, CANDIDATE_IMPORTS, written_out, table_entry, () if plain else (entry,))
        local = slice.need(launcher.dotted, launcher.name)
        if not plain:
            inside = ", ".join(n if in_order or p is None else f"{p}={n}" for p, n in given)
            slice.statements.append(
                f"def {entry}({', '.join(names)}):\n    return {local}({inside})"
                + ("" if pick is None else f"[{pick}]")
            )
        found.append(slice.text())
    return tuple(found)


def reference_file(package: Package, dotted: str, name: str, entry: str, names: Sequence[str], call: str) -> str:
    """A file that defines `entry(*names)` by `call`, in which `{}` stands for the function's name in it.

    Raises:
        UnsliceableError: the function cannot stand alone, or is no plain PyTorch.
    """
    slice = Slice(package, REFERENCE_IMPORTS, written_out, None, (entry,))
    local = slice.need(dotted, name)
    slice.statements.append(f"def {entry}({', '.join(names)}):\n    return {call.format(local)}")
    return slice.text()


def identifiers(names: Sequence[str]) -> list[str]:
    """Argument names for a file: `self` becomes `input`, and none is used twice."""
    found: list[str] = []
    for name in names:
        name = "input" if name == "self" and "input" not in names else "x" if name == "self" else name
        found.append(name if name not in found else f"{name}_")
    return found
