"""Whose turn it is on a GPU: many may check, one times alone, and who waits to time is not starved."""

import threading
import time
from pathlib import Path

import pytest

from sandbox.gpu_pool import Turns, visible_gpus


def test_timing_is_alone() -> None:
    turns, inside, overlaps = Turns(), [0, 0], []

    def check() -> None:
        for _ in range(50):
            with turns.shared():
                inside[0] += 1
                overlaps.append(inside[1])
                time.sleep(0.0005)
                inside[0] -= 1

    def measure() -> None:
        for _ in range(20):
            with turns.alone():
                inside[1] += 1
                overlaps.append(inside[0] + inside[1] - 1)
                time.sleep(0.0005)
                inside[1] -= 1

    lock_free = [threading.Thread(target=target) for target in (check, check, measure, measure)]
    for thread in lock_free:
        thread.start()
    for thread in lock_free:
        thread.join()
    assert not any(overlaps)


def test_checks_go_on_beside_each_other() -> None:
    turns = Turns()
    with turns.shared():
        entered = threading.Event()

        def other() -> None:
            with turns.shared():
                entered.set()

        thread = threading.Thread(target=other)
        thread.start()
        assert entered.wait(5)
        thread.join()


def test_who_waits_to_time_comes_before_new_checks() -> None:
    turns, order = Turns(), []
    with turns.shared():
        measuring = threading.Thread(target=lambda: _enter(turns.alone(), order, "time"))
        measuring.start()
        while not turns._waiting:
            time.sleep(0.001)
        checking = threading.Thread(target=lambda: _enter(turns.shared(), order, "check"))
        checking.start()
        time.sleep(0.05)
        assert order == []
    measuring.join()
    checking.join()
    assert order[0] == "time"


def _enter(turn: object, order: list[str], name: str) -> None:
    with turn:  # type: ignore[attr-defined]  # either of two context managers
        order.append(name)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [(None, ("0", "1")), ("1", ("1",)), ("3,GPU-8a", ("3", "GPU-8a")), ("", ()), ("-1", ()), ("1,-1,0", ("1",))],
)
def test_the_scheduler_decides_which_gpus_are_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None, expected: tuple[str, ...]
) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if setting is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
    assert visible_gpus(tmp_path) == expected
