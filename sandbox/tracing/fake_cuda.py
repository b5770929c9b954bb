"""Makes a process without a GPU look like one with an H100, as far as a candidate's host code can honestly ask.

Fake tensors live on `cpu`, because a CPU build of torch cannot slice fake `cuda` ones; this layer says `cuda:0`
where the candidate asks, and turns `cuda` into `cpu` where it requests.
"""

import contextlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils._python_dispatch import _disable_current_modes

from sandbox.plans.plan import FIRST_ADDRESS
from sandbox.plans.recurrent import stand_in
from sandbox.tracing.host_memory import CONSTRUCTORS, HOST
from sandbox.triton_private.device import DEVICE

_CUDA = torch.device("cuda", 0)
_CPU = torch.device("cpu")

_SEQUENCES = (torch.linspace, torch.arange)
"""Constructors read numbers off them (stochastic depth: a rate for each layer), so fake ones know their values."""

_TENSOR: Any = torch.Tensor  # its descriptors are not in torch's stubs
_ANSWERS: dict[Any, tuple[Any, Any]] = {
    _TENSOR.device.__get__: (_CUDA, _CPU),
    _TENSOR.is_cuda.__get__: (True, False),
    _TENSOR.is_cpu.__get__: (False, True),
    _TENSOR.get_device: (0, -1),
}
"""Of tensors on a GPU and in the host's memory."""
_PLACES: dict[Any, int] = {torch.Tensor.to: 1}
"""Which argument may be a GPU's number."""
_PARSE_TO: Any = torch._C._nn._parse_to
_IDENTITIES = (torch.Tensor.cuda, torch.Tensor.pin_memory)


class FakeCuda(TorchFunctionMode):
    """Answers questions about the device and redirects requests for it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.device:  # one number is the GPU of that number
            return func("cuda", *args) if [type(a) for a in args] == [int] else func(*args, **(kwargs or {}))
        if func in _ANSWERS:
            return _ANSWERS[func][args[0] in HOST]
        if func is _PARSE_TO:  # of a module, which moves its tensors one by one
            return _PARSE_TO(*[_CUDA if type(a) is int else a for a in args], **(kwargs or {}))
        place = HOST.place(func, args, kwargs or {})
        if func in _IDENTITIES:
            return HOST.note(place, args[0], ())
        if func is torch.Tensor.numpy and isinstance(args[0], FakeTensor):
            raise DataDependentOutputException(torch.ops.aten._local_scalar_dense.default)  # as .item() does
        arguments = [_redirect(a) for a in args]
        if (at := _PLACES.get(func)) is not None and [type(a) for a in args[at : at + 1]] == [int]:
            arguments[at] = _CPU
        if args and isinstance(args[0], FakeTensor):
            func = stand_in(func, args)
        keywords = {key: _redirect(value) for key, value in (kwargs or {}).items()}
        if type(keywords.get("device")) is int or (place == "cuda" and func in CONSTRUCTORS):
            keywords["device"] = _CPU  # said, or torch's own mode would say what the default is
        result = func(*arguments, **keywords)
        if func in _SEQUENCES and isinstance(result, FakeTensor):
            with _disable_current_modes():
                result.constant = func(*arguments, **keywords)
        return HOST.note(place, result, (args, kwargs))


_TRUE_DEVICE: Callable[[FakeTensor], torch.device] = vars(FakeTensor)["device"].fget


def _redirect(value: Any) -> Any:
    if isinstance(value, torch.device) and value.type == "cuda":
        return _CPU
    if isinstance(value, str) and (value == "cuda" or value.startswith("cuda:")):
        return "cpu"
    return value


def _device(tensor: FakeTensor) -> torch.device:
    """As the candidate has it; the truth to torch's own code, which runs with the mode taken off the stack."""
    modes: list[TorchFunctionMode] = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    seen = any(isinstance(mode, FakeCuda) for mode in modes)
    return _TRUE_DEVICE(tensor) if not seen else _CPU if tensor in HOST else _CUDA


def _data_ptr(tensor: torch.Tensor) -> int:
    """Offset-aware: a slice must not look aligned when it is not. Other memory has other addresses: host code asks
    whether two tensors are one.
    """
    place = int(tensor.untyped_storage()._cdata) >> 5  # what describes a storage takes more than 32 bytes
    return FIRST_ADDRESS + (place << 20) + int(tensor.storage_offset()) * tensor.element_size()


_MEMORY_QUESTIONS = (
    "memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved", "initial_seed",
)  # fmt: skip
_REQUESTS = (
    "init", "set_device", "set_stream", "synchronize", "empty_cache", "ipc_collect", "reset_peak_memory_stats",
    "reset_max_memory_allocated", "reset_accumulated_memory_stats", "manual_seed", "manual_seed_all", "seed",
    "seed_all", "set_per_process_memory_fraction",
)  # fmt: skip
"""What has no effect on fake memory."""
_ANY_ACCELERATOR = {
    "current_device_index": "current_device", "current_device_idx": "current_device", "set_device_index": "set_device",
    "set_device_idx": "set_device", "device_index": "device",
    **{name: name for name in ("is_available", "device_count", "current_stream", "set_stream", "synchronize")},
}  # fmt: skip
"""Names of `torch.accelerator` → what `torch.cuda` calls the same."""


class _Stream:
    """Everything is recorded in the order of the host's calls, and nothing takes time."""

    cuda_stream = 0
    device = _CUDA
    priority = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def _nothing(self, *args: Any) -> None:
        return None

    synchronize = wait_event = wait_stream = __exit__ = _nothing

    def __enter__(self) -> "_Stream":
        return self

    def record_event(self, event: Any = None) -> Any:
        return event or _Event()

    def query(self) -> bool:
        return True


class _Event:
    """The same for events."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def _nothing(self, *args: Any) -> None:
        return None

    synchronize = wait = record = _nothing

    def query(self) -> bool:
        return True

    def elapsed_time(self, end: Any) -> float:
        return 1.0


class _Marks:
    """What profilers read."""

    def _nothing(self, *args: Any) -> int:
        return 0

    rangePushA = rangePop = rangeStartA = rangeEnd = markA = _nothing  # noqa: N815  # torch calls them so


class _Device(contextlib.nullcontext[None]):
    def __init__(self, device: Any = None) -> None:
        super().__init__()
        self.idx = 0


def _empty_strided(size: Any, stride: Any, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty_strided(size, stride, dtype=dtype, device=_CUDA)


def _reinterpreted(tensor: torch.Tensor, size: Any, stride: Any, increment: int = 0) -> torch.Tensor:
    return torch.as_strided(tensor, size, stride, tensor.storage_offset() + increment)


def pretend_cuda(device: dict[str, Any] = DEVICE) -> None:
    """Replace what honest candidates ask of `torch.cuda`. For good, in this process.

    Args:
    device: what `torch.cuda.get_device_properties` says; keys as in `DEVICE`.
    """
    FakeTensor.data_ptr = _data_ptr  # type: ignore[assignment,method-assign]
    FakeTensor.record_stream = lambda self, stream: None  # type: ignore[assignment,method-assign]
    FakeTensor.device = property(_device)  # type: ignore[assignment]
    torch.nn.RNNBase.flatten_parameters = lambda self: None  # type: ignore[method-assign]  # would ask cuDNN
    stream = _Stream()
    properties = SimpleNamespace(**device)
    answers: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_properties": lambda device=None: properties,
        "get_device_capability": lambda device=None: (properties.major, properties.minor),
        "get_device_name": lambda device=None: properties.name,
        "current_stream": lambda device=None: stream,
        "default_stream": lambda device=None: stream,
        "is_bf16_supported": lambda including_emulation=True: True,
        "is_current_stream_capturing": lambda: False,
        "mem_get_info": lambda device=None: (properties.total_memory, properties.total_memory),
        "get_arch_list": lambda: [f"sm_{properties.major}{properties.minor}"],
        "device": _Device,
        "device_of": _Device,
        "_DeviceGuard": _Device,
        "Stream": _Stream,
        "Event": _Event,
        "stream": lambda stream: contextlib.nullcontext(),
        **{name: lambda *args, **kwargs: 0 for name in _MEMORY_QUESTIONS},  # torch._dynamo wants no function twice
        **{name: lambda *args, **kwargs: None for name in _REQUESTS},
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
    for name in _ANY_ACCELERATOR:
        setattr(torch.accelerator, name, answers[_ANY_ACCELERATOR[name]])
    others: tuple[tuple[Any, str, Any], ...] = (
        (torch.accelerator, "current_accelerator", lambda check_available=False: torch.device("cuda")),
        (torch._C, "_get_accelerator", lambda check=None: torch.device("cuda")),
        (torch._C, "_cuda_getCurrentRawStream", lambda device: 0),  # this and the next: Inductor's host code
        (torch._C._dynamo.guards, "_empty_strided_cuda", _empty_strided),
        (torch._C._dynamo.guards, "_reinterpret_tensor", _reinterpreted),
        (torch.version, "cuda", torch.version.cuda or "12.8"),
        (torch.backends.cuda, "is_built", lambda: True),
    )
    for module, name, answer in others:
        setattr(module, name, answer)
    setattr(torch.cuda.nvtx, "_nvtx", _Marks())  # noqa: B010  # a module to mypy
