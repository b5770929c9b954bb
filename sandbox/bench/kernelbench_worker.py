"""The process around KernelBench's evaluator: `python -m sandbox.bench.kernelbench_worker RESULTS SETTINGS PAIRS…`.

Like its own script: the parent imports the evaluator, and each kernel gets a spawned process, which imports it again,
loads reference and candidate, checks, times and returns the result by pickle.
"""

import importlib
import json
import multiprocessing
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from configs.stamp import write_json

CLIENTS = {"dotenv": "load_dotenv", "openai": "OpenAI", "litellm": "completion"}
"""Packages that its `utils.py` imports for generating kernels, with the name it takes; evaluating uses none."""


def stand_in() -> list[str]:
    """Put an empty module in place of each client that cannot be imported; returns their names."""
    missing = []
    for name, attribute in CLIENTS.items():
        try:
            importlib.import_module(name)
        except ImportError:
            module = ModuleType(name)
            module.__spec__ = ModuleSpec(name, None)
            setattr(module, attribute, lambda *arguments, **options: None)
            sys.modules[name] = module
            missing.append(name)
    return missing


def evaluate(reference: str, candidate: str, settings: dict[str, Any]) -> dict[str, Any]:
    """In the spawned process: its `evaluate_single_sample`."""
    stand_in()
    import torch

    evaluator = importlib.import_module("kernelbench.eval")
    result = evaluator.eval_kernel_against_ref(
        original_model_src=Path(reference).read_text(),
        custom_model_src=Path(candidate).read_text(),
        measure_performance=settings["measure_performance"],
        timing_method=settings["timing_method"],
        verbose=False,
        num_correct_trials=settings["num_correct_trials"],
        num_perf_trials=settings["num_perf_trials"],
        build_dir=None,
        device=torch.device("cuda:0"),
        backend=settings["backend"],
        precision=evaluator.get_torch_dtype_from_string(settings["precision"]),
    )
    if result is None:
        return {"compiled": False, "correctness": False, "metadata": {"error": "the evaluator asks for a retry"}}
    metadata = {key: str(value)[:300] for key, value in result.metadata.items()}
    return {
        "compiled": result.compiled, "correctness": result.correctness, "runtime_ms": result.runtime,
        "reference_ms": result.ref_runtime, "metadata": metadata,
    }  # fmt: skip


def main() -> None:
    results, settings, files = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
    missing = stand_in()
    importlib.import_module("kernelbench.eval")
    spawn = multiprocessing.get_context("spawn")
    rows = []
    began = time.monotonic()
    for reference, candidate in zip(files[::2], files[1::2], strict=True):
        started = time.monotonic()
        with spawn.Pool(1) as pool:
            try:
                row = pool.apply_async(evaluate, (reference, candidate, settings)).get(timeout=settings["timeout"])
            except multiprocessing.TimeoutError:
                row = {"compiled": False, "correctness": False, "metadata": {"error": "Evaluation timed out"}}
            except Exception as error:  # as its script does: whatever goes wrong is recorded as a failed kernel
                row = {"compiled": False, "correctness": False, "metadata": {"error": repr(error)[:300]}}
        rows.append({"name": Path(reference).stem, **row, "seconds": time.monotonic() - started})
    write_json(results, {"seconds": time.monotonic() - began, "stand_ins": missing, "rows": rows})


if __name__ == "__main__":
    main()
