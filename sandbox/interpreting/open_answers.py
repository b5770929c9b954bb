"""What a GPU may answer in more than one way, interpreted: each kind of answer in a run of its own.

Noise alone would be no answer: a kernel that is sure of anything but noise, and idle where a GPU answers as GPUs do,
would be right. So a run in which such an answer was needed is followed by further ones, with other answers.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
ANSWERS = 3
"""Runs of a case that asks: with noise, with what comes first or a GPU has, with what comes last or NumPy has."""


class Answers:
    """Those of one run, in one process."""

    def __init__(self) -> None:
        self.number, self.asked = 0, False

    def among(self, noise: Any, first: Any, last: Any) -> Any:
        """The answer of this run."""
        self.asked = True
        return (noise, first, last)[self.number]

    def order(self, size: int) -> Array:
        """In which order elements come that are in none."""
        forth = np.arange(size)
        return np.asarray(self.among(np.random.default_rng().permutation(size), forth, forth[::-1]))


ANSWER = Answers()
"""A process interprets one plan, in one run."""


def noise_like(data: Array) -> Array:
    return np.frombuffer(np.random.default_rng().bytes(data.nbytes), data.dtype).reshape(data.shape)


def opened(data: Array, lanes: Array, elsewhere: Array | None = None) -> Array:
    """Loaded values, which in these lanes are anything: noise, all bits set (NaN, -1), or zero; or else noise, what is
    found elsewhere, or what they are.
    """
    noise, ones = noise_like(data), np.full(data.nbytes, 0xFF, np.uint8).view(data.dtype).reshape(data.shape)
    answers = (noise, ones, np.zeros_like(data)) if elsewhere is None else (noise, elsewhere, data)
    return np.where(lanes, ANSWER.among(*answers), data)
