"""The two documents on the sandbox say what is there: files, version, stages, policies, operations, constants."""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from sandbox.types import PROTOCOL_VERSION, Policy, Stage

ROOT = Path(__file__).parents[2]
THREATS = (ROOT / "docs" / "threat_model.md").read_text()
PROTOCOL = (ROOT / "docs" / "sandbox_protocol.md").read_text()
FOLDERS = ("sandbox", "tests", "configs", "data_pipeline", "docs")


def sections(document: str) -> dict[str, str]:
    """Text by heading of the second level."""
    heads = document.split("\n## ")[1:]
    return {head.partition("\n")[0]: head.partition("\n")[2] for head in heads}


def paths(document: str) -> set[str]:
    """What stands in backticks and looks like a path from the root, or is the bare name of an exploit."""
    ticked = set(re.findall(r"`([\w./*-]+)`", document))
    whole = {name for name in ticked if name.startswith(tuple(f"{folder}/" for folder in FOLDERS))}
    return whole | {f"tests/exploits/{name}" for name in ticked if re.fullmatch(r"[a-e]_\w+\.py", name)}


def operations(module: str, name: str) -> set[str]:
    """Public methods of a class that is not imported: it needs a GPU."""
    tree = ast.parse((ROOT / "sandbox" / f"{module}.py").read_text())
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return {node.name for node in found.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}


@pytest.mark.parametrize("document", [THREATS, PROTOCOL], ids=["threat_model", "sandbox_protocol"])
def test_named_files_exist(document: str) -> None:
    named = paths(document)
    missing = sorted(path for path in named if not any(ROOT.glob(path.rstrip("/"))))
    assert len(named) > 20 and not missing


@pytest.mark.parametrize("document", [THREATS, PROTOCOL], ids=["threat_model", "sandbox_protocol"])
def test_named_constants_exist(document: str) -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "sandbox").rglob("*.py"))
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", document))
    missing = sorted(name for name in named if not re.search(rf"\b{name}\b.*=", code))
    assert named and not missing


def test_protocol_version() -> None:
    assert re.findall(r"^Protocol version: (\S+)$", PROTOCOL, re.MULTILINE) == [PROTOCOL_VERSION]


def test_every_stage_is_described() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", sections(PROTOCOL)["Stages"], re.MULTILINE)
    assert sorted(rows) == sorted(get_args(Stage))


def test_every_policy_is_described() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", sections(PROTOCOL)["Policies"], re.MULTILINE)
    assert sorted(rows) == sorted(get_args(Policy))


@pytest.mark.parametrize(
    ("table", "module", "name"),
    [
        ("CPU judge", "judging/judge", "Judge"),
        ("GPU judge", "judging/gpu_judge", "GpuJudge"),
        ("replayer", "replaying/replayer", "Replayer"),
    ],
)
def test_every_operation_is_described(table: str, module: str, name: str) -> None:
    body = PROTOCOL.partition(f"| {table} `op` |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE)) == operations(module, name)


def test_every_family_has_a_table_of_its_own_exploits() -> None:
    families = {title[7]: body for title, body in sections(THREATS).items() if title.startswith("Family ")}
    assert sorted(families) == list("ABCDE")
    for letter, body in families.items():
        named = re.findall(r"`([a-e])_\w+\.py`", body)
        foreign = set(named) - {letter.lower()}
        allowed = {"b": {"c"}}.get(letter.lower(), set())  # one cheat of B is shown by a file of C too
        assert len(named) >= 5 and foreign <= allowed, f"family {letter} names exploits of {sorted(foreign)}"
