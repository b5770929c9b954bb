"""A data stage in miniature for the training tests: elementwise tasks with correct Triton solutions, and configs."""

from pathlib import Path

from hydra import compose, initialize_config_module

from configs.main import validate
from configs.schema import Config
from data_pipeline.store import write_tasks
from data_pipeline.task import Provenance, Solution, Task
from sandbox.types import Case, CaseResult, Passed

OPERATORS = ("x + 1.0", "x * 2.0", "x * x", "x - 3.0", "x * 0.5 + 1.0", "x * x * x", "x - x * x", "x * -1.0")

REFERENCE = """import torch


def make_inputs(case, draw):
    return (draw.normal((case["n"],)),)


def {name}(x):
    return {expression}
"""

SOLUTION = """import torch
import triton
import triton.language as tl


@triton.jit
def kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    tl.store(y_ptr + offsets, {expression}, mask=mask)


def {name}(x):
    y = torch.empty_like(x)
    kernel[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), BLOCK=256)
    return y
"""

PASSED = Passed(
    cases=(CaseResult(name="small", hidden=False, distribution="normal", rel_l2=0.0, limit_share=0.0, launches=1),)
)


def write_data(out: Path, count: int = 24) -> None:
    """`<out>/data/tasks.parquet` with `count` training tasks and one held-out task."""
    tasks, solutions = [], []
    for number in range(count + 1):
        name, expression = f"op_{number}", OPERATORS[number % len(OPERATORS)]
        task = Task(
            id=f"task-{number:03d}",
            family="elementwise",
            source=Provenance(origin="synthetic", version="1", licence="Apache-2.0"),
            description=f"Elementwise {expression}.",
            reference=REFERENCE.format(name=name, expression=expression),
            entry_point=name,
            cases=(Case(name="small", args={"n": 100 + number}),),
            hidden_cases=(),
            tolerance="T32",
            difficulty=1,
            split="heldout" if number == count else "train",
        )
        tasks.append(task)
        code = SOLUTION.format(name=name, expression=expression)
        solutions.append(Solution(task_id=task.id, code=code, verdict=PASSED))
    write_tasks(out / "data", zip(tasks, solutions, strict=True))


def compose_config(out: Path, *overrides: str) -> Config:
    """The shipped configuration with the tiny model on the CPU, and overrides."""
    with initialize_config_module("configs", version_base=None):
        return validate(compose("config", ["model=tiny", "device=cpu", f"out={out}", *overrides]))
