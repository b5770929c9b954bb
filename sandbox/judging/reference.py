"""A task's own code, loaded: draws inputs under secret seeds and computes what is right. Only judges hold it."""

import copy
import hashlib
import linecache
import secrets
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import CellType, FunctionType, ModuleType
from typing import Any

import torch
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from sandbox.judging.draw import Draw
from sandbox.judging.numerics import Float64, to_float64
from sandbox.judging.unsettled import alike, is_constant, unsettle
from sandbox.triton_private.reference import launches_triton, pretended
from sandbox.types import OWN_BASELINES, Baseline, Case

COMPILE_MODES: dict[Baseline, str | None] = {"compile": None, "max-autotune": "max-autotune-no-cudagraphs"}


class BrokenReferenceError(Exception):
    """The task's own code does not work: our fault, never the candidate's."""


class Drawn:
    """One case's inputs: the tree of arguments, and all tensors in it (then the parameters of a model) in order."""

    def __init__(self, inputs: tuple[Any, ...], model: torch.nn.Module | None) -> None:
        self.inputs, self.model = inputs, model
        self.tensors: list[torch.Tensor] = []
        self.tree = [_tree(value, self.tensors) for value in inputs]
        self.parameters: dict[str, int] = {}
        for name, value in [] if model is None else _weights(model):
            self.parameters[name] = len(self.tensors)
            self.tensors.append(value.detach())
        self.tensors = [t.contiguous() if 0 in t.stride() and t.numel() > 1 else t for t in self.tensors]

    def copy(self) -> "Drawn":
        """The same values in tensors of their own, and the same model."""
        return Drawn(_map(self.inputs, torch.Tensor.clone), self.model)

    def arguments(self, tensors: list[torch.Tensor]) -> list[Any]:
        """The arguments with other tensors in the places of `self.tensors`."""
        return [_filled(tree, tensors) for tree in self.tree]


class Reference:
    """A task file, loaded: function style or KernelBench style."""

    def __init__(self, source: str, entry_point: str, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.module = ModuleType("reference")
        name = f"<reference {hashlib.sha256(source.encode()).hexdigest()[:16]}>"
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)  # Triton in a reference reads lines
        interpreted = self.device.type == "cpu" and launches_triton(source)
        self._host: Callable[[], AbstractContextManager[None]] = pretended if interpreted else nullcontext
        with self._host():
            exec(compile(source, name, "exec"), self.module.__dict__)
        self.is_model = entry_point == "ModelNew"
        name = "Model" if self.is_model else entry_point
        if not hasattr(self.module, name):
            raise BrokenReferenceError(f"the task defines no {name!r}")
        self.target: Any = getattr(self.module, name)
        self._compiled: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self.breaks = 0
        """At how many places `torch.compile` has left the target to Python."""
        self._order: dict[str, int] = {}
        self._constants: dict[str, float] = {}
        self._alike: set[str] | None = None

    def draw(self, case: Case, model: torch.nn.Module | None = None) -> Drawn:
        """Fresh inputs under a seed that exists only in this call; a fresh model too unless one is given."""
        return self.draw_from(secrets.randbits(63), case, model)

    def draw_from(self, seed: int, case: Case, model: torch.nn.Module | None = None) -> Drawn:
        """The same inputs, and model, for the same seed: for whoever judges no candidates."""
        draw = Draw(torch.Generator(self.device).manual_seed(seed), case.distribution)
        with self.device:
            if hasattr(self.module, "make_inputs"):
                inputs = tuple(self.module.make_inputs(dict(case.args), draw))
            else:
                torch.manual_seed(seed)
                with _Spread(draw) if draw.distribution != "normal" else nullcontext():
                    inputs = tuple(self.module.get_inputs())
            if self.is_model and model is None:
                torch.manual_seed(seed ^ 1)
                model, self._order = _built(lambda: self.target(*self.init_arguments()))
                model = model.to(self.device)
                fresh = [(name, weight.detach()) for name, weight in _weights(model)]
                self._constants = {name: float(values.flatten()[0]) for name, values in fresh if is_constant(values)}
                if draw.distribution != "normal":
                    unsettle(model, draw, self._known(model))
        return Drawn(_map(inputs, lambda tensor: tensor.to(self.device)), model)

    def _known(self, model: torch.nn.Module) -> set[str]:
        """Weights of a fresh model that are no secret."""
        if self._alike is None:
            torch.manual_seed(secrets.randbits(63))
            self._alike = alike(model, self.target(*self.init_arguments()).to(self.device))
        return self._alike

    def init_arguments(self) -> list[Any]:
        return list(self.module.get_init_inputs()) if hasattr(self.module, "get_init_inputs") else []

    def describe(self, case: Case) -> dict[str, Any]:
        """Shapes, dtypes and structure of a case's inputs; values are thrown away."""
        return self.description(self.draw(case))

    def description(self, drawn: Drawn) -> dict[str, Any]:
        """What the tracer and the plan's check may know of drawn inputs."""
        order = sorted(drawn.parameters, key=lambda name: self._order.get(name, len(self._order)))
        return {
            "arguments": drawn.tree,
            "parameters": {name: drawn.parameters[name] for name in order},
            "constants": self._constants,
            "init_arguments": [_tree(value, []) for value in self.init_arguments()] if self.is_model else [],
            "tensors": [_layout(t) for t in drawn.tensors],
        }

    def users(self, drawn: Drawn) -> Any:
        """What the task's `eager` makes of the inputs, which stay as they are; None where it defines none."""
        if not hasattr(self.module, "eager"):
            return None
        with torch.no_grad(), self.device:
            return self.module.eager(*_map(drawn.inputs, torch.Tensor.clone))

    def run(self, drawn: Drawn, double: bool, keep: bool = True) -> Any:
        """The expected output: in the case's dtype, or in float64. The inputs stay as they are if they shall be kept.

        A task that sets `OWN_PRECISION` has no float64 version (kernels with fixed types), and is its own truth.
        """
        copies = _map(drawn.inputs, torch.Tensor.clone) if keep else drawn.inputs
        with torch.no_grad(), self.device, self._host():
            if not double or getattr(self.module, "OWN_PRECISION", False):
                return (drawn.model or self.target)(*copies)
            with Float64():
                model = None if drawn.model is None else _twin(drawn.model).double()
                return (model or self.target)(*to_float64(copies))

    def baseline(self, drawn: Drawn, tensors: list[torch.Tensor], name: Baseline) -> Any:
        """What to time under `name`, to be called with the arguments; a model with its weights in `tensors`.

        Raises:
            BrokenReferenceError: the task has no such baseline.
        """
        if name in OWN_BASELINES:
            if not hasattr(self.module, name):
                raise BrokenReferenceError(f"the task defines no {name}(), so there is nothing to time under that name")
            return getattr(self.module, name)
        function = getattr(self.module, "eager", self.target) if drawn.model is None else drawn.model
        if name != "eager":
            known = self._compiled.setdefault(function, {})
            if name not in known:
                known[name] = torch.compile(function, dynamic=False, mode=COMPILE_MODES[name])
            function = known[name]
        if drawn.model is None:
            return function
        prefix = "" if name == "eager" else "_orig_mod."
        named = {prefix + weight: tensors[position] for weight, position in drawn.parameters.items()}
        return lambda *arguments: torch.func.functional_call(function, named, arguments)

    def cost(self, case: Case) -> dict[str, float] | None:
        """What the task declares that a case must at least cost: `cost(case)` returns `bytes` and `flops`."""
        return dict(self.module.cost(dict(case.args))) if hasattr(self.module, "cost") else None


def structure(value: Any) -> Any:
    """The shape of an output structure, as `sandbox.plans.plan.outputs` writes it.

    Raises:
        BrokenReferenceError: something in it is no tensor.
    """
    if isinstance(value, torch.Tensor):
        return "tensor"
    if isinstance(value, tuple | list):
        return {"list" if isinstance(value, list) else "tuple": [structure(v) for v in value]}
    if isinstance(value, dict):
        return {"dict": {str(k): structure(v) for k, v in value.items()}}
    raise BrokenReferenceError(f"the reference returns {type(value).__name__}, which is no tensor")


def leaves(value: Any) -> list[torch.Tensor]:
    """All tensors of an output structure, in order; a dictionary's by name, whoever wrote it in which order."""
    if isinstance(value, torch.Tensor):
        return [value]
    items = [value[key] for key in sorted(value, key=str)] if isinstance(value, dict) else value
    return [leaf for item in items for leaf in leaves(item)]


def _twin(model: torch.nn.Module) -> torch.nn.Module:
    """A deep copy; what the model keeps as a function or lambda uses the copy's modules too, not the original's."""
    known: dict[int, Any] = {}
    twin = copy.deepcopy(model, known)
    for module in twin.modules():
        for name, value in vars(module).items():
            if isinstance(value, FunctionType) and value.__closure__:
                held = [cell.cell_contents for cell in value.__closure__]
                cells = tuple(CellType(known.get(id(one), one)) for one in held)
                function = FunctionType(value.__code__, value.__globals__, name, value.__defaults__, cells)
                function.__kwdefaults__ = value.__kwdefaults__
                setattr(module, name, function)
    return twin


def _layout(tensor: torch.Tensor) -> dict[str, Any]:
    span = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)) if tensor.numel() else 0
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "strides": list(tensor.stride()),
        "nbytes": span * tensor.element_size(),
    }


class _Spread(TorchFunctionMode):
    """KernelBench's inputs are positive and tame. Under other distributions what `get_inputs` draws is replaced, not
    what it makes of that: a triangle stays one, and a softmax sums to 1.
    """

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.draw = draw

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        return self.draw.normal(*made.shape, dtype=made.dtype) if func in _DRAWN and made.is_floating_point() else made


def _weights(model: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Parameters first, then tables."""
    return [*model.named_parameters(), *model.named_buffers()]


def _built(make: Callable[[], torch.nn.Module]) -> tuple[torch.nn.Module, dict[str, int]]:
    """A model, and the names of its weights with when each was made: a module's own come first in its state_dict, even
    where its constructor makes them last.
    """
    made: dict[int, tuple[int, Any]] = {}  # weights are kept, so that their ids stay their own

    def note(module: torch.nn.Module, name: str, weight: Any) -> None:
        made.setdefault(id(weight), (len(made), weight))

    hook = register_module_parameter_registration_hook(note)
    try:
        model = make()
    finally:
        hook.remove()
    return model, {name: made.get(id(weight), (len(made), None))[0] for name, weight in model.named_parameters()}


_DRAWN = (torch.rand, torch.randn, torch.rand_like, torch.randn_like)


def _tree(value: Any, tensors: list[torch.Tensor]) -> dict[str, Any]:
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return {"tensor": len(tensors) - 1}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_tree(v, tensors) for v in value]}
    if isinstance(value, dict):
        return {"dict": {k: _tree(v, tensors) for k, v in value.items()}}
    return {"value": value}


def _filled(tree: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    ((kind, value),) = tree.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {key: _filled(item, tensors) for key, item in value.items()}
    if kind in ("tuple", "list"):
        items = [_filled(item, tensors) for item in value]
        return tuple(items) if kind == "tuple" else items
    return value


def _map(value: Any, function: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, tuple | list):
        return type(value)(_map(v, function) for v in value)
    if isinstance(value, dict):
        return {k: _map(v, function) for k, v in value.items()}
    return value
