"""Random inputs for a case. The judge alone calls this, with a seed that nobody else knows.

A task's `make_inputs(case, draw)` says what the inputs are; the case's `distribution` decides how floating-point
data is spread, so that every task is tried on ordinary, heavy-tailed, large and structured values without
writing four generators.
"""

import math

import torch

from sandbox.types import Distribution

LARGE_OFFSET = 10.0
OUTLIER_SCALE = 100.0
TAIL_DEGREES = 4


class Draw:
    """Draws the inputs of one case, on the device of its generator, reproducibly."""

    def __init__(self, generator: torch.Generator, distribution: Distribution = "normal") -> None:
        self.generator = generator
        self.distribution = distribution
        self.device = generator.device

    def normal(self, *shape: int, dtype: str | torch.dtype = torch.float32, scale: float = 1.0) -> torch.Tensor:
        """Free floating-point data of `shape`, in the case's distribution times `scale`, rounded to `dtype`."""
        x = torch.randn(shape, generator=self.generator, device=self.device)
        if self.distribution == "heavy_tailed":
            x = self._student_t(x)
        elif self.distribution == "large":
            x = x + LARGE_OFFSET
        x = self._structured(x) if self.distribution == "structured" else outward(x)
        return (x * scale).to(as_dtype(dtype))

    def weight(self, *shape: int, dtype: str | torch.dtype = torch.float32) -> torch.Tensor:
        """Parameters: always normal, scaled by fan_in**-0.5 where `fan_in` is the last dimension."""
        fan_in = shape[-1] if shape else 1
        return (torch.randn(shape, generator=self.generator, device=self.device) / math.sqrt(fan_in)).to(
            as_dtype(dtype)
        )

    def uniform(
        self, *shape: int, low: float = 0.0, high: float = 1.0, dtype: str | torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Values that a task constrains to [low, high); the distribution does not apply."""
        x = torch.rand(shape, generator=self.generator, device=self.device) * (high - low) + low
        return outward(x).to(as_dtype(dtype))

    def integers(self, *shape: int, low: int, high: int, dtype: str | torch.dtype = torch.int64) -> torch.Tensor:
        """Integers in [low, high)."""
        return torch.randint(low, high, shape, generator=self.generator, device=self.device).to(as_dtype(dtype))

    def booleans(self, *shape: int, probability: float = 0.5) -> torch.Tensor:
        """True with `probability`."""
        return torch.rand(shape, generator=self.generator, device=self.device) < probability

    def permutation(self, n: int) -> torch.Tensor:
        """A random order of range(n), int64."""
        return torch.randperm(n, generator=self.generator, device=self.device)

    def _student_t(self, x: torch.Tensor) -> torch.Tensor:
        chi2 = torch.zeros_like(x)
        for _ in range(TAIL_DEGREES):  # one at a time and in place: inputs can be an eighth of a GPU's memory
            chi2 += torch.randn(x.shape, generator=self.generator, device=self.device).square_()
        return x.div_(chi2.div_(TAIL_DEGREES).sqrt_().clamp_min_(1e-2))

    def _structured(self, x: torch.Tensor) -> torch.Tensor:
        """One constant row, one zero row, one one-hot row, one outlier column: what hides indexing mistakes."""
        if x.dim() == 0 or x.numel() < 2:
            return x
        rows = x.reshape(-1, x.shape[-1]) if x.dim() > 1 else x.reshape(1, -1)
        order = torch.randperm(rows.shape[0], generator=self.generator, device=self.device)
        column = int(torch.randint(rows.shape[1], (1,), generator=self.generator, device=self.device))
        special, others = order[1:4].tolist(), torch.cat([order[:1], order[4:]])
        sign = torch.where(torch.arange(len(others), device=self.device) % 2 == 0, 1.0, -1.0)
        rows[others, column] = sign * OUTLIER_SCALE * (1 + rows[others, column].abs())  # exp() overflows float32
        for row, value in zip(special, (0.0, 1.0, 0.0), strict=False):
            rows[row] = value
        if len(special) == 3:
            rows[special[2], column] = 1.0
        return rows.reshape(x.shape)


def outward(x: torch.Tensor) -> torch.Tensor:
    """`x` itself, in which the least and the greatest value have changed places with the first and the last one, in the
    order that these were in: else a maximum hardly ever tells that an end was left out. Nothing waits for the device.
    """
    if x.numel() < 2:
        return x
    flat = x.view(-1)
    falls = (flat[0] >= flat[-1]).long()
    for end, find in ((falls, torch.argmin), (1 - falls, torch.argmax)):
        places = torch.stack([end * (flat.numel() - 1), find(flat)])
        flat[places] = flat[places.flip(0)]
    return x


def as_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """`"bfloat16"` or `torch.bfloat16` → `torch.bfloat16`.

    Raises:
        ValueError: the name is no torch dtype.
    """
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype):
        raise ValueError(f"{dtype!r} is no torch dtype; write for example 'float32' or 'bfloat16'")
    return found
