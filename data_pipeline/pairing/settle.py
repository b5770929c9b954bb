"""Harvested kernels become tasks: a function that launches kernels, beside PyTorch code that computes the same.

Three mechanisms find a reference:
- `torch`: the function is named like an operator of PyTorch and takes the same arguments, as in FlagGems;
- `formula`: its name and arguments are those of an operator that PyTorch spells as a short expression (`formulas`);
- `sibling`: the package has the same function in PyTorch, named `…_ref`, `naive_…`, `…_torch` or the like.
Both files are sliced out of the package, inputs are guessed from names (`guessed_inputs`), and nothing is believed: a
task is proposed only if its reference passes the quality check on the guess, and a solution only if the sandbox passes
it; a right reference whose candidate does not pass or cannot stand alone is a task without a solution.
"""

import hashlib
import keyword
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from data_pipeline.archives import python_sources
from data_pipeline.families import family_of_name
from data_pipeline.pairing.formulas import readings
from data_pipeline.pairing.guessed_inputs import Inputs, hypotheses
from data_pipeline.pairing.launchers import Launcher, Launchers
from data_pipeline.pairing.namespace import Package
from data_pipeline.pairing.pair import Pair, candidate_files, identifiers, reference_file
from data_pipeline.pairing.rewriting import UnsliceableError
from data_pipeline.pairing.siblings import Match, key, matches
from data_pipeline.pairing.torch_pairs import torch_pairs
from data_pipeline.sources import Checks
from data_pipeline.task import Provenance, Task

TOGETHER = 6
"""Hypotheses examined at once."""
ACCEPTED = 3
"""Hypotheses that a candidate is tried on."""


class Outcome(NamedTuple):
    """What became of a pair."""

    pair: Pair
    task: Task | None
    """None: no guessed inputs made a task of it."""
    solution: str
    """Empty: the task goes without."""
    reason: str
    """Why there is no task, or no solution."""


def pairs(path: Path) -> Iterator[Pair]:
    """All launchers of an archive for which a reference was found, in the order of paths and lines; nothing is run."""
    package = Package(python_sources(path), python_sources(path, ".yaml"))
    launchers = Launchers(package)
    for launcher in launchers.all():
        yield from torch_pairs(package, launcher)
        yield from _formula_pairs(package, launcher)
    for match in matches(package, launchers):
        yield from _sibling_pairs(package, match)


def settle(pair: Pair, source: Provenance, label: str, checks: Checks) -> Outcome:
    """Find inputs on which the reference makes a task, then a solution that passes on it."""
    accepted: list[Task] = []
    reason = pair.unsliceable or "no tensor among its arguments"
    for arguments in pair.arguments:
        proposed = (_task(pair, source, label, inputs) for inputs in hypotheses(arguments))
        good: list[Task] = []
        while not good and (batch := list(islice(proposed, TOGETHER))):
            answers = checks.worth_posing(batch)
            good = [task for task, answer in zip(batch, answers, strict=True) if answer is None]
            reason = answers[0] or reason
        accepted += good[: ACCEPTED - len(accepted)] if len(pair.arguments) == 1 else good[:2]
    if not accepted:
        return Outcome(pair, None, "", reason)
    failed = pair.unsliceable
    for solution in pair.solutions:
        for task in accepted:
            rejection = checks.passes(task, solution)
            if rejection is None:
                return Outcome(pair, task, solution, "")
            failed = failed or rejection
    return Outcome(pair, accepted[0], "", failed)


def settled(path: Path, source: Provenance, label: str, checks: Checks) -> Iterator[Outcome]:
    """One outcome for each reference with its arguments, in order: the first launcher that passes, else the first task,
    else why there is none.

    Args:
        path: of the archive.
        source: where it is from; `path` is filled in here.
        label: what the ids of the tasks begin with.
        checks: asked from `checks.threads` threads at once.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[Pair]] = {}
    for pair in pairs(path):
        names = tuple(argument.name for belief in pair.arguments[:1] for argument in belief)
        groups.setdefault((pair.where, names), []).append(pair)
    with ThreadPoolExecutor(checks.threads, thread_name_prefix="pairing") as threads:
        yield from threads.map(partial(_best, source=source, label=label, checks=checks), groups.values())


def _best(group: list[Pair], source: Provenance, label: str, checks: Checks) -> Outcome:
    best: Outcome | None = None
    for pair in group:
        outcome = settle(pair, source, label, checks)
        if best is None or (outcome.task is not None and (best.task is None or outcome.solution)):
            best = outcome
        if best.solution:
            break
    assert best is not None
    return best


def _sibling_pairs(package: Package, match: Match) -> Iterator[Pair]:
    """One for the reference as it is, and one for its first output where it returns several."""
    launcher, reference = match.launcher, match.reference
    names = identifiers([name for _, name in match.given])
    entry = "_".join(key(launcher.name))
    entry = f"{entry}_op" if not entry.isidentifier() or keyword.iskeyword(entry) or entry in names else entry
    given = [(partner, name) for (partner, _), name in zip(match.given, names, strict=True)]
    calls = ", ".join(f"{theirs}={name}" for (_, theirs), name in zip(match.given, names, strict=True))
    try:
        solutions, why = candidate_files(package, launcher, entry, names, given, True), ""
    except UnsliceableError as error:
        solutions, why = (), str(error)
    arguments = tuple(
        tuple(a._replace(name=n) for a, n in zip(belief, names, strict=True)) for belief in match.arguments
    )
    for pick in ("", "[0]") if match.several else ("",):
        try:
            file = reference_file(package, reference.dotted, reference.name, entry, names, f"{{}}({calls}){pick}")
        except UnsliceableError as error:
            yield Pair(launcher, "sibling", entry, "", reference.where, (), solutions, f"reference: {error}")
            return
        yield Pair(launcher, "sibling", entry, file, reference.where, arguments, solutions, why)


def _formula_pairs(package: Package, launcher: Launcher) -> Iterator[Pair]:
    for reading in readings(launcher):
        entry, names = launcher.name, list(reading.names)
        expression = reading.formula.expression
        for argument in reading.formula.arguments:
            if argument.name not in names:  # the launcher's own default holds
                literal = {"causal": "False", "scale": "None"}.get(argument.name, argument.literal)
                expression = re.sub(rf"(?<!\w){argument.name}(?![\w(=])", literal, expression)
        reference = f"import torch\n\n\ndef {entry}({', '.join(names)}):\n    return {expression}\n"
        arguments = tuple(a for a in reading.formula.arguments if a.name in names)
        try:
            solutions, why = candidate_files(package, launcher, entry, names, reading.given, True), ""
        except UnsliceableError as error:
            solutions, why = (), str(error)
        yield Pair(
            launcher, "formula", entry, reference, f"formula {reading.formula.expression}", (arguments,), solutions, why
        )


def _task(pair: Pair, source: Provenance, label: str, inputs: Inputs) -> Task:
    reference = f"{pair.reference.rstrip()}\n\n\n{inputs.source}"
    digest = hashlib.sha256((reference + pair.launcher.where).encode()).hexdigest()[:16]
    return Task(
        id=f"{label}-{digest}",
        family=family_of_name(pair.entry_point),
        source=source.model_copy(update={"path": f"{pair.launcher.where} with {pair.where}"}),
        description=pair.launcher.summary or f"`{pair.entry_point}`, as `{pair.where}` computes it.",
        reference=reference,
        entry_point=pair.entry_point,
        cases=inputs.cases,
        hidden_cases=inputs.hidden,
        tolerance="TT" if any("tl.dot(" in s for s in pair.solutions) else "T32",
        difficulty=min(6, 1 + reference.count("\n") // 20),
    )  # fmt: skip
