"""PyTorch's operators by name and signature, read from the table that PyTorch ships; torch itself is not imported."""

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

TABLE = "packaged/ATen/native/native_functions.yaml"
ARGUMENT = re.compile(r"^(?P<type>[\w\[\]?().!]+) (?P<name>\w+)(=(?P<default>.+))?$")


class SchemaArgument(NamedTuple):
    """One argument of an operator."""

    type: str
    name: str
    default: str
    """As the table writes it; empty if there is none."""
    keyword: bool


class Operator(NamedTuple):
    """One overload of an operator that returns fresh tensors."""

    name: str
    overload: str
    arguments: tuple[SchemaArgument, ...]
    outputs: int
    call: str
    """How a user writes it: `torch.softmax`, `torch.nn.functional.gelu`, `torch.ops.aten.…`."""


@cache
def operators() -> dict[str, list[Operator]]:
    """Overloads by operator name; those that change an argument or return something else than tensors are left out.

    Raises:
        FileNotFoundError: PyTorch is not installed, or has moved its table.
    """
    found: dict[str, list[Operator]] = {}
    functional = (_folder("torch") / "nn" / "functional.py").read_text()
    public = set(re.findall(r"^def (\w+)\(", (_folder("torch") / "_C" / "_VariableFunctions.pyi").read_text(), re.M))
    entries = (_folder("torchgen") / TABLE).read_text().split("\n- func: ")
    for entry in entries[1:]:
        operator = _read(entry, functional, public)
        if operator is not None:
            found.setdefault(operator.name, []).append(operator)
    return found


def _read(entry: str, functional: str, public: set[str]) -> Operator | None:
    head = entry.split("\n", 1)[0]
    parts = re.match(r"^(\w+)(?:\.(\w+))?\((.*)\) -> (.*)$", head)
    if parts is None or "(a!)" in head or "(b!)" in head:
        return None
    name, overload, inside, returns = parts[1], parts[2] or "", parts[3], parts[4]
    types = [part.split()[0] for part in returns.strip("()").split(", ")] if returns != "()" else []
    if not types or any(re.sub(r"\(a[^)]*\)", "", t) != "Tensor" for t in types):
        return None
    arguments, keyword = [], False
    for text in re.split(r", (?![^\[(]*[\])])", inside) if inside else []:
        if text == "*":
            keyword = True
            continue
        found = ARGUMENT.match(text)
        if found is None:
            return None
        arguments.append(
            SchemaArgument(re.sub(r"\(a[^)]*\)", "", found["type"]), found["name"], found["default"] or "", keyword)
        )
    return Operator(name, overload, tuple(arguments), len(types), _call(name, entry, functional, public))


def _call(name: str, entry: str, functional: str, public: set[str]) -> str:
    module = re.search(r"^  python_module: (\w+)", entry, re.M)
    if module is None and name in public and not name.startswith("_"):
        return f"torch.{name}"
    if module is not None and module[1] == "nn" and re.search(rf"^(def {name}\(|{name} = )", functional, re.M):
        return f"torch.nn.functional.{name}"
    if module is not None and module[1] == "special" and name.startswith("special_"):
        return f"torch.special.{name.removeprefix('special_')}"
    return f"torch.ops.aten.{name}"


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{package} is not installed; install torch to read its operators")
    return Path(spec.submodule_search_locations[0])
