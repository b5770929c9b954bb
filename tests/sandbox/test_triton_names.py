"""What a candidate replaces in Triton is noticed."""

import pytest
import triton.language as tl
from triton.runtime.jit import JITFunction

from sandbox.triton_private.names import PatchedTritonError, own_names


def test_as_it_was_is_fine_and_new_names_are_too(monkeypatch: pytest.MonkeyPatch) -> None:
    check = own_names()
    monkeypatch.setattr(tl, "of_a_candidate", 1, raising=False)
    monkeypatch.setattr(JITFunction, "of_a_candidate", 1, raising=False)
    check()


@pytest.mark.parametrize(("place", "name"), [(tl, "sum"), (tl.tensor, "to"), (JITFunction, "run")])
def test_what_is_replaced_is_named(monkeypatch: pytest.MonkeyPatch, place: object, name: str) -> None:
    check = own_names()
    monkeypatch.setattr(place, name, lambda *arguments: None)
    with pytest.raises(PatchedTritonError, match=rf"Triton's own \S*\.{name} may not be replaced"):
        check()
    monkeypatch.undo()
    check()


def test_what_is_taken_away_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    check = own_names()
    monkeypatch.delattr(tl, "sum")
    with pytest.raises(PatchedTritonError):
        check()
