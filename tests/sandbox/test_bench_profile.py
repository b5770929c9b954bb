"""Profiles of the suite: whose kernels are taken, and what is read from Nsight Compute's table."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from sandbox import references
from sandbox.bench import profile
from sandbox.bench.profiled import call_of, expert
from sandbox.bench.report import UnfitHostError, write

STALL = "smsp__average_warps_issue_stalled_{}_per_issue_active.ratio"
COLUMNS = {
    "ID": ("", "0"), "Kernel Name": ("", "_rows, twice"), "Block Size": ("", "(128, 1, 1)"),
    "Grid Size": ("", "(8192, 1, 1)"), "gpu__time_duration.sum": ("ns", "4,178,464"),
    "launch__registers_per_thread": ("register/thread", "253"), STALL.format("selected"): ("inst", "1"),
    STALL.format("barrier"): ("inst", "1.99"), STALL.format("wait"): ("inst", "1.17"),
    STALL.format("drain"): ("inst", "0.1"), STALL.format("membar"): ("inst", "0.2"),
}  # fmt: skip


def claim(case: str, met: bool, measure: str = "time") -> dict[str, Any]:
    return {"operator": "chron_rmsnorm", "case": case, "against": "compile", "measure": measure, "met": met}


def test_kernels_are_read_from_between_other_lines() -> None:
    units, call = zip(*COLUMNS.values(), strict=True)
    shorter = [text.replace("4,178,464", "1,000").replace("1.99", "0") for text in call]
    other = [text.replace("8192", "16") for text in call]
    quoted = [",".join(f'"{part}"' for part in parts) for parts in (COLUMNS, units, shorter, other, call)]
    first, second = profile.parsed("\n".join(["==PROF== Connected", *quoted, "==PROF== Disconnected"]))
    assert first == {
        "kernel": "_rows, twice", "grid": "(8192, 1, 1)", "block": "(128, 1, 1)", "us": 4179.464, "registers": 253,
        "stalls_per_issue": {"barrier": 1.99, "wait": 1.17, "membar": 0.2}, "calls": 2,
    }  # fmt: skip
    assert (second["grid"], second["calls"]) == ("(16, 1, 1)", 1)
    assert profile.parsed("==PROF== nothing ran") == []


def test_both_sides_of_missed_claims_about_time() -> None:
    claims = [claim("t", False), claim("l", True), claim("s", False, "memory")]
    assert profile.sides(claims) == [("chron_rmsnorm", "t", "ours"), ("chron_rmsnorm", "t", "compile")]


def test_profiles_of_other_operators_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = [claim("t", False), {**claim("t", False), "operator": "dora_norm"}]
    (tmp_path / "suite_h100.json").write_text(json.dumps({"headlines": claims, "rows": []}))
    other = {"operator": "dora_norm", "case": "t", "contender": "ours", "kernels": []}
    path = write(tmp_path, "suite_profile", {}, [other])
    tool = tmp_path / "ncu"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert profile.run(Namespace(out=tmp_path, operators=["chron_rmsnorm"]), 1) == 0
    found = json.loads(path.read_text())
    assert found["rows"] == [
        other,
        *({**other, "operator": "chron_rmsnorm", "contender": c} for c in ("ours", "compile")),
    ]
    assert found["summary"] == {"profiles": 3, "missing": 1}


def test_a_call_is_the_operator_on_drawn_inputs() -> None:
    case = references.load("chron_rmsnorm", "cpu").cases[0]
    found, other = (call_of("chron_rmsnorm", case.name, name, "cpu")() for name in ("eager", "library"))
    assert found.shape == other.shape and torch.isfinite(found).all()
    torch.testing.assert_close(found, other, rtol=2e-2, atol=2e-2)
    assert expert("chron_rmsnorm").__name__ == "chron_rmsnorm"
    with pytest.raises(KeyError, match="no operator 'none'"):
        call_of("none", case.name, "eager", "cpu")


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnfitHostError, match="Nsight Compute"):
        profile.run(Namespace(out=tmp_path, operators=[]), 0)
    tool = tmp_path / "ncu"
    tool.write_text("#!/bin/sh\necho the counters are not for you; exit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnfitHostError, match=r"suite_h100\.json does not exist"):
        profile.run(Namespace(out=tmp_path, operators=[]), 1)
    with pytest.raises(UnfitHostError, match="ncu failed on chron_rmsnorm t ours: the counters are not for you"):
        profile.profiled("chron_rmsnorm", "t", "ours")
