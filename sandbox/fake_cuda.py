"""Makes a process without a GPU look like one with an H100, as far as a candidate's host code can honestly ask.

Fake tensors live on `cpu`, because a CPU build of torch cannot slice fake `cuda` ones; this layer says `cuda:0`
where the candidate asks, and turns `cuda` into `cpu` where it requests.
"""

import contextlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from sandbox.triton_trace import DEVICE

_CUDA = torch.device("cuda", 0)
_CPU = torch.device("cpu")
_BASE = 1 << 40
"""Where fake memory begins: aligned as the CUDA allocator aligns."""

_TENSOR: Any = torch.Tensor  # its descriptors are not in torch's stubs
_ANSWERS: dict[Any, Any] = {
    _TENSOR.device.__get__: _CUDA,
    _TENSOR.is_cuda.__get__: True,
    _TENSOR.is_cpu.__get__: False,
    _TENSOR.get_device: 0,
}
_IDENTITIES = (torch.Tensor.cuda, torch.Tensor.pin_memory)


class FakeCuda(TorchFunctionMode):
    """Answers questions about the device and redirects requests for it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.device:
            return func(*args, **(kwargs or {}))
        if func in _ANSWERS:
            return _ANSWERS[func]
        if func in _IDENTITIES:
            return args[0]
        arguments = [_redirect(a) for a in args]
        keywords = {key: _redirect(value) for key, value in (kwargs or {}).items()}
        return func(*arguments, **keywords)


_TRUE_DEVICE: Callable[[FakeTensor], torch.device] = vars(FakeTensor)["device"].fget


def _redirect(value: Any) -> Any:
    if isinstance(value, torch.device) and value.type == "cuda":
        return _CPU
    if isinstance(value, str) and (value == "cuda" or value.startswith("cuda:")):
        return "cpu"
    return value


def _device(tensor: FakeTensor) -> torch.device:
    """`cuda:0` to the candidate; the truth to torch's own code, which runs with the mode taken off the stack."""
    modes: list[TorchFunctionMode] = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    return _CUDA if any(isinstance(mode, FakeCuda) for mode in modes) else _TRUE_DEVICE(tensor)


def _data_ptr(tensor: torch.Tensor) -> int:
    """Offset-aware: a slice must not look aligned when it is not."""
    return _BASE + int(tensor.storage_offset()) * tensor.element_size()


class _Device(contextlib.nullcontext[None]):
    def __init__(self, device: Any = None) -> None:
        super().__init__()
        self.idx = 0


def pretend_cuda() -> None:
    """Replace what honest candidates ask of `torch.cuda`. For good, in this process."""
    FakeTensor.data_ptr = _data_ptr  # type: ignore[assignment,method-assign]
    FakeTensor.device = property(_device)  # type: ignore[assignment]
    stream = SimpleNamespace(cuda_stream=0, synchronize=lambda: None, device=_CUDA)
    properties = SimpleNamespace(**DEVICE)
    answers: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "synchronize": lambda device=None: None,
        "get_device_properties": lambda device=None: properties,
        "get_device_capability": lambda device=None: (DEVICE["major"], DEVICE["minor"]),
        "get_device_name": lambda device=None: DEVICE["name"],
        "current_stream": lambda device=None: stream,
        "default_stream": lambda device=None: stream,
        "is_bf16_supported": lambda including_emulation=True: True,
        "device": _Device,
        "device_of": _Device,
        "stream": lambda stream: contextlib.nullcontext(),
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
