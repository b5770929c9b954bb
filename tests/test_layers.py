"""The import table of the architecture: who may import whom. An edge that is not in it fails here."""

import ast
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

NO_TORCH = """
    types protocol trial cpu_trial gpu_trial gpu_pool screen kernel_source kernel_language kernel_waits kernel_request
    kernel_debugging kernel_differences kernel_scopes kernel_records kernel_signature
    plan plan_check plain_steps aten_names launch_parameters binary verdict_cache wire pool local task_file
""".split()
"""The supervisor's half of the sandbox stays light."""


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


@pytest.mark.parametrize("module", NO_TORCH)
def test_supervisor_imports_no_torch(module: str) -> None:
    heavy = {name.split(".")[0] for name in imports(ROOT / "sandbox" / f"{module}.py")} & {"torch", "triton", "numpy"}
    assert not heavy, f"sandbox/{module}.py imports {heavy}"


def test_benches_import_torch_only_where_they_compute() -> None:
    heavy = {path.stem for path in (ROOT / "sandbox" / "bench").glob("*.py") if "torch" in imports(path)}
    assert heavy == {"plain_timing", "profiled", "copy_rate", "kernelbench_worker"}


def test_every_package_is_in_the_table() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == set(ALLOWED)


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
