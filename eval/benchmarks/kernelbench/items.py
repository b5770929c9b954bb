"""KernelBench's items as tasks for our sandbox, from a clone or from its data set on the hub.

1. The first case has upstream's own inputs, uniform on [0, 1) in levels 1 to 3; the hidden ones have signed inputs of
   the same shapes, heavy-tailed or with outliers. So a candidate fails that is right for positive inputs alone, or for
   such as exponentials do not overflow on.
2. Integer inputs stay integers: upstream's evaluator casts every tensor to the precision that it tests.
3. Some items say little about a kernel (`Mark`). They stay in; scores are to be given with and without them.
"""

import ast
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from configs.schema import HubConfig
from data_pipeline.contamination import BenchmarkMissingError, kernelbench
from data_pipeline.prompt import render_prompt
from data_pipeline.sources import SourceUnavailableError
from data_pipeline.sources.hub import FORMATS, hub
from data_pipeline.task import Message, Task
from eval.benchmarks.item import Item
from sandbox.kernels.syntax import parsed

DATA_SET = "ScalingIntelligence/KernelBench"
"""On the hub: a split a level, with columns code, level, name, problem_id."""
ADDRESS = "https://github.com/ScalingIntelligence/KernelBench"
LEVELS = (1, 2, 3, 4)
LICENCE = "MIT"

Mark = Literal["degenerate", "identity", "hub_model"]

DEGENERATE = {
    1: frozenset({23, 37, 38, 50, 94, 96, 97, 98}),
    2: frozenset({9, 13, 23, 27, 41, 44, 48, 49, 66, 80, 83, 84}),
}
"""By level: on upstream's inputs the output is nearly constant, or within upstream's tolerance of zero, so that a
constant passes there. The comparison in our sandbox is relative to the output's own size."""
IDENTITIES = {1: frozenset({19, 20, 31, 32})}
"""By level: on upstream's inputs, from [0, 1), the operator returns its input."""


class KernelBenchItem(Item):
    """One problem; `level` and `number` identify it."""

    number: int
    """Upstream's problem_id: the number before the file's name."""
    task: Task
    marks: frozenset[Mark]

    @property
    def family(self) -> str:
        return self.task.family

    def messages(self, way: str = "") -> list[Message]:
        """What upstream shows, in our words: without the worked example that its prompts begin with."""
        if way:
            raise KeyError(f"KernelBench is asked in one way only, not in {way!r}")
        return render_prompt(self.task)

    def needs(self) -> str:
        """What must be there before the reference can run, as a sentence; "" where nothing is missing."""
        if "hub_model" not in self.marks:
            return ""
        model = _assigned(self.task.reference, "model_name") or "a model"
        return (
            f"{self.id} loads {model} from the Hugging Face hub; download it first (hf download {model}) or leave out "
            "level 4"
        )


def load(source: str | None, levels: Iterable[int] = LEVELS) -> list[KernelBenchItem]:
    """The items of `levels`, ordered by level and number.

    Args:
        source: folder of a clone, or name of a data set on the hub; None: `DATA_SET`.

    Raises:
        BenchmarkMissingError: there is no such folder or data set, or it lacks one of the levels.
    """
    name = source or DATA_SET
    # Data sets are `owner/name`. Whatever else is no folder was meant as one.
    on_hub = not Path(name).is_dir() and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name)
    return from_hub(name, levels) if on_hub else from_clone(Path(name), levels)


def from_clone(clone: Path, levels: Iterable[int] = LEVELS) -> list[KernelBenchItem]:
    """As `load`."""
    if not clone.is_dir():
        raise BenchmarkMissingError(
            f"there is no folder {clone}; eval.root must be a clone of KernelBench: git clone {ADDRESS}"
        )
    config = HubConfig(name=DATA_SET, format="kernelbench", licence=LICENCE)
    wanted = _checked(levels)
    items = []
    for known in kernelbench(clone):
        _, folder, stem = known.name.split("/")
        level = int(folder.removeprefix("level"))
        if level in wanted:
            task, _ = FORMATS["kernelbench"][1]({"code": known.code, "level": level, "name": stem}, config, 0)
            items.append(_item(level, stem, task))
    return _complete(items, wanted, str(clone))


def from_hub(name: str, levels: Iterable[int] = LEVELS) -> list[KernelBenchItem]:
    """As `load`."""
    wanted = _checked(levels)
    items = []
    for level in wanted:
        config = HubConfig(name=name, format="kernelbench", split=f"level_{level}", licence=LICENCE)
        try:
            tasks = [task for task, _ in hub(config)]
        except SourceUnavailableError as error:
            raise BenchmarkMissingError(
                f"cannot read {name}, split level_{level}, from the hub; set eval.root to a clone: git clone {ADDRESS}"
            ) from error
        items += [_item(level, task.source.path.rpartition("/")[2].removesuffix(".py"), task) for task in tasks]
    return _complete(items, wanted, name)


def _checked(levels: Iterable[int]) -> set[int]:
    wanted = set(levels)
    if unknown := wanted - set(LEVELS):
        raise BenchmarkMissingError(f"KernelBench has levels 1 to 4, not {', '.join(map(str, sorted(unknown)))}")
    return wanted


def _complete(items: list[KernelBenchItem], wanted: set[int], source: str) -> list[KernelBenchItem]:
    if missing := wanted - {item.level for item in items}:
        raise BenchmarkMissingError(
            f"{source} has no item of level {', '.join(map(str, sorted(missing)))}; it must be a complete copy of "
            "KernelBench"
        )
    return sorted(items, key=lambda item: (item.level, item.number))


def _item(level: int, stem: str, task: Task) -> KernelBenchItem:
    prefix = re.match(r"\d+", stem)
    if prefix is None:
        raise BenchmarkMissingError(
            f"KernelBench's level {level} has an item {stem!r} without a number before its name"
        )
    number, name = int(prefix[0]), f"KernelBench/level{level}/{stem}"
    # No rehearsal: at upstream's sizes the interpreter would take longer than it may.
    posed = task.model_copy(update={"id": name, "prompt_format": "kernelbench", "rehearsal": ()})
    return KernelBenchItem(
        id=name,
        level=level,
        entry_point=posed.entry_point,
        number=number,
        task=posed,
        marks=_marks(level, number),
    )


def _marks(level: int, number: int) -> frozenset[Mark]:
    marks: dict[Mark, bool] = {
        "degenerate": number in DEGENERATE.get(level, ()),
        "identity": number in IDENTITIES.get(level, ()),
        "hub_model": level == 4,
    }
    return frozenset(mark for mark, holds in marks.items() if holds)


def _assigned(source: str, name: str) -> str:
    """The text that a top-level statement assigns to `name`, or ""."""
    for node in parsed(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=ast.Constant(value=str(text))) if target == name:
                return text
    return ""
