"""A small run folder such as the stages leave, for tests of readers. Its numbers are made up and measure nothing."""

import json
import random
from pathlib import Path

from configs.stamp import write_json
from data_pipeline.store import write_kernels, write_tasks
from data_pipeline.task import Kernel, Provenance, Solution, Task
from eval.metrics import measure
from eval.samples import Sample, write_samples
from sandbox.types import Broken, Case, CaseResult, Passed, Rejected

STAMP = {
    "python": "3.11.2",
    "system": "Linux x86_64",
    "torch": "2.13.0+cpu",
    "triton": "3.9.0",
    "transformers": "5.17.0",
    "trl": "1.16.0",
    "cpu": "Some Processor @ 2.50GHz, 2 cores",
    "gpu": "none",
    "git": "0123456789ab",
}

REFERENCE = """import torch


def {name}(x: torch.Tensor) -> torch.Tensor:
    return torch.softmax(x.float() * 0.5, dim=-1).to(x.dtype)


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["columns"], dtype=case["dtype"]),)
"""

KERNEL = '''import torch
import triton
import triton.language as tl


@triton.jit
def _kernel(x_ptr, out_ptr, columns, BLOCK: tl.constexpr):
    """One row a program: maximum, exponentials, sum."""
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    inside = offsets < columns
    x = tl.load(x_ptr + row * columns + offsets, mask=inside, other=float("-inf")).to(tl.float32) * 0.5
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * columns + offsets, e / tl.sum(e, axis=0), mask=inside)  # the store converts


def {name}(x):
    out = torch.empty_like(x)
    rows, columns = x.shape
    _kernel[(rows,)](x, out, columns, BLOCK=triton.next_power_of_2(columns))
    return out
'''

REJECTIONS = (
    Rejected(stage="extract", reason="the answer holds no code block; put the file in one ```python block"),
    Rejected(
        stage="extract", reason="the answer is truncated: its last code block is never closed and is no complete file"
    ),
    Rejected(
        stage="screen", reason="line 7: `tl.softmaxx` is no public name of triton.language <script>alert(1)</script>"
    ),
    Rejected(stage="trace", reason="NameError: name 'n_elements' is not defined", log="Traceback …"),
    Rejected(stage="launch", reason="case rows=3,columns=1000: store outside the tensor `out`"),
    Rejected(
        stage="numerics", reason="case rows=128,columns=257: relative L2 error 0.93, limit 1e-05", cases_right=(2, 5)
    ),
)


def case_result(name: str, hidden: bool) -> CaseResult:
    return CaseResult(name=name, hidden=hidden, distribution="normal", rel_l2=2e-7, limit_share=0.02, launches=1)


PASSED = Passed(cases=(case_result("a", False), case_result("b", True)))


def make_task(number: int, family: str, split: str) -> Task:
    name = f"scaled_{family}_{number}"
    return Task(
        id=f"{split}-{number}",
        family=family,
        source=Provenance(origin="synthetic", version="1", licence="Apache-2.0"),
        description="Halves x and takes the softmax of each row.",
        reference=REFERENCE.format(name=name),
        entry_point=name,
        cases=(Case(name="a", args={"rows": 4, "columns": 128, "dtype": "float32"}),),
        hidden_cases=(Case(name="b", args={"rows": 3, "columns": 100, "dtype": "float32"}, hidden=True),),
        tolerance="T32",
        difficulty=2,
        split="heldout" if split == "heldout" else "train",
    )


def make_run(out: Path, *, passes: bool = True) -> None:
    """Write every file that the report reads; with `passes=False` no model has solved anything."""
    tasks = [make_task(n, ("softmax", "gather")[n % 2], "heldout") for n in range(6)]
    tasks += [make_task(n, "elementwise", "train") for n in range(4)]
    _data(out / "data", tasks)
    chance = random.Random(0)
    _training(out, chance, passes)
    rates = {"base": 0.0, "sft": 0.25, "rl": 0.35} if passes else {"base": 0.0, "sft": 0.0, "rl": 0.0}
    heldout = [task for task in tasks if task.split == "heldout"]
    for furthest, (model, rate) in zip((3, 6, 6), rates.items(), strict=True):
        samples = [_sample(task, i, rate, furthest, chance) for task in heldout for i in range(4)]
        write_samples(out / "eval" / model / "samples.jsonl", samples)
        metrics = measure(model, samples, {task.id: task.family for task in heldout}, (1, 4))
        write_json(out / "eval" / model / "metrics.json", metrics.model_dump(mode="json"))
    for stage in ("data", "sft", "rl", "eval/base", "eval/sft", "eval/rl"):
        write_json(out / stage / "stamp.json", STAMP)
        (out / stage / "config.yaml").write_text("model:\n  name: smollm2_135m\n  parameters_millions: 134.5\n")
    seconds = {
        "harvest and tasks": 61.5,
        "evaluate base": 88.0,
        "SFT": 301.2,
        "GRPO": 240.9,
        "evaluate SFT and GRPO": 171.3,
    }
    write_json(out / "stages.json", seconds)


def _data(folder: Path, tasks: list[Task]) -> None:
    solved = [Solution(task_id=t.id, code=KERNEL.format(name=t.entry_point), verdict=PASSED) for t in tasks]
    write_tasks(folder, zip(tasks, solved, strict=True))
    path = "liger_kernel/ops/experimental/a_rather_long_folder_name/fused_linear_cross_entropy.py"
    source = Provenance(origin="package:liger-kernel", version="0.8.5", path=path, licence="BSD-2-Clause")
    kernels = [
        Kernel(
            id=f"k{n}", name=f"_layer_norm_forward_kernel_{n}", source=source, code=KERNEL, launchers=("def f(): ...",)
        )
        for n in range(15)
    ]
    write_kernels(folder, kernels)
    summary = {
        "harvested_kernels": 15,
        "launchers": 20,
        "licences": {"BSD-2-Clause": 15},
        "proposed_tasks": 14,
        "admitted_tasks": 10,
        "refused": {"numerics": 3, "constant output": 1},
        "families": {"softmax": 3, "gather": 3, "elementwise": 4},
    }
    write_json(folder / "summary.json", summary)


def _training(out: Path, chance: random.Random, passes: bool) -> None:
    (out / "sft").mkdir(parents=True, exist_ok=True)
    (out / "rl").mkdir(parents=True, exist_ok=True)
    loss = [{"step": s, "loss": 0.3 + 2.2 * 0.95**s + chance.uniform(-0.08, 0.08)} for s in range(1, 61)]
    _lines(out / "sft" / "metrics.jsonl", loss)
    write_json(out / "sft" / "summary.json", {"steps": 60, "heldout_loss_before": 2.31, "heldout_loss_after": 0.44})
    reward = [{"step": s, "reward": 0.12 + 0.02 * s, "reward_std": 0.1} for s in range(1, 5)]
    _lines(out / "rl" / "metrics.jsonl", reward)
    write_json(
        out / "rl" / "summary.json",
        {"steps": 4, "parameters_changed": 0.93, "step_seconds": 200.0, "reward_wait_seconds": 31.0},
    )
    verdicts = [*REJECTIONS, *REJECTIONS, *([PASSED] * 3 if passes else []), Broken(reason="worker lost")]
    rows = [
        {"step": n // 8, "task_id": "train-0", "completion": "…", "verdict": v.model_dump(mode="json"), "reward": 0.1}
        for n, v in enumerate(verdicts)
    ]
    _lines(out / "rl" / "rollouts.jsonl", rows)


def _sample(task: Task, index: int, rate: float, furthest: int, chance: random.Random) -> Sample:
    good = chance.random() < rate
    verdict = PASSED if good else chance.choice(REJECTIONS[:furthest])
    code = KERNEL.format(name=task.entry_point)
    return Sample(
        task_id=task.id,
        index=index,
        prompt="p",
        completion=f"```python\n{code}```" if good else f"```python\n{code.replace('tl.max', 'tl.min')}```",
        truncated=chance.random() < 0.2,
        tokens=200,
        verdict=verdict,
    )


def _lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
