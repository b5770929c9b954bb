"""Executes a checked plan on a CPU: kernel bodies under Triton's interpreter, everything else with torch.

Runs inside an isolated child of the `interpret` zygote. No candidate host code is here, only the clean kernel module
(`kernels.source`), real inputs in shared memory, and nothing that knows what is expected.
"""

import importlib
import secrets
import tempfile
import traceback
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from sandbox.interpreting.lanes import WARPS
from sandbox.interpreting.memory_watch import MemoryWatch
from sandbox.interpreting.open_answers import ANSWER
from sandbox.kernels.request import functions_among
from sandbox.plans import arena, aten
from sandbox.plans.plan import (
    Argument,
    Copy,
    Descriptor,
    Fill,
    Group,
    Launch,
    Plan,
    Pointer,
    Scalar,
    Step,
    TorchCall,
    View,
    decode_number,
    touched,
    written_by,
)
from sandbox.triton_private import interpreter as triton_interpreter
from sandbox.triton_private import python as triton_python
from sandbox.triton_private import trace as triton_trace

MAX_REASON = 400
MAX_LOG = 4000
MAX_LINE = 120

WARM = ("numpy.ctypeslib", "numpy.random", "triton.language.extra.libdevice", "triton.runtime.interpreter")
"""NumPy imports its own parts at their first use."""
FIRST = """
def first(x_ptr, y_ptr, n, scale, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0)
    tl.store(y_ptr + at, tl.exp(x - tl.max(x, 0)) * scale, mask=at < n)
"""


class OpenConversionError(Exception):
    """A processor's answer is not a GPU's."""


def warm() -> None:
    """Import what every plan needs, and launch once: Triton imports a good deal at its first launch, which
    every case would pay for in its own child.
    """
    triton_trace.check_version()
    triton_interpreter.mend_numbers()
    for name in WARM:
        importlib.import_module(name)

    torch.set_num_threads(1)
    x = torch.ones(1, 1, 64, 64)  # what torch looks up about the processor, while it still may
    for dtype in (torch.float16, torch.bfloat16):
        torch.nn.functional.conv2d(x.to(dtype), x[..., :3, :3].to(dtype)).matmul(x[..., :62, :].to(dtype)).float()
    torch.nn.functional.scaled_dot_product_attention(x, x, x)
    with tempfile.TemporaryDirectory() as folder:
        module = triton_interpreter.interpreted(FIRST, ("first",), {"tl": "triton.language"}, {}, {}, Path(folder))
    arguments = {"x_ptr": torch.ones(16), "y_ptr": torch.empty(16), "n": 16, "scale": 2.0, "BLOCK": 16}
    triton_interpreter.launch(module["first"], (1,), arguments, (), lambda run: run())


def interpret(request: dict[str, Any], scratch: Path, fds: list[int]) -> dict[str, Any]:
    """Request: `plan`, `layout`, `answer` (`open_answers`), `again` (kept memory is as an earlier run left it, without
    first content) and the fields of a `KernelModule`. Descriptor: the arena.

    Reply: `{"changed": […], "answers": …}`, for each step the buffers whose bytes it changed, and how many answers were
    possible, or `{"rejected": {…}}`, or `{"fault": …}` where the interpreter itself lacks something.
    """
    plan = Plan.model_validate(request["plan"])
    where = arena.Layout.model_validate(request["layout"])
    memory = arena.attach(fds[0], where.nbytes)
    try:
        runner = _Runner(plan, where, memory, request, scratch)
        ANSWER.number = int(request.get("answer", 0))
        return {"changed": [sorted(runner.run(step)) for step in plan.steps], "answers": ANSWER.known}
    except Exception as error:  # a kernel may raise anything; it is reported, not hidden
        return _describe(error)


class _Runner:
    """One plan over one arena."""

    def __init__(
        self, plan: Plan, where: arena.Layout, memory: torch.Tensor, request: dict[str, Any], scratch: Path
    ) -> None:
        self.plan, self.where, self.memory = plan, where, memory
        self.watch = MemoryWatch.install(memory.data_ptr(), where.nbytes)
        self.written = torch.from_numpy(self.watch.written)
        self.again = bool(request.get("again"))
        for number, buffer in enumerate(plan.buffers):
            if buffer.input is not None or (buffer.kept and self.again):
                self._bytes(number, self.written).fill_(1)
        self.synchronises, self.waits = bool(request["synchronises"]), bool(request["waits"])
        self.functions: list[dict[str, Any]] = []
        known = {name for kernel in plan.kernels for name in kernel.constants}
        for number, kernel in enumerate(plan.kernels):
            folder = scratch / str(number)
            folder.mkdir()
            own = {
                name: kernel.constants.get(name)
                for name in known  # another kernel's too, or else the interpreter's own names would take their place
                if name not in request["aliases"] and name not in [*request["functions"], *request["compile_time"]]
            }
            renamed = functions_among({name: constant for name, constant in own.items() if constant})
            constants = {n: self._value(c) if c and n not in renamed else None for n, c in own.items()}
            module = triton_interpreter.interpreted(
                request["source"], tuple(request["functions"]), request["aliases"], constants, renamed, folder,
                request["compile_time"],
            )  # fmt: skip
            self.functions.append(module)

    def run(self, step: Step) -> set[int]:
        """Execute one step; returns the buffers whose bytes changed."""
        if isinstance(step, Launch):
            before = {number: self._bytes(number).clone() for number in touched(step)}
            self._launch(step)
            return {number for number, old in before.items() if not torch.equal(old, self._bytes(number))}
        if step.kept and self.again:
            return set()
        if isinstance(step, TorchCall):
            aten.check(step)
            aten.execute(step, self._view)
            for view in written_by(step):
                self._marks(view).fill_(1)
            return {view.buffer for view in written_by(step)}
        self._marks(step.target).fill_(1)
        if isinstance(step, Fill):
            self._view(step.target).fill_(decode_number(step.value))
        elif isinstance(step, Copy):
            self._check_held(step)
            self._view(step.target).copy_(self._view(step.source))
            self._marks(step.target).copy_(self._marks(step.source).amin(-1, keepdim=True))
        else:
            target = self._view(step.target)
            target.copy_(torch.tensor([decode_number(v) for v in step.values], dtype=target.dtype).view(target.shape))
        return {step.target.buffer}

    def _check_held(self, step: Copy) -> None:
        """Raises:
        OpenConversionError: a number that a kernel or a step has written is none of the target's type.
        """
        numbers, target = self._view(step.source), getattr(torch, step.target.dtype)
        if not numbers.is_floating_point() or target.is_floating_point or target in (torch.bool, torch.complex64):
            return
        low, high = torch.iinfo(target).min, 2.0 ** (torch.iinfo(target).bits - target.is_signed)
        whole = numbers.double().trunc()
        open_ = ~((whole >= low) & (whole < high)) & self._marks(step.source).amin(-1).bool()
        if bool(open_.any()):
            raise OpenConversionError(
                f"torch leaves open what {numbers[open_][0].item():g} is as {step.target.dtype}; clamp it first"
            )

    def _launch(self, step: Launch) -> None:
        kernel = self.plan.kernels[step.kernel]
        module = self.functions[step.kernel]
        arguments = {name: self._value(argument, module) for name, argument in step.arguments.items()}
        slots = [self.where.slots[number] for number in touched(step)]
        base = self.memory.data_ptr()
        buffers = [(base + s.offset, base + s.offset + s.nbytes) for s in slots]
        order = np.random.default_rng(secrets.randbits(64)).permutation(prod(step.grid))
        self.watch.start(buffers, order, self.synchronises, self.waits)
        fixed = [
            name for name, argument in step.arguments.items()
            if isinstance(argument, Group) or (isinstance(argument, Scalar) and argument.constexpr)
        ]  # fmt: skip
        self.watch.lanes.blocks = int(kernel.options.get("num_ctas") or 1)
        self.watch.lanes.warps = int(kernel.options.get("num_warps") or WARPS)
        triton_interpreter.launch(module[kernel.name], tuple(step.grid), arguments, fixed, self.watch.turn)

    def _value(self, argument: Argument, module: dict[str, Any] | None = None) -> Any:
        if isinstance(argument, Pointer):
            view = self._view(argument.view)
            return triton_interpreter.pointer(view.data_ptr(), argument.type) if argument.type else view
        if isinstance(argument, Scalar):
            value = argument.value
            if isinstance(value, str) and value.startswith("float:"):
                value = decode_number(value)
            if argument.type and not isinstance(value, str) and value is not None:
                return triton_interpreter.runtime_number(value, argument.type)
            return value  # a module's tl.constexpr too: `HALF * x` must be a tensor, not a constexpr of one
        if isinstance(argument, Group):
            return tuple(self._item(item, module) for item in argument.items)
        if isinstance(argument, Descriptor):
            view = self._view(argument.view)
            return TensorDescriptor(view, list(view.shape), list(view.stride()), argument.block_shape, argument.padding)
        if argument.kind == "language":
            return triton_interpreter.resolved(argument.name)
        if argument.kind == "dtype":
            return tl.dtype(argument.name)
        if module is None or argument.name not in module:
            raise KeyError(f"function {argument.name!r} is not a kernel function of the candidate")
        return module[argument.name]

    def _item(self, item: Argument, module: dict[str, Any] | None) -> Any:
        """Of a tuple, which may hold constants beside others: as the kernel finds it."""
        value = self._value(item, module)
        constant = isinstance(item, Group) or (isinstance(item, Scalar) and item.constexpr)
        return value if constant else triton_interpreter.converted(value)

    def _view(self, view: View) -> torch.Tensor:
        slot = self.where.slots[view.buffer]
        return arena.strided(self.memory, slot, getattr(torch, view.dtype), view.shape, view.strides, view.offset)

    def _marks(self, view: View) -> torch.Tensor:
        """For each byte of each element, (*shape, itemsize), whether anything has set it."""
        size = getattr(torch, view.dtype).itemsize
        strides = [*(stride * size for stride in view.strides), 1]
        slot = self.where.slots[view.buffer]
        return arena.strided(self.written, slot, torch.uint8, [*view.shape, size], strides, view.offset * size)

    def _bytes(self, number: int, memory: torch.Tensor | None = None) -> torch.Tensor:
        slot = self.where.slots[number]
        return (self.memory if memory is None else memory)[slot.offset : slot.offset + slot.nbytes]


def _describe(error: Exception) -> dict[str, Any]:
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    if isinstance(root, NotImplementedError | ImportError):
        return {"fault": f"the CPU interpreter cannot run this kernel: {root}"[:MAX_REASON]}
    said = f"{type(root).__name__}: {root}"
    places = [f for f in traceback.extract_tb(root.__traceback__) if Path(f.filename).name == triton_interpreter.FILE]
    if places:  # line numbers are of the cleaned source, which nobody has
        line = triton_python.readable(places[-1].line or "")
        said = f"{said} (kernel {places[-1].name} at `{line[:MAX_LINE]}`)"
    log = "".join(traceback.format_exception(error, limit=-6))[-MAX_LOG:] if not places else ""
    return {"rejected": {"reason": said[:MAX_REASON], "log": log}}
