"""What all benchmarks have in common: an item with prompts, an entry point and a place in the benchmark."""

from abc import abstractmethod

from data_pipeline.families import family_of_name
from data_pipeline.task import Message
from sandbox.types import Record


class Item(Record):
    """One problem of a benchmark."""

    id: str
    """`KernelBench/level1/19_ReLU`, `TritonBench_G/softmax_triton1`, …, as in `data_pipeline.contamination`."""
    level: int
    """KernelBench's level; TritonBench's difficulty, 1 to 5; 0: the benchmark has none."""
    entry_point: str
    """What an answer must define."""
    marks: frozenset[str] = frozenset()
    """Why it tells little about a kernel. Scores are given with and without marked items."""

    @property
    def name(self) -> str:
        return self.id.rpartition("/")[2]

    @property
    def family(self) -> str:
        """What results are broken down by."""
        return family_of_name(self.name)

    @abstractmethod
    def messages(self, way: str = "") -> list[Message]:
        """The prompt, in one of the benchmark's ways of asking; "": its usual one.

        Raises:
            KeyError: it has no such way.
        """
