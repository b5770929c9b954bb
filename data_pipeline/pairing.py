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
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple

from data_pipeline.archives import Archive, python_sources
from data_pipeline.formulas import readings
from data_pipeline.guessed_inputs import Argument, Inputs, Kind, hypotheses
from data_pipeline.idioms import table_entry, written_out
from data_pipeline.launchers import Launcher, Launchers
from data_pipeline.namespace import Package
from data_pipeline.siblings import Match, key, matches
from data_pipeline.slicing import CANDIDATE_IMPORTS, REFERENCE_IMPORTS, Slice, UnsliceableError
from data_pipeline.task import Provenance, Task
from data_pipeline.torch_operators import Operator, SchemaArgument, operators

Mechanism = Literal["torch", "sibling", "formula"]
Probe = Callable[[list[Task]], list[str | None]]
"""Says of each task why it is not worth posing, None if it is. Runs third-party references: isolated."""
Judge = Callable[[Task, str], str | None]
"""Says why a solution does not pass on a task, None if it does."""
TOGETHER = 6
"""Hypotheses examined at once."""
ACCEPTED = 3
"""Hypotheses that a candidate is tried on."""
KINDS: dict[str, Kind] = {
    "Tensor": "tensor", "Tensor?": "tensor", "Tensor[]": "tensors", "int": "int", "SymInt": "int", "float": "float",
    "Scalar": "float", "bool": "bool", "int?": "int", "SymInt?": "int", "float?": "float", "Scalar?": "float",
}  # fmt: skip
WANTED = frozenset({"dim", "dims", "axis"})
"""Optional arguments that make another operator of it: given a value although they have one."""


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


class Outcome(NamedTuple):
    """What became of a pair."""

    pair: Pair
    task: Task | None
    """None: no guessed inputs made a task of it."""
    solution: str
    """Empty: the task goes without."""
    reason: str
    """Why there is no task, or no solution."""


def pairs(archive: Archive) -> Iterator[Pair]:
    """All launchers of a package for which a reference was found, in the order of paths and lines; nothing is run."""
    package = Package(python_sources(archive.path), python_sources(archive.path, ".yaml"))
    launchers = Launchers(package)
    for launcher in launchers.all():
        yield from _torch_pairs(package, launcher)
        yield from _formula_pairs(package, launcher)
    for match in matches(package, launchers):
        yield from _sibling_pairs(package, match)


def settle(archive: Archive, pair: Pair, probe: Probe, judge: Judge) -> Outcome:
    """Find inputs on which the reference makes a task, then a solution that passes on it."""
    accepted: list[Task] = []
    reason = pair.unsliceable or "no tensor among its arguments"
    for arguments in pair.arguments:
        proposed = (_task(archive, pair, inputs) for inputs in hypotheses(arguments))
        good: list[Task] = []
        while not good and (batch := list(islice(proposed, TOGETHER))):
            answers = probe(batch)
            good = [task for task, answer in zip(batch, answers, strict=True) if answer is None]
            reason = answers[0] or reason
        accepted += good[: ACCEPTED - len(accepted)] if len(pair.arguments) == 1 else good[:2]
    if not accepted:
        return Outcome(pair, None, "", reason)
    failed = pair.unsliceable
    for solution in pair.solutions:
        for task in accepted:
            rejection = judge(task, solution)
            if rejection is None:
                return Outcome(pair, task, solution, "")
            failed = failed or rejection
    return Outcome(pair, accepted[0], "", failed)


def settled(archive: Archive, probe: Probe, judge: Judge) -> Iterator[Outcome]:
    """One outcome for each reference with its arguments: the first launcher that passes, else the first task, else why
    there is none.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[Pair]] = {}
    for pair in pairs(archive):
        names = tuple(argument.name for belief in pair.arguments[:1] for argument in belief)
        groups.setdefault((pair.where, names), []).append(pair)
    for group in groups.values():
        best: Outcome | None = None
        for pair in group:
            outcome = settle(archive, pair, probe, judge)
            if best is None or (outcome.task is not None and (best.task is None or outcome.solution)):
                best = outcome
            if best.solution:
                break
        assert best is not None
        yield best


def _torch_pairs(package: Package, launcher: Launcher) -> Iterator[Pair]:
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
        names = _identifiers([a.name for a in arguments])
        arguments = tuple(a._replace(name=n) for a, n in zip(arguments, names, strict=True))
        call = _operator_call(operator, chosen, names)
        entry = launcher.name
        reference = f"import torch\n\n\ndef {entry}({', '.join(names)}):\n    return {call}\n"
        given = [
            (launcher.positional[i] if launcher.positional else None, n) for i, n in _places(operator, chosen, names)
        ]
        try:
            solutions, why = _files(package, launcher, entry, names, given, False), ""
        except UnsliceableError as error:
            solutions, why = (), str(error)
        yield Pair(launcher, "torch", entry, reference, operator.call, (arguments,), solutions, why)


def _sibling_pairs(package: Package, match: Match) -> Iterator[Pair]:
    """One for the reference as it is, one for its first output alone."""
    launcher, reference = match.launcher, match.reference
    names = _identifiers([name for _, name in match.given])
    entry = "_".join(key(launcher.name))
    entry = f"{entry}_op" if not entry.isidentifier() or keyword.iskeyword(entry) or entry in names else entry
    given = [(partner, name) for (partner, _), name in zip(match.given, names, strict=True)]
    calls = ", ".join(f"{theirs}={name}" for (_, theirs), name in zip(match.given, names, strict=True))
    try:
        solutions, why = _files(package, launcher, entry, names, given, True), ""
    except UnsliceableError as error:
        solutions, why = (), str(error)
    arguments = tuple(
        tuple(a._replace(name=n) for a, n in zip(belief, names, strict=True)) for belief in match.arguments
    )
    for pick in ("", "[0]"):
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
            solutions, why = _files(package, launcher, entry, names, reading.given, True), ""
        except UnsliceableError as error:
            solutions, why = (), str(error)
        yield Pair(
            launcher, "formula", entry, reference, f"formula {reading.formula.expression}", (arguments,), solutions, why
        )


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
        if _plain(mine) != _plain(theirs.name):
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


def _files(
    package: Package, launcher: Launcher, entry: str, names: Sequence[str],
    given: Sequence[tuple[str | None, str]], picks: bool,
) -> tuple[str, ...]:  # fmt: skip
    """Candidate files that define `entry(*names)`; `given`: (parameter of the launcher, name) for each."""
    direct = launcher.name == entry and launcher.name == launcher.qualified
    in_order = all(
        p is None or i < len(launcher.positional) and launcher.positional[i] == p for i, (p, _) in enumerate(given)
    )
    direct = direct and [n for _, n in given] == list(names)
    found = []
    for pick in (None, 0) if picks else (None,):
        plain = direct and in_order and pick is None
        slice = Slice(package, CANDIDATE_IMPORTS, written_out, table_entry, () if plain else (entry,))
        local = slice.need(launcher.dotted, launcher.qualified.split(".")[0])
        if not plain:
            call = local + launcher.qualified[len(launcher.qualified.split(".")[0]) :]
            inside = ", ".join(n if in_order or p is None else f"{p}={n}" for p, n in given)
            slice.statements.append(
                f"def {entry}({', '.join(names)}):\n    return {call}({inside})" + ("" if pick is None else f"[{pick}]")
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


def _task(archive: Archive, pair: Pair, inputs: Inputs) -> Task:
    reference = f"{pair.reference.rstrip()}\n\n\n{inputs.source}"
    digest = hashlib.sha256((reference + pair.launcher.where).encode()).hexdigest()[:16]
    return Task(
        id=f"pair-{archive.name}-{digest}",
        family=family(pair.entry_point),
        source=Provenance(
            origin=f"package:{archive.name}", version=archive.version, licence=archive.licence,
            path=f"{pair.launcher.where} with {pair.where}",
        ),
        description=pair.launcher.summary or f"`{pair.entry_point}`, as `{pair.where}` computes it.",
        reference=reference,
        entry_point=pair.entry_point,
        cases=inputs.cases,
        hidden_cases=inputs.hidden,
        tolerance="TT" if any("tl.dot(" in s for s in pair.solutions) else "T32",
        difficulty=min(6, 1 + reference.count("\n") // 20),
    )  # fmt: skip


FAMILIES = (
    (r"attn|attention|mla|sdpa|delta|gla|retention|rwkv|mamba|ssd|titans|ttt|hgrn|nsa|based|abc|comba|kda|gsa|path", "attention"),
    (r"softmax|logsumexp|sinkhorn|sparsemax", "softmax"),
    (r"norm|dyt", "normalisation"),
    (r"loss|entropy|kl_?div|jsd|tvd|nll|dpo|grpo", "loss"),
    (r"rope|rotary|embed", "embedding"),
    (r"quant|fp8|int8|int4|w8|w4|awq", "quantisation"),
    (r"(^|_)(b?mm|addmm|matmul|gemm|mv|addmv|dot|vdot|outer|addr|baddbmm|linear|kron|conv\w*)(_|$)", "matmul"),
    (r"pool|upsample|pad\d?d?|pixel|unfold|im2col|interpolate", "image"),
    (r"cum|scan|sort|topk|argsort|kthvalue|unique", "scan_sort"),
    (r"sum|mean|amax|amin|max|min|argm|any|all|prod|var|std|count|trace|norm", "reduction"),
    (r"gather|scatter|index|take|where|mask|roll|flip|cat|stack|repeat|tile|slice|diag|tri[lu]|permute|copy|one_hot", "indexing"),
)  # fmt: skip


def family(name: str) -> str:
    """Operator family by the first pattern that a name matches; else elementwise."""
    return next((kind for pattern, kind in FAMILIES if re.search(pattern, name.lower())), "elementwise")


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


def _identifiers(names: Sequence[str]) -> list[str]:
    """Argument names for a file: `self` becomes `input`, and none is used twice."""
    found: list[str] = []
    for name in names:
        name = "input" if name == "self" and "input" not in names else "x" if name == "self" else name
        found.append(name if name not in found else f"{name}_")
    return found
