"""Verdicts are found again by content, and `Broken` is never kept."""

from pathlib import Path

from sandbox.types import TOLERANCES, Broken, Case, Job, Rejected
from sandbox.verdict_cache import VerdictCache

JOB = Job(reference="r", candidate="c", entry_point="f", cases=(Case(name="one"),), tolerance=TOLERANCES["T32"])
STAMP = {"gpu": "one", "triton": "3.6"}
WRONG = Rejected(stage="numerics", reason="wrong")


def test_a_verdict_is_found_again(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path)
    cache.put(cache.key(JOB, STAMP), WRONG)
    assert VerdictCache(tmp_path).get(cache.key(JOB, STAMP)) == WRONG


def test_whatever_could_change_a_verdict_changes_the_key(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path)
    changes = ({"candidate": "d"}, {"reference": "s"}, {"policy": "mixed"}, {"cases": (Case(name="two"),)})
    keys = {cache.key(JOB.model_copy(update=change), STAMP) for change in changes}
    keys |= {cache.key(JOB, STAMP), cache.key(JOB, {**STAMP, "gpu": "other"})}
    assert len(keys) == len(changes) + 2


def test_a_candidate_that_is_no_valid_unicode_has_a_key(tmp_path: Path) -> None:
    keys = {
        VerdictCache(tmp_path).key(JOB.model_copy(update={"candidate": c}), STAMP) for c in ("\ud800", "\ud801", "?")
    }
    assert len(keys) == 3


def test_broken_is_never_kept(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path)
    cache.put("00" * 32, Broken(reason="no driver"))
    assert cache.get("00" * 32) is None and not list(tmp_path.iterdir())


def test_a_damaged_entry_is_judged_anew(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path)
    key = cache.key(JOB, STAMP)
    cache.put(key, WRONG)
    next(tmp_path.rglob("*.json")).write_text("{")
    assert cache.get(key) is None
