"""Which fake tensors lie in the host's memory, where no kernel reaches. Runs in the tracer.

They all live on `cpu`; what differs is what was asked for. Told too seldom rather than too often: what a module's
constructor makes is moved by whoever uses the module, and results of operators are the host's only if all that went in
is.
"""

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils import _pytree as pytree
from torch.utils._device import DeviceContext, _device_constructors

_MOVES = {torch.Tensor.cpu: "cpu", torch.Tensor.cuda: "cuda", torch.Tensor.pin_memory: "cuda"}
"""Kernels reach pinned memory."""


CONSTRUCTORS = _device_constructors()


class HostMemoryError(Exception):
    """A kernel or a caller gets memory of the host where it needs a GPU's."""


class HostMemory:
    """Of one process: storages that the host has."""

    def __init__(self) -> None:
        self._storages: dict[int, Any] = {}  # known by address, so none may be freed meanwhile

    def __contains__(self, tensor: Any) -> bool:
        return isinstance(tensor, FakeTensor) and tensor.untyped_storage()._cdata in self._storages

    def forget(self) -> None:
        """All that there is has been moved to the GPU."""
        self._storages.clear()

    def check(self, tensor: torch.Tensor, user: str) -> None:
        """Raises `HostMemoryError` if the tensor is the host's; `user` says who needs a GPU's."""
        if tensor in self:
            raise HostMemoryError(
                f"{user} is in the host's memory: made without a device, or moved by .cpu(); make it with "
                "device=x.device"
            )

    def place(self, func: Any, args: Any, keywords: dict[str, Any]) -> str | None:
        """Where a call puts its result: a type of device if it says so, `cpu` for what comes of the host's tensors
        alone, None for the rest. Asked before devices are redirected.

        Raises:
            RuntimeError: it names a GPU that is not there.
        """
        if func in _MOVES:
            return _MOVES[func]
        given = [tensor for tensor in pytree.tree_leaves((args, keywords)) if isinstance(tensor, FakeTensor)]
        asked = keywords.get("device")
        if func is torch.Tensor.to and asked is None and len(args) > 1:
            asked = args[1] if not isinstance(args[1], FakeTensor) else "cpu" if args[1] in self else "cuda"
        if isinstance(asked, torch.device | str) or type(asked) is int:
            device = torch.device("cuda", asked) if type(asked) is int else torch.device(asked)
            if device.type == "cuda" and device.index:
                raise RuntimeError("CUDA error: invalid device ordinal; there is one GPU, cuda:0")
            return device.type
        if not given and func in CONSTRUCTORS and not keywords.get("pin_memory"):
            return _default()
        return "cpu" if given and all(tensor in self for tensor in given) else None

    def note(self, place: str | None, result: Any, args: Any) -> Any:
        """Remember where a call has put its result, and return that, or a copy where it is the GPU's memory still."""
        if place is None:
            return result
        before = {t.untyped_storage()._cdata for t in pytree.tree_leaves(args) if isinstance(t, FakeTensor)}
        if place != "cuda" and isinstance(result, FakeTensor) and result not in self:
            result = result.clone() if result.untyped_storage()._cdata in before else result
        for tensor in pytree.tree_leaves(result):
            if isinstance(tensor, FakeTensor):
                storage = tensor.untyped_storage()
                if place == "cuda":
                    self._storages.pop(storage._cdata, None)
                elif storage._cdata not in before:
                    self._storages[storage._cdata] = storage
        return result


def _default() -> str:
    """As `torch.set_default_device` or a context says; torch's own question would be put to the driver."""
    modes: list[TorchFunctionMode] = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    contexts = [mode for mode in modes if isinstance(mode, DeviceContext)]
    return str(contexts[-1].device.type) if contexts else "cpu"


HOST = HostMemory()
