"""Rows of the data sets' real columns become tasks that the sandbox can judge; a local file stands for the hub."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.schema import HubConfig
from data_pipeline.probe import Prober
from data_pipeline.prompt import render_prompt
from data_pipeline.sources import SourceUnavailableError
from data_pipeline.sources.hub import as_model, hub
from data_pipeline.verify import Judging
from sandbox.local import LocalSandbox
from sandbox.types import Passed

MODULE = """import torch
import torch.nn as nn


class Scaled(nn.Module):

    def __init__(self, width, factor=1.0):
        super(Scaled, self).__init__()
        self.width = width
        self.factor = factor

    def forward(self, x):
        return torch.relu(x) * self.factor + self.width


def get_inputs():
    return [torch.rand([4, 16])]


def get_init_inputs():
    return [[], {'width': 3, 'factor': 2.5}]
"""
KERNEL = """import torch
import triton
import triton.language as tl


@triton.jit
def scaled_kernel(x_ptr, y_ptr, n, factor, width, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(y_ptr + at, tl.where(x > 0, x, 0.0) * factor + width, mask=at < n)


class ScaledNew(torch.nn.Module):
    def __init__(self, width, factor=1.0):
        super().__init__()
        self.width = width
        self.factor = factor

    def forward(self, x):
        y = torch.empty_like(x)
        scaled_kernel[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), self.factor, self.width, BLOCK=64)
        return y
"""
LINEAR = """import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, inner, outer):
        super(Model, self).__init__()
        self.linear = nn.Linear(inner, outer)

    def forward(self, x):
        return self.linear(x)


def get_inputs():
    return [torch.rand([4, 16])]


def get_init_inputs():
    return [[16], {'outer': 5}]
"""


def row(**changes: Any) -> dict[str, Any]:
    """With the columns that KernelBook has."""
    return {
        "entry_point": "Scaled", "original_triton_code": "", "python_code": MODULE, "triton_code": KERNEL,
        "repo_name": "someone/modules", "module_name": "Scaled", "synthetic": False, "uuid": 7, "licenses": ["MIT"],
        "stars": 3, "sha": "abc", "repo_link": "https://example.org", "pytorch_code": MODULE,
    } | changes  # fmt: skip


def parquet(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    return str(path)


def test_a_module_becomes_a_task_with_its_licence(tmp_path: Path) -> None:
    rows = [row(), row(licenses=["Apache-2.0", "GPL-3.0"], triton_code=KERNEL + "\nextern_kernels = None\n")]
    config = HubConfig(name=parquet(tmp_path, rows), format="kernelbook")
    (task, code), (again, nothing) = hub(config)
    assert task.source.licence == "MIT" and task.source.path == "someone/modules@abc" and code
    assert (again.source.licence, nothing) == ("Apache-2.0 AND GPL-3.0", "")
    assert again.id == task.id, "the same question, whatever is said about it"
    assert task.family == "elementwise" and [case.hidden for case in task.hidden_cases] == [True, True]
    prompt = render_prompt(task)[1]["content"]
    assert "class Scaled" in prompt and "width=3, factor=2.5" in prompt and "rand([4, 16])" in prompt


def test_its_solution_passes_the_sandbox_and_it_is_worth_posing(tmp_path: Path, sandbox: LocalSandbox) -> None:
    ((task, code),) = hub(HubConfig(name=parquet(tmp_path, [row()]), format="kernelbook"))
    judging = Judging()
    job = task.job(code, policy=judging.policy, targets=(), limits=judging.limits, timing=None)
    assert isinstance(sandbox.judge(job), Passed)
    wrong = sandbox.judge(job.model_copy(update={"candidate": code.replace("* factor", "* 2")}))
    assert not isinstance(wrong, Passed)


def test_rows_that_nobody_can_use_say_why(tmp_path: Path) -> None:
    rows = [
        row(python_code=LINEAR, entry_point="Model", triton_code="from torch._inductor.runtime import x\n"),
        row(python_code="from _paritybench_helpers import _mock_config\n" + MODULE),
        row(python_code="def broken(:\n"),
        row(python_code=MODULE.replace("torch.relu(x)", "torch.nn.functional.dropout(x)")),
        row(python_code=MODULE.replace("torch.relu(x)", "(x * 0)")),
    ]
    with Prober(workers=2) as probe:
        found = [(task, code, probe.examine(task).reason) for task, code in hub(
            HubConfig(name=parquet(tmp_path, rows), format="kernelbook")
        )]  # fmt: skip
    assert found[0][1:] == ("", None) and found[0][0].family == "matmul"
    reasons = [str(reason) for _, _, reason in found[1:]]
    for reason, part in zip(
        reasons, ("_paritybench_helpers", "SyntaxError", "not deterministic", "constant along axis 0"), strict=True
    ):
        assert part in reason


def test_kernelbench_rows_have_the_licence_that_the_config_gives(tmp_path: Path) -> None:
    code = LINEAR.replace("return [[16], {'outer': 5}]", "return [16, 5]")
    path = tmp_path / "level_1.jsonl"
    path.write_text(json.dumps({"code": code, "level": 1, "name": "3_Linear", "problem_id": 3}) + "\n")
    ((task, solution),) = hub(HubConfig(name=str(path), format="kernelbench", licence="MIT"))
    assert (task.reference, task.source.licence, solution) == (code, "MIT", "")
    assert task.source.path == "level1/3_Linear" and task.description == "`Linear`."


@pytest.mark.parametrize(
    ("returned", "constructor"),
    [
        ("[[], {}]", "super().__init__()"),
        ("[[3], {'factor': 2 * 2}]", "super().__init__(3, factor=2 * 2)"),
        ("[3, 4.0]", "pass"),
        ("[[], {'a b': 1}]", "pass"),
    ],
)
def test_arguments_move_into_the_constructor(returned: str, constructor: str) -> None:
    code = MODULE.replace("[[], {'width': 3, 'factor': 2.5}]", returned)
    made = as_model(code, "Scaled", "Model")
    assert constructor in made and made.count("def get_init_inputs") == 1
    assert ("return []" in made) == (constructor != "pass")


def test_what_cannot_be_read_names_itself_and_the_cure(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match=r"triton_code.*format=kernelbook"):
        list(hub(HubConfig(name=parquet(tmp_path, [{"entry_point": "x", "python_code": "", "licenses": []}]),
                           format="kernelbook")))  # fmt: skip
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"no parquet")
    with pytest.raises(SourceUnavailableError, match=r"damaged\.parquet.*data\.hub"):
        list(hub(HubConfig(name=str(damaged), format="kernelbook")))


def test_no_hub_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceUnavailableError, match=r"someone/kernels, split train.*data\.hub"):
        list(hub(HubConfig(name="someone/kernels", format="kernelbook")))
