"""KernelBench's protocol on one candidate: `python -m eval.benchmarks.kernelbench.upstream_worker FD REQUEST`.

Written from its description, none of it is its code. Where it differs from the hardened protocol, and from upstream:

1. Reference and candidate share this process, its clock and its random numbers, as upstream has it: a candidate that
   wants to cheat can. The jail protects the host, not the numbers. Baselines are timed before the candidate is loaded.
2. Seed 42 before each constructor; five trials, whose seeds are drawn under seed 42; shapes must be equal, and values
   by `torch.allclose` with one number for both tolerances. Models stay in training mode.
3. Times are means of 100 event-timed calls, each after a write of 256 MiB; one call more, the first, is dropped.
   Candidate and eager baseline record gradients while they are timed, as in upstream's evaluator; `torch.compile` is
   timed without, as in its script for baselines.
4. Only floating-point inputs become the precision. Upstream casts integers too, so that its cross entropy fails.
"""

import importlib
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from eval.benchmarks.kernelbench.upstream import Protocol, Request
from sandbox.jail import isolation

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 1e-2}
FLUSH_BYTES = 256 << 20
MEMORY_MIB, CPU_SECONDS = 64 << 10, 3600
LAYERS = frozenset({"net namespace", "ipc namespace", "uts namespace", "landlock"})
"""What a process with a CUDA context can still enter; it must be able to start ptxas and a C compiler afterwards."""


class ReferenceFailedError(Exception):
    """The problem's own code fails: no fault of the candidate."""


class Problem:
    """A reference file, loaded on a device."""

    def __init__(self, source: str, protocol: Protocol) -> None:
        self.protocol = protocol
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = DTYPES[protocol.precision]
        self.namespace: dict[str, Any] = {"__name__": "problem"}
        exec(compile(source, "<problem>", "exec"), self.namespace)
        self.seed(protocol.seed)
        self.init_inputs = self._moved(self.namespace["get_init_inputs"]())

    def seed(self, seed: int) -> None:
        torch.manual_seed(seed)  # of all devices

    def inputs(self, seed: int) -> list[Any]:
        self.seed(seed)
        return self._moved(self.namespace["get_inputs"]())

    def construct(self, kind: Callable[..., torch.nn.Module]) -> torch.nn.Module:
        with torch.no_grad():
            self.seed(self.protocol.seed)
            return kind(*self.init_inputs).to(device=self.device, dtype=self.dtype)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _moved(self, values: list[Any]) -> list[Any]:
        return [self._moved_one(value) if isinstance(value, torch.Tensor) else value for value in values]

    def _moved_one(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device=self.device, dtype=self.dtype if tensor.is_floating_point() else None)


def check(problem: Problem, reference: torch.nn.Module, candidate: Callable[..., Any]) -> tuple[int, str]:
    """How many trials came out right, and why the others did not.

    Raises:
        ReferenceFailedError: there is nothing to compare with.
    """
    problem.seed(problem.protocol.seed)
    seeds = [int(torch.randint(0, 2**32 - 1, (1,)).item()) for _ in range(problem.protocol.trials)]
    tolerance, right, reason = TOLERANCE[problem.protocol.precision], 0, ""
    for seed in seeds:
        try:
            inputs = problem.inputs(seed)
            problem.seed(seed)
            expected = reference(*inputs)
            problem.wait()
        except Exception as error:  # out of memory, most likely; but a problem's code may raise anything
            raise ReferenceFailedError(_told(error)) from error
        try:
            found = candidate(*inputs)
            problem.wait()
            if expected.shape != found.shape:
                return right, f"the output has shape {tuple(found.shape)}, not {tuple(expected.shape)}"
            if torch.allclose(expected, found, atol=tolerance, rtol=tolerance):
                right += 1
            else:
                worst = (expected - found).abs().max().item()
                reason = f"the output differs from the reference's by up to {worst:.3g}"
        except BaseException as error:  # whatever a candidate raises is its own doing
            return right, _told(error)
    return right, reason


def measure(call: Callable[..., Any], inputs: list[Any], protocol: Protocol) -> list[float]:
    """Milliseconds of each timed call."""
    from sandbox.replaying.graphs import new_event  # needs a driver

    for _ in range(protocol.warmups):
        call(*inputs)
        torch.cuda.synchronize()
    torch.cuda.empty_cache()
    found = []
    for _ in range(1 + protocol.runs):
        torch.cuda.synchronize()
        start, end = new_event(), new_event()
        torch.empty(FLUSH_BYTES, dtype=torch.uint8, device="cuda").fill_(42)
        start.record()
        kept = call(*inputs)  # noqa: F841  # lives until the next call is done, as upstream's: memory comes in turns
        end.record()
        torch.cuda.synchronize()
        found.append(start.elapsed_time(end))
    return found[1:]


def baselines(problem: Problem, reference: torch.nn.Module, names: tuple[str, ...]) -> dict[str, list[float]]:
    """Milliseconds by baseline; one that `torch.compile` cannot make is left out."""
    inputs, found = problem.inputs(problem.protocol.seed), {}
    if "eager" in names:
        found["eager"] = measure(reference, inputs, problem.protocol)
    if "compile" in names:
        torch._inductor.config.compile_threads = 1  # its processes would outlive the measurement
        try:
            with torch.no_grad():
                found["compile"] = measure(torch.compile(reference), inputs, problem.protocol)
        except RuntimeError:
            traceback.print_exc()
    return found


def load_candidate(path: Path) -> Any:
    """Import the file: Triton reads source lines."""
    spec = importlib.util.spec_from_file_location("candidate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["candidate"] = module
    spec.loader.exec_module(module)
    return module.ModelNew


def verdict(problem: Problem, reference: torch.nn.Module, path: Path) -> dict[str, Any]:
    """Load, check, and time what is right."""
    try:
        kind = load_candidate(path)
    except BaseException as error:  # whatever a candidate raises is its own doing
        return {"compiled": False, "correct": False, "reason": _told(error)}
    try:
        candidate = problem.construct(kind)
        problem.wait()
    except BaseException as error:  # likewise
        return {"compiled": True, "correct": False, "reason": _told(error)}
    with torch.no_grad():
        right, reason = check(problem, reference, candidate)
    found = {"compiled": True, "correct": right == problem.protocol.trials, "reason": reason, "trials_right": right}
    if not found["correct"] or problem.device.type == "cpu":
        return found
    try:
        return {**found, "ms": measure(candidate, problem.inputs(problem.protocol.seed), problem.protocol)}
    except BaseException as error:  # right, and yet it cannot be timed: upstream keeps such a kernel as correct
        return {**found, "reason": f"timing failed: {_told(error)}"}


def _told(error: BaseException) -> str:
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}"[:500]


def main() -> None:
    isolation.die_with_parent()
    fd, request = int(sys.argv[1]), Request.model_validate_json(Path(sys.argv[2]).read_bytes())

    def tell(**message: Any) -> None:
        os.write(fd, (json.dumps(message) + "\n").encode())

    scratch = Path(sys.argv[2]).parent
    layers = isolation.available(scratch) & LAYERS
    if os.geteuid() != 0:  # a user namespace takes no process with threads
        layers &= {"landlock"}
    problem = Problem(request.reference, request.protocol)
    if request.baselines:  # on a model of their own: what calls leave in it must not be in the reference
        tell(baselines=baselines(problem, problem.construct(problem.namespace["Model"]), request.baselines))
    reference = problem.construct(problem.namespace["Model"])
    candidate = scratch / "candidate.py"
    candidate.write_text(request.candidate)
    jail = isolation.Jail(layers, scratch, "replay")
    jail.paths += [Path(folder) for folder in (sys.prefix, sys.base_prefix)]  # headers, for Triton's launchers
    if problem.device.type == "cuda":
        importlib.import_module("sandbox.replaying.graphs")  # for `measure`: what is ours cannot be read in the jail
    jail.prepare()
    jail.enter(MEMORY_MIB, CPU_SECONDS)
    tell(jail=sorted(layers))
    try:
        tell(verdict=verdict(problem, reference, candidate))
    except ReferenceFailedError as error:
        tell(fault=str(error))


if __name__ == "__main__":
    main()
