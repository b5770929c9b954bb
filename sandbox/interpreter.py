"""Executes a checked plan on a CPU: kernel bodies under Triton's interpreter, everything else with torch.

Runs inside an isolated child of the `interpret` zygote. No candidate host code is here, only the clean kernel module
(`kernel_source`), real inputs in shared memory, and nothing that knows what is expected.
"""

import traceback
from math import prod
from pathlib import Path
from typing import Any

import torch
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from sandbox import arena, triton_interpreter, triton_trace
from sandbox.memory_watch import MemoryWatch
from sandbox.plan import (
    Argument,
    Constant,
    Copy,
    Descriptor,
    Fill,
    Group,
    Launch,
    Plan,
    Pointer,
    Scalar,
    Step,
    View,
    decode_number,
    touched,
)

MAX_REASON = 400
MAX_LOG = 4000


def warm() -> None:
    """Import what every plan needs."""
    triton_trace.check_version()
    triton_interpreter.mend_bfloat16()
    import triton.language.extra.libdevice
    import triton.runtime.interpreter  # noqa: F401

    torch.set_num_threads(1)


def interpret(request: dict[str, Any], scratch: Path, fds: list[int]) -> dict[str, Any]:
    """Request: `plan`, `layout`, and the fields of a `KernelModule`. Descriptor: the arena.

    Reply: `{"changed": […]}`, for each step the buffers whose bytes it changed, or `{"rejected": {…}}`, or
    `{"fault": …}` where the interpreter itself lacks something.
    """
    plan = Plan.model_validate(request["plan"])
    where = arena.Layout.model_validate(request["layout"])
    memory = arena.attach(fds[0], where.nbytes)
    try:
        runner = _Runner(plan, where, memory, request, scratch)
        return {"changed": [sorted(runner.run(step)) for step in plan.steps]}
    except Exception as error:  # a kernel may raise anything; it is reported, not hidden
        return _describe(error)


class _Runner:
    """One plan over one arena."""

    def __init__(
        self, plan: Plan, where: arena.Layout, memory: torch.Tensor, request: dict[str, Any], scratch: Path
    ) -> None:
        self.plan, self.where, self.memory = plan, where, memory
        self.watch = MemoryWatch.install()
        self.synchronises, self.waits = bool(request["synchronises"]), bool(request["waits"])
        self.functions: list[dict[str, Any]] = []
        for number, kernel in enumerate(plan.kernels):
            folder = scratch / str(number)
            folder.mkdir()
            constants = {
                name: self._value(argument)
                for name, argument in kernel.constants.items()
                if name not in request["aliases"] and name not in request["functions"]
            }
            module = triton_interpreter.interpreted(
                request["source"], tuple(request["functions"]), request["aliases"], constants, folder
            )
            self.functions.append(module)

    def run(self, step: Step) -> set[int]:
        """Execute one step; returns the buffers whose bytes changed."""
        if isinstance(step, Launch):
            before = {number: self._bytes(number).clone() for number in touched(step)}
            self._launch(step)
            return {number for number, old in before.items() if not torch.equal(old, self._bytes(number))}
        if isinstance(step, Fill):
            self._view(step.target).fill_(decode_number(step.value))
        elif isinstance(step, Copy):
            self._view(step.target).copy_(self._view(step.source))
        elif isinstance(step, Constant):
            target = self._view(step.target)
            target.copy_(torch.tensor([decode_number(v) for v in step.values], dtype=target.dtype).view(target.shape))
        else:
            raise AssertionError(f"a step of kind {step.kind} passed the plan's check")
        return {step.target.buffer}

    def _launch(self, step: Launch) -> None:
        kernel = self.plan.kernels[step.kernel]
        module = self.functions[step.kernel]
        arguments = {name: self._value(argument, module) for name, argument in step.arguments.items()}
        slots = [self.where.slots[number] for number in touched(step)]
        base = self.memory.data_ptr()
        buffers = [(base + s.offset, base + s.offset + s.nbytes) for s in slots]
        order = [] if self.waits else torch.randperm(prod(step.grid)).tolist()
        self.watch.start(base, self.where.nbytes, buffers, races=not self.synchronises, order=order)
        module[kernel.name][tuple(step.grid)](**arguments)

    def _value(self, argument: Argument, module: dict[str, Any] | None = None) -> Any:
        if isinstance(argument, Pointer):
            return self._view(argument.view)
        if isinstance(argument, Scalar):
            value = argument.value
            if isinstance(value, str) and value.startswith("float:"):
                value = decode_number(value)
            return value  # a module's tl.constexpr too: `HALF * x` must be a tensor, not a constexpr of one
        if isinstance(argument, Group):
            return tuple(self._value(item, module) for item in argument.items)
        if isinstance(argument, Descriptor):
            view = self._view(argument.view)
            return TensorDescriptor(view, list(view.shape), list(view.stride()), argument.block_shape)
        if argument.kind == "dtype":
            return tl.dtype(argument.name)
        if module is None or argument.name not in module:
            raise KeyError(f"function {argument.name!r} is not a kernel function of the candidate")
        return module[argument.name]

    def _view(self, view: View) -> torch.Tensor:
        slot = self.where.slots[view.buffer]
        return arena.strided(self.memory, slot, getattr(torch, view.dtype), view.shape, view.strides, view.offset)

    def _bytes(self, number: int) -> torch.Tensor:
        slot = self.where.slots[number]
        return self.memory[slot.offset : slot.offset + slot.nbytes]


def _describe(error: Exception) -> dict[str, Any]:
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    log = "".join(traceback.format_exception(error, limit=-6))[-MAX_LOG:]
    if isinstance(root, NotImplementedError | ImportError):
        return {"fault": f"the CPU interpreter cannot run this kernel: {root}"[:MAX_REASON]}
    return {"rejected": {"reason": f"{type(root).__name__}: {root}"[:MAX_REASON], "log": log}}
