"""What a GPU's memory and a compiler's patience limit: sets of an exam, and baselines that cannot be had."""

import time
from collections.abc import Callable

import pytest
import torch

from sandbox.bench import suite
from sandbox.judging import compile_limit
from sandbox.judging.compile_limit import NotCompiledError, breaks, compiling
from sandbox.judging.rotation import KEPT_OUTPUTS, MEMORY_SHARE, affordable

GIB = 1 << 30


each_memory = pytest.mark.parametrize("memory", [80 * GIB, 140 * GIB])


@each_memory
def test_small_cases_get_all_their_sets(memory: int) -> None:
    assert affordable(64, 1, 4 << 20, 2 << 20, GIB, memory) == (64, 1)


@each_memory
def test_the_arena_limits_sets_before_decoys(memory: int) -> None:
    assert affordable(64, 1, GIB // 8, 0, GIB, memory) == (7, 1)
    assert affordable(1, 0, 2 * GIB, 0, GIB, memory) == (1, 0), "one set is tried, however large"


@each_memory
def test_large_cases_leave_memory_for_what_is_right(memory: int) -> None:
    """A KernelBench problem with 6 GiB in and 6 GiB out: one set, and no decoy beside it."""
    assert affordable(4, 1, 12 * GIB, 6 * GIB, 32 * GIB, memory) == (1, 0)


@each_memory
@pytest.mark.parametrize("own", [GIB // 16, GIB // 2, GIB, 4 * GIB])
def test_what_is_held_is_bounded(memory: int, own: int) -> None:
    sets, decoys = affordable(64, 1, 2 * own, own, 64 * GIB, memory)
    held = 2 * (sets + decoys) * 2 * own + sets * KEPT_OUTPUTS * own
    assert sets >= 1 and (held <= memory // MEMORY_SHARE or (sets, decoys) == (1, 0))


def test_a_compiler_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_limit, "COMPILE_SECONDS", 1)
    ended = pytest.raises(NotCompiledError, match=r"torch.compile \(max-autotune\) takes longer than 1 s")
    with ended, compiling("max-autotune"):
        time.sleep(30)
    with compiling("eager"):
        time.sleep(1.5)  # no compiler, no limit


def test_a_compiler_that_fails_is_told_from_memory_that_lacks() -> None:
    assert f"{NotCompiledError.__name__}: " == suite.NOT_COMPILED, "as a judge's fault begins"
    failed = pytest.raises(NotCompiledError, match=r"torch.compile \(compile\) fails: KeyError: 'buf0'")
    with failed, compiling("compile"):
        raise KeyError("buf0")
    with pytest.raises(torch.OutOfMemoryError), compiling("compile"):
        raise torch.OutOfMemoryError("full")
    with pytest.raises(KeyError), compiling("library"):
        raise KeyError("buf0")


def whole(x: torch.Tensor) -> torch.Tensor:
    return x * 2 + 1


def broken(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.sum().item() > 0 else x


def skipped(x: torch.Tensor) -> torch.Tensor:
    """Within a generator nothing can be resumed, so that all of the function is left to Python."""
    one, other = ((torch._dynamo.graph_break(), t * 2)[1] for t in (x, x))  # type: ignore[no-untyped-call]
    return one + other


@pytest.mark.parametrize(("function", "left"), [(whole, False), (broken, True), (skipped, True)])
def test_what_a_compiler_leaves_to_python_is_counted(function: Callable[..., torch.Tensor], left: bool) -> None:
    torch._dynamo.reset()
    before = breaks()
    torch.compile(function, backend="eager")(torch.ones(3))
    assert (breaks() > before) == left
