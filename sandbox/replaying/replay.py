"""Executes a checked plan on a GPU: compiled kernels, fills, copies and whitelisted torch operators, on one stream.

Runs in the replayer (`sandbox.replaying.replayer`). The same code runs a case once and is captured into a CUDA graph.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from sandbox.compiling.binary import Binary, DescriptorLayout
from sandbox.plans import arena, aten
from sandbox.plans.plan import (
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
    TorchCall,
    View,
    decode_number,
    touched,
    written_by,
)
from sandbox.replaying import cuda
from sandbox.replaying.launch_parameters import SCRATCH_PARAMETERS, ParameterError, Value, pack, scalar

WARP = 32
MAX_SCRATCH_BYTES = 2 << 30
"""Scratch that compiled code asks for in one launch: 128 bytes a program and tensor descriptor made on the device."""
_TF32 = 11  # CU_TENSOR_MAP_DATA_TYPE_TFLOAT32


class Kernel(NamedTuple):
    """A loaded kernel."""

    module: Any
    function: Any
    binary: Binary
    sizes: list[int]
    """Bytes of every parameter."""


def load(binary: Binary) -> Kernel:
    """Raises:
    ParameterError: it has fewer parameters than every kernel has.
    cuda.CudaError: the driver refuses it.
    """
    module, function = cuda.load_function(binary.code, binary.symbol, binary.shared_bytes, binary.num_ctas)
    sizes = cuda.parameter_sizes(function)
    if len(sizes) < SCRATCH_PARAMETERS:
        raise ParameterError(f"kernel {binary.symbol} has {len(sizes)} parameters")
    return Kernel(module, function, binary, sizes)


class Replay:
    """One plan over one set of buffers. Call `run` as often as needed; `deliver` puts outputs where the judge looks."""

    def __init__(self, plan: Plan, where: arena.Layout, memory: torch.Tensor, kernels: list[Kernel]) -> None:
        """Args:
        memory: the set's bytes, uint8 (where.nbytes,), on the GPU.
        kernels: one for each of the plan's, in order.
        """
        self.plan, self.where, self.memory, self.kernels = plan, where, memory, kernels
        self.results: dict[int, torch.Tensor] = {}  # buffers that live where a torch operator put its result
        self.literals = {number: _literal(step) for number, step in enumerate(plan.steps) if isinstance(step, Constant)}

    def run(self) -> None:
        """All steps, asynchronously."""
        self.results.clear()
        for number in range(len(self.plan.steps)):
            self.step(number)

    def watched(self) -> list[set[int]]:
        """All steps, one after the other; for each the buffers whose bytes it changed."""
        changed, compared = [], []
        self.results.clear()
        for number, step in enumerate(self.plan.steps):
            before = {b: self._bytes(b).clone() for b in touched(step)} if isinstance(step, Launch) else {}
            self.step(number)
            compared += [(old != self._bytes(buffer)).any() for buffer, old in before.items()]
            changed.append((list(before), _written(step)))
        answers = iter(torch.stack(compared).tolist() if compared else [])  # one wait for the device
        return [written | {buffer for buffer in launched if next(answers)} for launched, written in changed]

    def deliver(self, views: list[View]) -> None:
        """Copy outputs that lie in an operator's own memory into the arena."""
        for view in views:
            if view.buffer in self.results:
                self._slot_view(view).copy_(self.view(view))

    def step(self, number: int) -> None:
        """One step, asynchronously."""
        step: Step = self.plan.steps[number]
        if isinstance(step, Launch):
            self._launch(step)
        elif isinstance(step, Fill):
            self.view(step.target).fill_(decode_number(step.value))
        elif isinstance(step, Copy):
            self.view(step.target).copy_(self.view(step.source))
        elif isinstance(step, Constant):
            self.view(step.target).copy_(self.literals[number])
        else:
            self._torch(step)

    def view(self, view: View) -> torch.Tensor:
        """The tensor that a view means now."""
        if view.buffer not in self.results:
            return self._slot_view(view)
        return self.results[view.buffer].as_strided(view.shape, view.strides, view.offset)

    def _slot_view(self, view: View) -> torch.Tensor:
        slot = self.where.slots[view.buffer]
        return arena.strided(self.memory, slot, getattr(torch, view.dtype), view.shape, view.strides, view.offset)

    def _bytes(self, buffer: int) -> torch.Tensor:
        slot = self.where.slots[buffer]
        return self.memory[slot.offset : slot.offset + slot.nbytes]

    def _torch(self, step: TorchCall) -> None:
        for result, view in zip(aten.run(step, self.view), step.results, strict=True):
            aten.compare(step, view, result)
            same = list(result.stride()) == view.strides and result.storage_offset() == view.offset
            owned = view.buffer in self.results or self.plan.buffers[view.buffer].input is not None
            if result.data_ptr() == self.view(view).data_ptr():
                continue  # in place
            if same and not owned and result.untyped_storage().nbytes() >= self.plan.buffers[view.buffer].nbytes:
                self.results[view.buffer] = result  # no copy: what the operator costs is what is timed
            else:
                self.view(view).copy_(result)

    def _launch(self, step: Launch) -> None:
        kernel = self.kernels[step.kernel]
        binary = kernel.binary
        if 0 in step.grid:
            return
        layouts = iter(binary.descriptors)
        values = [v for argument in step.arguments.values() for v in self._values(argument, layouts)]
        packed = pack(binary.symbol, values, binary.parameters, kernel.sizes)
        programs = step.grid[0] * step.grid[1] * step.grid[2] * binary.num_ctas
        scratch = self._scratch(binary.global_scratch_bytes * programs, binary.global_scratch_align)
        trailing = [scratch.to_bytes(8, "little"), bytes(8)]
        cuda.launch(
            kernel.function, step.grid, WARP * binary.num_warps, binary.shared_bytes, packed + trailing,
            binary.num_ctas, binary.cooperative,
        )  # fmt: skip

    def _scratch(self, nbytes: int, alignment: int) -> int:
        if nbytes == 0:
            return 0
        if nbytes > MAX_SCRATCH_BYTES:  # else it would be we who run out of memory
            raise ParameterError(f"the compiled kernel wants {nbytes} bytes of scratch; launch fewer programs")
        block = torch.empty(nbytes + alignment, dtype=torch.uint8, device="cuda")  # freed in stream order
        return -(-block.data_ptr() // alignment) * alignment

    def _values(self, argument: Argument, layouts: Iterator[DescriptorLayout]) -> list[Value]:
        """Run-time parameters of an argument."""
        if isinstance(argument, Pointer):
            return [Value("pointer", self._address(argument.view))]
        if isinstance(argument, Scalar):
            return [] if argument.constexpr else [scalar(argument)]
        if isinstance(argument, Group):
            return [v for item in argument.items for v in self._values(item, layouts)]
        return self._descriptor(argument, next(layouts, None)) if isinstance(argument, Descriptor) else []

    def _address(self, view: View) -> int:
        item = getattr(torch, view.dtype).itemsize
        if view.buffer in self.results:
            return self.results[view.buffer].untyped_storage().data_ptr() + int(view.offset * item)
        return self.memory.data_ptr() + self.where.slots[view.buffer].offset + int(view.offset * item)

    def _descriptor(self, argument: Descriptor, layout: DescriptorLayout | None) -> list[Value]:
        view = argument.view
        if layout is None:
            raise ParameterError("host tensor descriptors need a GPU with TMA (sm_90 or newer)")
        shape = [*view.shape[:-1], view.shape[-1] * (2 if layout.fp4_padded else 1)]
        encoded = cuda.tensor_map(
            self._address(view), _TF32 if argument.round_to_tf32 else layout.elem_type, layout.elem_size, shape,
            view.strides, layout.block_size, layout.swizzle, argument.padding == "nan",
        )  # fmt: skip
        return [Value("descriptor", encoded), *(Value("integer", n) for n in (*view.shape, *view.strides))]


def _literal(step: Constant) -> torch.Tensor:
    dtype = getattr(torch, step.target.dtype)
    values = torch.tensor([decode_number(v) for v in step.values], dtype=dtype)
    return values.view(step.target.shape).to("cuda")


def _written(step: Step) -> set[int]:
    if isinstance(step, TorchCall):
        return {view.buffer for view in written_by(step)}
    return set() if isinstance(step, Launch) else {step.target.buffer}
