"""What all benchmarks have in common: an item with prompts, an entry point and a place in the benchmark."""

from abc import abstractmethod

from data_pipeline.task import Message
from sandbox.types import Record


class Item(Record):
    """One problem of a benchmark."""

    id: str
    """`KernelBench/level1/19_ReLU`, `TritonBench_G/softmax_triton1`, …, as in `data_pipeline.contamination`."""
    level: int
    """KernelBench's level; TritonBench's difficulty, 1 to 5."""
    entry_point: str
    """What an answer must define."""

    @property
    def name(self) -> str:
        return self.id.rpartition("/")[2]

    @abstractmethod
    def messages(self, way: str = "") -> list[Message]:
        """The prompt, in one of the benchmark's ways of asking; "": its usual one.

        Raises:
            KeyError: it has no such way.
        """
