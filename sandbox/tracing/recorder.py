"""Writes a plan while a candidate runs on fake tensors: buffers, launches, fills, copies, and what is not allowed."""

from typing import Any, NoReturn

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from sandbox.kernels.writes import may_write
from sandbox.plans.plan import MAX_CONSTANT, MAX_STEPS, encode_number
from sandbox.tracing.fake_cuda import FakeCuda
from sandbox.tracing.host_memory import HOST
from sandbox.tracing.recorded_steps import moved, read, useful, views_in, written
from sandbox.tracing.unwrapped import implementation
from sandbox.tracing.values import kernel_argument, module_constant, torch_call
from sandbox.triton_private.globals import functions_in, globals_of, told
from sandbox.triton_private.trace import RecordedLaunch

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key

_LAZY_CONJUGATE = torch.ops.aten._conj.default
"""A view of the same memory that is read otherwise: a plan's views have no bit for it."""
_ALLOCATIONS = frozenset(
    [
        "aten::empty",
        "aten::empty_like",
        "aten::empty_strided",
        "aten::new_empty",
        "aten::new_empty_strided",
        "aten::empty_permuted",
        "aten::detach",
        "aten::alias",
        "aten::lift_fresh_copy",
    ]
)
_FILLS: dict[str, Any] = {
    "aten::zeros": lambda args: 0,
    "aten::zeros_like": lambda args: 0,
    "aten::new_zeros": lambda args: 0,
    "aten::zero_": lambda args: 0,
    "aten::ones": lambda args: 1,
    "aten::ones_like": lambda args: 1,
    "aten::new_ones": lambda args: 1,
    "aten::full": lambda args: args[1],
    "aten::full_like": lambda args: args[1],
    "aten::new_full": lambda args: args[2],
    "aten::fill_": lambda args: args[1],
    "aten::scalar_tensor": lambda args: args[0],
}
_COPIES = frozenset(["aten::clone", "aten::_to_copy", "aten::contiguous", "aten::_reshape_copy", "aten::view_copy"])
_QUESTIONS = frozenset(["prim::device", "aten::is_pinned", "aten::sym_size", "aten::sym_stride", "aten::sym_numel"])
_OTHER_MEMORY = frozenset(["aten::resize_", "aten::resize_as_", "aten::set_"])
MAX_FIRST_STEPS = 16
Step = dict[str, Any]


class TooManyStepsError(Exception):
    """The candidate asks for more steps than a plan may have."""


class UnusableMemoryError(Exception):
    """The candidate uses memory that is its caller's, or in a way that no plan has words for."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch types neither of its two
    """Records calls of a candidate, one plan each. Used as a context around it, inside the fake tensor mode.

    Memory that a candidate keeps from an earlier call (a cached workspace, a table made at import) appears in a later
    call's plan, as `kept`, with what it was first filled with, if that came from no input, and never with what kernels
    wrote there: results cannot be kept. Inputs and outputs of earlier calls are their callers': no step may use them.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.buffers: list[dict[str, Any]] = []
        self.steps: list[Step] = []
        self.kernels: dict[int, tuple[RecordedLaunch, dict[str, Any], dict[str, int | str]]] = {}
        self.parameters: set[int] = set()
        """Buffers that are weights of the candidate's module: it may change them, in a copy of its own."""
        self.constructed = 0
        """How many steps belong to the construction of the candidate's module."""
        self._numbers: dict[int, int] = {}
        self._first_content: dict[int, list[Step]] = {}
        self._alive: dict[int, Any] = {}  # storages are told apart by address, so none may be freed meanwhile
        self._earlier: set[int] = set()  # those of earlier calls
        self._callers: set[int] = set()  # those that callers hold: inputs, and outputs of earlier calls
        self._refused: UnusableMemoryError | None = None  # the candidate may have caught it

    def start(self, inputs: list[torch.Tensor]) -> None:
        """A new call begins; `inputs` are the case's tensors, in order."""
        self.buffers, self.steps, self._numbers = [], [], {}
        self.parameters, self.constructed = set(), 0
        self._earlier, self._refused = set(self._alive), None
        for position, tensor in enumerate(inputs):
            self._number(tensor, position)
        self._callers |= self._numbers.keys()

    def become(self, numbers: dict[int, int]) -> None:
        """From now on memory that was one buffer is another: old number → new."""
        for key, old in self._numbers.items():
            if old in numbers:
                self._numbers[key] = numbers[old]
                self._first_content.pop(key, None)

    def view(self, tensor: torch.Tensor) -> dict[str, Any]:
        """A tensor as data; real tensors (from Python data) become constants."""
        if tensor.is_neg() or tensor.is_conj():
            self._refuse("a view that lazily negates or conjugates what is in memory; do that in a kernel")
        if not isinstance(tensor, FakeTensor) and tensor.untyped_storage()._cdata not in self._numbers:
            self._constant(tensor, tensor)
        return {
            "buffer": self._number(tensor),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": [int(n) for n in tensor.shape],
            "strides": [int(n) for n in tensor.stride()],
            "offset": int(tensor.storage_offset()),
        }

    def _reached(self, tensor: torch.Tensor) -> dict[str, Any]:
        HOST.check(tensor, "an argument of a kernel")
        return self.view(tensor)

    def launch(self, launch: RecordedLaunch) -> None:
        """Called by the stand-in launcher for every `kernel[grid](…)`."""
        if launch.key not in self.kernels:
            passed = functions_in(list(launch.arguments.values()))
            known = globals_of(launch.function, *passed)
            constants = {name: c for name, value in known.items() if (c := module_constant(name, value, self.view))}
            self.kernels[launch.key] = (launch, constants, told(known, passed))
        arguments = {
            name: kernel_argument(value, launch.signature[name], self._reached)
            for name, value in launch.arguments.items()
        }
        step = {"kind": "launch", "kernel": launch.key, "grid": list(launch.grid), "arguments": arguments}
        if self.parameters & read(step):
            stored_to = [arguments.get(name) for name in may_write(launch.function.src)]
            for number in self.parameters & {view["buffer"] for view in views_in(stored_to)}:
                step = self._own_copy(number, step)
        self._add(step)

    def plan(self, output: dict[str, Any], ttir: bool) -> dict[str, Any]:
        """Everything recorded, kernels renumbered by first use."""
        if self._refused is not None:
            raise self._refused
        given = {view["buffer"] for view in views_in(output)}
        self._callers |= {key for key, number in self._numbers.items() if number in given}
        steps = useful(self.steps, self.constructed, output)
        used = dict.fromkeys(step["kernel"] for step in steps if step["kind"] == "launch")
        order = {key: number for number, key in enumerate(used)}
        kernels = []
        for launch, constants, functions in (self.kernels[key] for key in used):
            code = launch.function.fn.__code__
            kernels.append(
                {
                    "name": launch.function.fn.__name__,
                    "line": code.co_firstlineno if code.co_name == launch.function.fn.__name__ else 0,
                    "ttir": launch.ttir if ttir else "",
                    "options": launch.options,
                    "constants": constants,
                    "functions": functions,
                }
            )
        steps = [{**s, "kernel": order[s["kernel"]]} if s["kind"] == "launch" else s for s in steps]
        return {"buffers": self.buffers, "kernels": kernels, "steps": steps, "output": output}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._schema.name not in _QUESTIONS and _has_kernel(func.name(), _COMPOSITE):  # seen in inference mode only
            with self:
                return func.decompose(*args, **kwargs)
        if func is _LAZY_CONJUGATE:
            with self:
                return torch.conj_physical(*args)
        if function := implementation(func._schema.name):
            with FakeCuda(), self:
                return function(*args, **kwargs)
        result = func(*args, **kwargs)
        self._record(func, args, kwargs, result)
        return result

    def _record(self, func: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        name = func._schema.name
        if name == "aten::lift_fresh":
            self._constant(result, args[0])
        elif name in _ALLOCATIONS or name in _QUESTIONS or _is_view(func):
            pass
        elif name in _FILLS and not isinstance(_FILLS[name](args), torch.Tensor):
            fill = {"kind": "fill", "target": self.view(result), "value": _number(_FILLS[name](args))}
            self._initialise(result, fill)
        elif name in _COPIES and isinstance(result, torch.Tensor):
            self._initialise(result, {"kind": "copy", "target": self.view(result), "source": self.view(args[0])})
        elif name in ("aten::copy_", "aten::fill_"):  # what fills with a tensor copies it: `y[:, n:] = 0` does
            source = args[1] if args[0].shape == args[1].shape else args[1].expand(args[0].shape)
            self._initialise(args[0], {"kind": "copy", "target": self.view(args[0]), "source": self.view(source)})
        else:
            self._record_torch(func, args, kwargs, result)

    def _record_torch(self, func: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        results = [r for r in pytree.tree_leaves(result) if isinstance(r, torch.Tensor)]
        given = [a for a in pytree.tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)]
        memory = {tensor.untyped_storage()._cdata for tensor in given}
        same = all(r.untyped_storage()._cdata in memory for r in results)
        if same and not func._schema.is_mutable:
            return  # a view in all but name, or a question about shapes
        step = torch_call(func, args, kwargs, results, self.view)
        if len(results) == 1:
            self._initialise(results[0], step)
        else:
            self._add(step)

    def _add(self, step: Step) -> None:
        if len(self.steps) >= MAX_STEPS:
            raise TooManyStepsError(f"more than {MAX_STEPS} launches and copies in one call")
        for number in written(step) & self.parameters:
            step = self._own_copy(number, step)
        self.steps.append(step)

    def _own_copy(self, number: int, step: Step) -> Step:
        """The module changes its own weights or statistics: from here on it has a copy, made afresh in every call."""
        nbytes, copy = self.buffers[number]["nbytes"], len(self.buffers)
        self.buffers.append({"nbytes": nbytes, "input": None})
        whole = {"dtype": "uint8", "shape": [nbytes], "strides": [1], "offset": 0}
        self.steps.append({"kind": "copy", "target": {"buffer": copy, **whole}, "source": {"buffer": number, **whole}})
        self.parameters.discard(number)
        self._numbers = {key: copy if n == number else n for key, n in self._numbers.items()}
        return moved(step, {number: copy})

    def _initialise(self, tensor: torch.Tensor, step: Step) -> None:
        """Add a step that gives memory content, and remember it for later calls if that depends on no input."""
        self._add(step)
        key = tensor.untyped_storage()._cdata
        whole = tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
        fresh = whole and self._numbers[key] not in read(step)
        earlier = [] if fresh else self._first_content.get(key, [])
        keys = {number: key for key, number in self._numbers.items()}
        sources = {keys.get(number) for number in read(step)}
        if sources <= self._first_content.keys() and len(earlier) < MAX_FIRST_STEPS:
            self._first_content[key] = [*earlier, moved(step, keys)]  # with keys of storages for numbers of buffers
        else:
            self._first_content.pop(key, None)

    def _number(self, tensor: torch.Tensor, position: int | None = None) -> int:
        storage = tensor.untyped_storage()
        self._alive[storage._cdata] = storage
        return self._number_of(storage._cdata, position)

    def _number_of(self, key: int, position: int | None = None) -> int:
        if key not in self._numbers:
            kept = position is None and key in self._earlier
            if kept and key in self._callers:
                self._refuse("an input or an output of an earlier call, which its caller still holds")
            self._numbers[key] = len(self.buffers)
            self.buffers.append({"nbytes": int(self._alive[key].nbytes()), "input": position, "kept": kept})
            for step in self._first_content.get(key, []):
                self._add({**moved(step, {k: self._number_of(k) for k in read(step) | written(step)}), "kept": True})
        return self._numbers[key]

    def _refuse(self, what: str) -> NoReturn:
        self._refused = UnusableMemoryError(f"the candidate uses {what}")
        raise self._refused

    def _constant(self, target: torch.Tensor, data: torch.Tensor) -> None:
        number = self._number(target)
        if data.numel() > MAX_CONSTANT or isinstance(data, FakeTensor):
            self._add({"kind": "torch", "name": f"tensor of {data.numel()} host values"})
            return
        with torch._C._DisableTorchDispatch():
            values = [encode_number(v) for v in data.detach().flatten().tolist()]
        view = {"buffer": number, "dtype": str(data.dtype).removeprefix("torch."), "offset": 0}
        shape = {"shape": [data.numel()], "strides": [1]}
        self._initialise(target, {"kind": "constant", "target": {**view, **shape}, "values": values})


def _is_view(func: Any) -> bool:
    """Nothing but shape and strides are new, be it of the same tensor (`unsqueeze_`)."""
    return func.is_view or (torch.Tag.inplace_view in func.tags and func._schema.name not in _OTHER_MEMORY)


def _number(value: Any) -> Any:
    return encode_number(value if type(value) in (bool, int, float) else float(value))
