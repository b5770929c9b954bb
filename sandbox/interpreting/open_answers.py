"""What a GPU may answer in more than one way, interpreted: each kind of answer in a run of its own.

Noise alone would be no answer: a kernel that is sure of anything but noise, and idle where a GPU answers as GPUs do,
would be right. So a run in which such an answer was needed is followed by further ones, with other answers.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from sandbox.plans.unset import GREAT, POISON

Array = npt.NDArray[Any]
FILLED = (POISON, 0x00, *GREAT)
"""Bytes of memory that nobody has set: NaN and -1, zero, and numbers of great size."""
MOST_ANSWERS = 1 + len(FILLED)


class Answers:
    """Those of one run, in one process."""

    def __init__(self) -> None:
        self.number, self.known = 0, 1
        """The present one, and of how many; one alone: nothing was asked."""

    def among(self, *answers: Any) -> Any:
        """The answer of this run: noise; what comes first or a GPU has; what comes last or NumPy has. In place of the
        latter two, `FILLED` for memory that nobody has set.
        """
        self.known = max(self.known, len(answers))
        return answers[min(self.number, len(answers) - 1)]

    def order(self, size: int) -> Array:
        """In which order elements come that are in none."""
        forth = np.arange(size)
        return np.asarray(self.among(np.random.default_rng().permutation(size), forth, forth[::-1]))


ANSWER = Answers()
"""A process interprets one plan, in one run."""


def noise_like(data: Array) -> Array:
    return np.frombuffer(np.random.default_rng().bytes(data.nbytes), data.dtype).reshape(data.shape)


def opened(data: Array, lanes: Array, elsewhere: Array | None = None) -> Array:
    """Loaded values, which in these lanes are anything: noise and `FILLED` mixed, or one of these; or else noise, what
    is found elsewhere, or what they are.
    """
    noise = noise_like(data)
    if elsewhere is not None:
        return np.where(lanes, ANSWER.among(noise, elsewhere, data), data)
    filled = [np.full(data.nbytes, byte, np.uint8).view(data.dtype).reshape(data.shape) for byte in FILLED]
    chosen = np.random.default_rng().integers(0, 1 + len(filled), data.shape)
    return np.where(lanes, ANSWER.among(np.choose(chosen, [noise, *filled]), *filled), data)
