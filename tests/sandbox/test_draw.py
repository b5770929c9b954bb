"""What inputs are drawn to show: ends that were left out."""

import pytest
import torch

from sandbox.judging.draw import Draw


def drawn(kind: str, *shape: int, seed: int = 5) -> torch.Tensor:
    x: torch.Tensor = getattr(Draw(torch.Generator().manual_seed(seed)), kind)(*shape)
    return x


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_extremes_lie_at_both_ends(kind: str) -> None:
    seen = set()
    for seed in range(20):
        x = drawn(kind, 5, 6, seed=seed)
        seen.add((bool(x[0, 0] == x.amin()), bool(x[-1, -1] == x.amin())))
        assert {x[0, 0].item(), x[-1, -1].item()} == {x.amin().item(), x.amax().item()}
    assert seen == {(True, False), (False, True)}


def test_there_may_be_no_ends() -> None:
    assert drawn("normal").shape == () and drawn("uniform", 0, 4).shape == (0, 4) and drawn("normal", 1).shape == (1,)
