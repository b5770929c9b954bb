"""The judge's end of the memory that it shares with its replayer. Sizes go in steps, so that few changes are needed."""

import os

import torch

from sandbox.replaying import cuda

MIN_BYTES, STEPS = 8 << 20, 8


class SharedArena:
    """Device memory behind a descriptor that another process can map."""

    def __init__(self) -> None:
        self._window, self.fd = cuda.Window(), -1
        self.memory = torch.empty(0, dtype=torch.uint8, device="cuda")
        """All of it, uint8 (n,)."""

    def fits(self, nbytes: int) -> bool:
        """Whether it is large enough, and not much too large: all of it is filled, checked and restored."""
        return nbytes <= self.memory.numel() <= 2 * _rounded(nbytes)

    def resize(self, nbytes: int) -> None:
        """New memory of about `nbytes`; what was there is gone."""
        self.release()
        self.fd, size = cuda.create_shared(_rounded(nbytes))
        self.memory = self._window.map(self.fd, size)

    def release(self) -> None:
        if self.memory.numel():
            self.memory = torch.empty(0, dtype=torch.uint8, device="cuda")
            self._window.unmap()
            os.close(self.fd)


def _rounded(nbytes: int) -> int:
    step = (1 << nbytes.bit_length()) // STEPS
    return max(MIN_BYTES, -(-nbytes // step) * step)
