"""The judge: draws inputs with secret seeds, holds the reference and the truth, and compares. A process of its own.

No candidate code of any kind ever runs here; a candidate reaches it as bytes in shared memory. One question at a time
over a socket: `describe` (layouts of all cases), `draw` (one case into a fresh arena), `compare` (after the run).
"""

import secrets
import socket
import sys
import traceback
from types import ModuleType
from typing import Any

import torch

from sandbox import arena, isolation, wire
from sandbox.draw import Draw
from sandbox.numerics import Comparison, Float64, compare, to_float64
from sandbox.plan import View
from sandbox.types import Case, Distribution, Tolerance


class BrokenReferenceError(Exception):
    """The task's own code does not work: our fault, never the candidate's."""


class Reference:
    """A task file, loaded: function style or KernelBench style."""

    def __init__(self, source: str, entry_point: str) -> None:
        self.module = ModuleType("reference")
        exec(compile(source, "<reference>", "exec"), self.module.__dict__)
        self.is_model = entry_point == "ModelNew"
        name = "Model" if self.is_model else entry_point
        if not hasattr(self.module, name):
            raise BrokenReferenceError(f"the task defines no {name!r}")
        self.target: Any = getattr(self.module, name)
        self.model: torch.nn.Module | None = None

    def draw(self, case: Case) -> tuple[Any, ...]:
        """Fresh inputs under a seed that exists only in this call; a fresh model too."""
        seed = secrets.randbits(63)
        generator = torch.Generator().manual_seed(seed)
        if hasattr(self.module, "make_inputs"):
            inputs = tuple(self.module.make_inputs(dict(case.args), Draw(generator, case.distribution)))
        else:
            torch.manual_seed(seed)
            inputs = tuple(_respread(x, Draw(generator, case.distribution)) for x in self.module.get_inputs())
        if self.is_model:
            torch.manual_seed(seed ^ 1)
            self.model = self.target(*self.init_arguments())
        return inputs

    def init_arguments(self) -> list[Any]:
        return list(self.module.get_init_inputs()) if hasattr(self.module, "get_init_inputs") else []

    def parameters(self) -> dict[str, torch.Tensor]:
        return {} if self.model is None else {k: v.detach() for k, v in self.model.state_dict().items()}

    def run(self, inputs: tuple[Any, ...], double: bool) -> Any:
        """The expected output: in the case's dtype, or in float64."""
        copies = _map(inputs, torch.Tensor.clone)
        with torch.no_grad():
            if not double:
                return (self.model or self.target)(*copies)
            with Float64():
                if self.model is None:
                    return self.target(*to_float64(copies))
                state = {k: v.clone() for k, v in self.model.state_dict().items()}
                result = self.model.double()(*to_float64(copies))
            self.model = self.target(*self.init_arguments())
            self.model.load_state_dict(state)
            return result


class Judge:
    """State between the three questions about one job."""

    def __init__(self) -> None:
        self.reference: Reference | None = None
        self.cases: list[Case] = []
        self.inputs: tuple[Any, ...] = ()
        self.tensors: list[torch.Tensor] = []
        self.memory = torch.empty(0, dtype=torch.uint8)
        self.pristine = self.memory
        self.where = arena.layout([])
        self.sources: list[int | None] = []

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """Shapes, dtypes and structure of every case's inputs; values are thrown away."""
        self.reference = Reference(request["reference"], request["entry_point"])
        self.cases = [Case.model_validate(c) for c in request["cases"]]
        return {"cases": [self._describe(case) for case in self.cases]}

    def draw(self, request: dict[str, Any]) -> tuple[dict[str, Any], tuple[int, ...]]:
        """Lay out the plan's buffers, poison them, fill in fresh inputs; reply with layout and descriptor."""
        expected = self._describe(self.cases[request["case"]])  # draws into self.tensors
        if expected != request["described"]:
            raise BrokenReferenceError("the task's inputs change their shapes from one draw to the next")
        self.where = arena.layout([b["nbytes"] for b in request["buffers"]])
        self.sources = [b["input"] for b in request["buffers"]]
        fd, self.memory = arena.create(self.where.nbytes)
        self.memory.fill_(arena.POISON)
        for guard in arena.guards(self.memory, self.where):
            guard.random_(0, 256)
        for slot, source in zip(self.where.slots, self.sources, strict=True):
            if source is not None:
                x = self.tensors[source]
                arena.strided(self.memory, slot, x.dtype, x.shape, x.stride(), 0).copy_(x)
        self.pristine = self.memory.clone()
        return {"layout": self.where.model_dump()}, (fd,)

    def compare(self, request: dict[str, Any]) -> dict[str, Any]:
        """Memory first (guards, inputs), then structure, dtype, shape, then numbers."""
        before, after = arena.guards(self.pristine, self.where), arena.guards(self.memory, self.where)
        if not all(torch.equal(a, b) for a, b in zip(before, after, strict=True)):
            return _rejected("launch", "a kernel writes outside its buffers")
        for slot, source in zip(self.where.slots, self.sources, strict=True):
            span = slice(slot.offset, slot.offset + slot.nbytes)
            if source is not None and not torch.equal(self.pristine[span], self.memory[span]):
                return _rejected("tamper", f"input {source} was changed")
        assert self.reference is not None
        eager = self.reference.run(self.inputs, double=False)
        truth = self.reference.run(self.inputs, double=True)
        views = [View.model_validate(v) for v in request["views"]]
        if _structure(eager) != request["structure"]:
            return _rejected(
                "numerics", f"the output is {_plain(request['structure'])}, expected {_plain(_structure(eager))}"
            )
        tolerance = Tolerance.model_validate(request["tolerance"])
        results = []
        for number, (view, honest, right) in enumerate(zip(views, _leaves(eager), _leaves(truth), strict=True)):
            dtype = str(honest.dtype).removeprefix("torch.")
            if view.dtype != dtype or list(view.shape) != list(honest.shape):
                found = f"{view.dtype}{list(view.shape)}"
                return _rejected("numerics", f"output {number} is {found}, expected {dtype}{list(honest.shape)}")
            slot = self.where.slots[view.buffer]
            y = arena.strided(self.memory, slot, honest.dtype, view.shape, view.strides, view.offset).clone()
            result: Comparison = compare(y, right, honest, tolerance)
            if result.reason:
                return _rejected("numerics", f"output {number}: {result.reason}")
            results.append(result)
        return {
            "rel_l2": max((r.rel_l2 for r in results), default=0.0),
            "limit_share": max((r.limit_share for r in results), default=0.0),
        }

    def _describe(self, case: Case) -> dict[str, Any]:
        assert self.reference is not None
        self.inputs = self.reference.draw(case)
        self.tensors = []
        arguments = [self._tree(value) for value in self.inputs]
        parameters = {}
        for name, value in self.reference.parameters().items():
            parameters[name] = len(self.tensors)
            self.tensors.append(value)
        self.tensors = [t.contiguous() if 0 in t.stride() and t.numel() > 1 else t for t in self.tensors]
        return {
            "arguments": arguments,
            "parameters": parameters,
            "init_arguments": self.reference.init_arguments() if self.reference.is_model else [],
            "tensors": [_layout(t) for t in self.tensors],
        }

    def _tree(self, value: Any) -> dict[str, Any]:
        if isinstance(value, torch.Tensor):
            self.tensors.append(value)
            return {"tensor": len(self.tensors) - 1}
        if isinstance(value, tuple | list):
            return {type(value).__name__: [self._tree(v) for v in value]}
        if isinstance(value, dict):
            return {"dict": {k: self._tree(v) for k, v in value.items()}}
        return {"value": value}


def _layout(tensor: torch.Tensor) -> dict[str, Any]:
    span = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)) if tensor.numel() else 0
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "strides": list(tensor.stride()),
        "nbytes": span * tensor.element_size(),
    }


def _respread(value: Any, draw: Draw) -> Any:
    """KernelBench inputs are positive and tame; other distributions replace floating-point tensors."""
    distribution: Distribution = draw.distribution
    if distribution == "normal" or not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return value
    return draw.normal(*value.shape, dtype=value.dtype)


def _structure(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return "tensor"
    if isinstance(value, tuple | list):
        return {"list" if isinstance(value, list) else "tuple": [_structure(v) for v in value]}
    if isinstance(value, dict):
        return {"dict": {str(k): _structure(v) for k, v in value.items()}}
    raise BrokenReferenceError(f"the reference returns {type(value).__name__}, which is no tensor")


def _plain(structure: Any) -> str:
    if isinstance(structure, str):
        return "a tensor"
    ((kind, items),) = structure.items()
    return f"a {kind} of {len(items)}"


def _leaves(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return [leaf for item in items for leaf in _leaves(item)]


def _map(value: Any, function: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, tuple | list):
        return type(value)(_map(v, function) for v in value)
    if isinstance(value, dict):
        return {k: _map(v, function) for k, v in value.items()}
    return value


def _rejected(stage: str, reason: str) -> dict[str, Any]:
    return {"rejected": {"stage": stage, "reason": reason}}


def main() -> None:
    """`python -m sandbox.judge FD`: answer until the supervisor goes away. A failing reference is a `fault`."""
    import os

    isolation.die_with_parent()
    torch.set_num_threads(1)
    channel = socket.socket(fileno=int(sys.argv[1]))
    judge = Judge()
    wire.send(channel, {"ready": True})
    while True:
        try:
            request, _ = wire.receive(channel)
        except wire.WireError:
            return
        reply: dict[str, Any]
        fds: tuple[int, ...] = ()
        try:
            if request["op"] == "describe":
                reply = judge.describe(request)
            elif request["op"] == "draw":
                reply, fds = judge.draw(request)
            else:
                reply = judge.compare(request)
        except Exception as error:  # task code may raise anything; it becomes Broken, with its traceback
            reply = {"fault": f"{type(error).__name__}: {error}"[:400], "log": traceback.format_exc()[-4000:]}
        wire.send(channel, reply, fds)
        for fd in fds:
            os.close(fd)


if __name__ == "__main__":
    main()
