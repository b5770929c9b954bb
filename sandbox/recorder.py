"""Writes a plan while a candidate runs on fake tensors: buffers, launches, fills, copies, and what is not allowed."""

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from sandbox import triton_trace
from sandbox.plan import MAX_STEPS, encode_number
from sandbox.triton_trace import RecordedLaunch, globals_of

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
MAX_CONSTANT = 4096


class TooManyStepsError(Exception):
    """The candidate asks for more steps than a plan may have."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch types neither of its two
    """Records calls of a candidate, one plan each. Used as a context around it, inside the fake tensor mode.

    Memory that a candidate keeps from an earlier call (a cached workspace, a table made at import) appears in a later
    call's plan with what it was first filled with, never with what kernels wrote there: results cannot be kept.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.buffers: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self.kernels: dict[int, tuple[RecordedLaunch, dict[str, Any]]] = {}
        self._numbers: dict[int, int] = {}
        self._first_content: dict[int, list[dict[str, Any]]] = {}
        self._alive: list[Any] = []  # storages are told apart by address, so none may be freed meanwhile

    def start(self, inputs: list[torch.Tensor]) -> None:
        """A new call begins; `inputs` are the case's tensors, in order."""
        self.buffers, self.steps, self._numbers = [], [], {}
        for position, tensor in enumerate(inputs):
            self._number(tensor, position)

    def bind(self, parameter: torch.Tensor, reference: torch.Tensor) -> None:
        """From now on `parameter`'s memory is the input `reference`; what was written there before is dropped."""
        if parameter.untyped_storage()._cdata in self._numbers:
            old = self._numbers[parameter.untyped_storage()._cdata]
            self.steps = [s for s in self.steps if s.get("target", {}).get("buffer") != old and s.get("buffer") != old]
        self._alive.append(parameter.untyped_storage())
        self._numbers[parameter.untyped_storage()._cdata] = self._number(reference)

    def view(self, tensor: torch.Tensor) -> dict[str, Any]:
        """A tensor as data; real tensors (from Python data) become constants."""
        if not isinstance(tensor, FakeTensor) and tensor.untyped_storage()._cdata not in self._numbers:
            self._constant(tensor, tensor)
        return {
            "buffer": self._number(tensor),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": [int(n) for n in tensor.shape],
            "strides": [int(n) for n in tensor.stride()],
            "offset": int(tensor.storage_offset()),
        }

    def launch(self, launch: RecordedLaunch) -> None:
        """Called by the stand-in launcher for every `kernel[grid](…)`."""
        if launch.key not in self.kernels:
            known = globals_of(launch.function)
            constants = {name: c for name, value in known.items() if (c := self._module_constant(value)) is not None}
            self.kernels[launch.key] = (launch, constants)
        arguments = {name: self._argument(value, name in launch.constexprs) for name, value in launch.arguments.items()}
        self._add({"kind": "launch", "kernel": launch.key, "grid": list(launch.grid), "arguments": arguments})

    def plan(self, output: dict[str, Any], ttir: bool) -> dict[str, Any]:
        """Everything recorded, kernels renumbered by first use."""
        used = dict.fromkeys(step["kernel"] for step in self.steps if step["kind"] == "launch")
        order = {key: number for number, key in enumerate(used)}
        kernels = []
        for launch, constants in (self.kernels[key] for key in used):
            code = launch.function.fn.__code__
            kernels.append(
                {
                    "name": launch.function.fn.__name__,
                    "line": code.co_firstlineno if code.co_name == launch.function.fn.__name__ else 0,
                    "ttir": launch.ttir if ttir else "",
                    "options": launch.options,
                    "constants": constants,
                }
            )
        steps = [{**s, "kernel": order[s["kernel"]]} if s["kind"] == "launch" else dict(s) for s in self.steps]
        for step in steps:
            step.pop("buffer", None)
        return {"buffers": self.buffers, "kernels": kernels, "steps": steps, "output": output}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        result = func(*args, **(kwargs or {}))
        if name in _ALLOCATIONS or name in _QUESTIONS or getattr(func, "is_view", False):
            pass
        elif name == "aten::lift_fresh":
            self._constant(result, args[0])
        elif name in _FILLS and not isinstance(_FILLS[name](args), torch.Tensor):
            self._initialise(
                result, {"kind": "fill", "target": self.view(result), "value": _number(_FILLS[name](args))}
            )
        elif name in _COPIES and isinstance(result, torch.Tensor):
            self._add({"kind": "copy", "target": self.view(result), "source": self.view(args[0])})
        elif name == "aten::copy_" and args[0].shape == args[1].shape:
            self._add({"kind": "copy", "target": self.view(args[0]), "source": self.view(args[1])})
        elif name == "aten::copy_":
            self._add(
                {"kind": "copy", "target": self.view(args[0]), "source": self.view(args[1].expand(args[0].shape))}
            )
        else:
            first = result if isinstance(result, torch.Tensor) else None
            self._add({"kind": "torch", "name": name, "buffer": None if first is None else self._number(first)})
        return result

    def _add(self, step: dict[str, Any]) -> None:
        if len(self.steps) >= MAX_STEPS:
            raise TooManyStepsError(f"more than {MAX_STEPS} launches and copies in one call")
        self.steps.append(step)

    def _initialise(self, tensor: torch.Tensor, step: dict[str, Any]) -> None:
        """Add a step that gives memory known content, and remember it for later calls."""
        self._add(step)
        key = tensor.untyped_storage()._cdata
        whole = tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
        self._first_content[key] = [*([] if whole else self._first_content.get(key, [])), step][-8:]

    def _number(self, tensor: torch.Tensor, position: int | None = None) -> int:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._numbers:
            self._alive.append(storage)
            number = self._numbers[storage._cdata] = len(self.buffers)
            self.buffers.append({"nbytes": int(storage.nbytes()), "input": position})
            for step in self._first_content.get(storage._cdata, []):
                self._add({**step, "target": {**step["target"], "buffer": number}})
        return self._numbers[storage._cdata]

    def _constant(self, target: torch.Tensor, data: torch.Tensor) -> None:
        number = self._number(target)
        if data.numel() > MAX_CONSTANT or isinstance(data, FakeTensor):
            self._add({"kind": "torch", "name": f"tensor of {data.numel()} host values", "buffer": None})
            return
        with torch._C._DisableTorchDispatch():
            values = [encode_number(v) for v in data.detach().flatten().tolist()]
        view = {"buffer": number, "dtype": str(data.dtype).removeprefix("torch."), "offset": 0}
        shape = {"shape": [data.numel()], "strides": [1]}
        self._initialise(target, {"kind": "constant", "target": {**view, **shape}, "values": values})

    def _argument(self, value: Any, constexpr: bool) -> dict[str, Any]:
        value = getattr(value, "value", value) if type(value).__name__ == "constexpr" else value
        if isinstance(value, torch.Tensor):
            return {"kind": "pointer", "view": self.view(value)}
        if value is None or type(value) in (bool, int, float, str):
            return {"kind": "scalar", "value": encode_number(value), "constexpr": constexpr}
        if isinstance(value, tuple | list):
            return {"kind": "tuple", "items": [self._argument(item, constexpr) for item in value]}
        if triton_trace.is_jit_function(value):
            return {"kind": "function", "name": value.fn.__name__}
        if type(value).__name__ == "dtype" and not isinstance(value, torch.dtype):
            return {"kind": "dtype", "name": value.name}
        if type(value).__name__ == "TensorDescriptor":
            block, padding = [int(n) for n in value.block_shape], str(getattr(value, "padding", "zero"))
            base = value.base.as_strided([int(n) for n in value.shape], [int(n) for n in value.strides])
            return {"kind": "descriptor", "view": self.view(base), "block_shape": block, "padding": padding}
        if type(value).__name__ == "TensorWrapper":  # triton.reinterpret: same memory, other dtype
            return {"kind": "pointer", "view": {**self.view(value.base), "dtype": _torch_name(value.dtype)}}
        if hasattr(value, "__index__"):
            return {"kind": "scalar", "value": int(value), "constexpr": constexpr}
        raise TypeError(f"a kernel argument of type {type(value).__name__} is not supported")

    def _module_constant(self, value: Any) -> dict[str, Any] | None:
        """Module values that kernels read: numbers, strings, constexprs, dtypes; modules and functions are not data."""
        constexpr = type(value).__name__ == "constexpr"
        value = getattr(value, "value", value) if constexpr else value
        plain = value is None or type(value) in (bool, int, float, str, tuple) or type(value).__name__ == "dtype"
        return self._argument(value, constexpr) if plain and not isinstance(value, torch.dtype) else None


def _number(value: Any) -> Any:
    return encode_number(value if type(value) in (bool, int, float) else float(value))


def _torch_name(dtype: Any) -> str:
    names = {
        "fp8e4nv": "float8_e4m3fn",
        "fp8e5": "float8_e5m2",
        "fp16": "float16",
        "bf16": "bfloat16",
        "fp32": "float32",
        "int1": "bool",
    }
    return names.get(dtype.name, str(dtype.name))
