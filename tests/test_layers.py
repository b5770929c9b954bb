"""The import table of the architecture: who may import whom. An edge that is not in it fails here."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "configs": set(),
    "sandbox": {"configs"},
    "data_pipeline": {"configs", "sandbox"},
    "rewards": {"configs", "sandbox"},
    "sft": {"configs", "data_pipeline", "sandbox"},
    "rl": {"configs", "data_pipeline", "rewards", "sandbox"},
    "eval": {"configs", "data_pipeline", "sandbox"},
    "serve": {"configs", "data_pipeline", "eval", "sandbox"},
}
"""Nothing imports sft, rl or serve; eval never imports rewards: we do not grade with what we optimised."""

NARROW = {
    "rewards": {"sandbox": {"sandbox.types"}},
    "sandbox": {"configs": {"configs.errors", "configs.schema", "configs.stamp"}},
    "serve": {"eval": {"eval.generate"}},
}
"""Where only one module of a package may be imported."""

ROOMS = {
    "": {"bench", "compiling", "interpreting", "jail", "kernels", "plans", "references"},
    "jail": {"", "compiling", "interpreting", "replaying", "tracing"},
    "kernels": {"", "plans"},
    "plans": {"", "kernels"},
    "tracing": {"", "compiling", "kernels", "plans", "triton_private"},
    "compiling": {"", "kernels", "plans", "tracing", "triton_private"},
    "interpreting": {"", "kernels", "plans", "triton_private"},
    "replaying": {"", "compiling", "plans"},
    "judging": {"", "jail", "plans", "replaying", "triton_private"},
    "triton_private": {"", "compiling", "interpreting", "kernels", "plans", "tracing"},
}
"""Which rooms of the sandbox import which; "" are the modules outside all rooms, the supervisor's. Whoever runs
candidate code imports nothing of the judges', and the judges nothing that reads candidates."""

SUPERVISOR = {"compiling": {"binary"}, "interpreting": {"open_answers"}, "jail": {"isolation"}}
"""What the supervisor may import of rooms that are other processes'."""

NO_TORCH = """
    types protocol trial traces cpu_trial gpu_trial gpu_pool screen verdict_cache wire pool local task_file
    kernels/* plans/plan plans/plan_check plans/effects plans/plain_steps plans/sameness plans/aten_names
    replaying/launch_parameters compiling/binary
""".split()
"""The supervisor's half of the sandbox stays light."""

PUBLIC_TRITON = {
    "triton",
    "triton.language",
    "triton.testing",
    "triton.compiler.errors",
    "triton.tools.tensor_descriptor",
}
"""What may be imported of Triton outside of `triton_private`."""


def imports(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"package {package} has no files"
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_edges_are_in_the_table(package: str) -> None:
    for path in files(package):
        for name in imports(path):
            target = name.split(".")[0]
            if target in ALLOWED and target != package:
                assert target in ALLOWED[package], f"{path.relative_to(ROOT)} imports {name}"
                allowed = NARROW.get(package, {}).get(target)
                narrow = allowed is None or name in allowed or any(name.startswith(f"{a}.") for a in allowed)
                assert narrow or name == target, f"{path.relative_to(ROOT)} imports {name}; allowed: {allowed}"
            assert target != "tests", f"{path.relative_to(ROOT)} imports {name}"


def rooms_of(names: set[str]) -> set[tuple[str, str]]:
    """(room, module) of what is imported from the sandbox."""
    parts = [name.split(".")[1:] for name in names if name.startswith("sandbox.")]
    known = {*ROOMS, "bench", "references"}
    return {
        (part[0], part[1]) if part[0] in known else ("", part[0]) for part in parts if part[1:] or part[0] not in known
    }


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_the_sandbox(room: str) -> None:
    for path in sorted((ROOT / "sandbox" / room).glob("*.py")):
        for target, module in rooms_of(imports(path)):
            assert target in ROOMS[room] | {room}, f"{path.relative_to(ROOT)} imports {target}.{module}"
            few = SUPERVISOR.get(target) if room == "" else None
            assert few is None or module in few, f"{path.relative_to(ROOT)} imports {target}.{module}"


def test_private_triton_in_one_room() -> None:
    for path in files("sandbox"):
        if path.parent.name != "triton_private":
            modules = {
                node.module if isinstance(node, ast.ImportFrom) else alias.name
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            }
            private = {name for name in modules if str(name).split(".")[0] == "triton"} - PUBLIC_TRITON
            assert not private, f"{path.relative_to(ROOT)} imports {private}"


def test_supervisor_imports_no_torch() -> None:
    for pattern in NO_TORCH:
        found = [*(ROOT / "sandbox").glob(f"{pattern}.py")]
        assert found, pattern
        for path in found:
            heavy = {name.split(".")[0] for name in imports(path)} & {"torch", "triton", "numpy"}
            assert not heavy, f"{path.relative_to(ROOT)} imports {heavy}"
    loaded = "import sys, sandbox.local; sys.exit(' '.join({'torch', 'triton'} & sys.modules.keys()) or 0)"
    subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, check=True)


def test_benches_import_torch_only_where_they_compute() -> None:
    heavy = {path.stem for path in (ROOT / "sandbox" / "bench").glob("*.py") if "torch" in imports(path)}
    assert heavy == {"plain_timing", "profiled", "copy_rate", "kernelbench_worker"}


def test_every_package_is_in_the_table() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == set(ALLOWED)


def test_files_of_tests_stay_short() -> None:
    lengths = {path: path.read_bytes().count(b"\n") for path in (ROOT / "tests").rglob("*.py")}
    assert lengths and not {path: lines for path, lines in lengths.items() if lines > 300}


def test_files_and_functions_stay_short() -> None:
    for package in ALLOWED:
        for path in files(package):
            source = path.read_text()
            lines = source.count("\n")
            assert lines <= 300 or (source.startswith('"""') and "Longer than 300 lines" in source), f"{path}: {lines}"
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or 0) - node.lineno + 1
                    assert length <= 60, f"{path}:{node.lineno} {node.name} has {length} lines"
