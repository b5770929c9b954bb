"""Threads that parse at the same time do not disturb each other."""

import ast
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.kernels import syntax

NESTED = f"x = {'[' * 30}1{']' * 30}\n" * 50


@pytest.fixture
def eager_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Ring:
    """Its end runs Python code in the middle of whatever the collector interrupts."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        sum(range(50))


def test_sound_source_is_parsed_in_every_thread(eager_threads: None) -> None:
    sources, failed, until = (
        [NESTED, Path(syntax.__file__).read_text() * 20],
        list[BaseException](),
        time.monotonic() + 3,
    )

    def work(source: str) -> None:
        try:
            while time.monotonic() < until:
                Ring()
                syntax.parsed(source)
        except SystemError as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(sources[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize("folder", ["honest", "exploits"])
def test_all_nodes_are_walked_in_the_usual_order(folder: str) -> None:
    for path in sorted((Path(__file__).parents[1] / folder).glob("*.py")):
        try:
            tree = ast.parse(path.read_text())
        except (SyntaxError, ValueError, RecursionError):
            continue
        usual = [node for node in ast.walk(tree) if not isinstance(node, ast.expr_context)]
        assert [id(node) for node in syntax.walk(tree)] == [id(node) for node in usual]
