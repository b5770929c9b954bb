"""Triton's private interfaces, device half: a driver for a device that is not there, while a candidate is traced."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from sandbox.types import Target

DEVICE = {
    "name": "NVIDIA H100 80GB HBM3", "multi_processor_count": 132, "major": 9, "minor": 0, "total_memory": 80 << 30,
    "L2_cache_size": 50 << 20, "shared_memory_per_block": 49152, "shared_memory_per_block_optin": 232448,
    "shared_memory_per_multiprocessor": 233472, "warp_size": 32, "regs_per_multiprocessor": 65536,
    "max_threads_per_block": 1024, "max_threads_per_multi_processor": 2048, "is_integrated": 0, "gcnArchName": "",
    "is_multi_gpu_board": 0, "clock_rate": 1980000, "memory_clock_rate": 2619000, "memory_bus_width": 5120,
}  # fmt: skip
"""What a candidate is told about the device when there is none: honest kernels choose their grids by it."""


def gpu_target(target: Target) -> Any:
    """`sm_90` or `gfx942` as Triton's own target record."""
    from triton.backends.compiler import GPUTarget

    if target.startswith("sm_"):
        return GPUTarget("cuda", int(target[3:]), 32)
    return GPUTarget("hip", target, 64)


def device_of(target: Target, known: dict[str, Any]) -> dict[str, Any]:
    """`known`, keys as in `DEVICE`, as a device of `target` says it: of what architecture it is, how wide its warps."""
    major, minor = divmod(int(target[3:]), 10) if target.startswith("sm_") else map(int, target[3:5])
    found = {"major": major, "minor": minor, "warp_size": gpu_target(target).warp_size}
    return {**DEVICE, **known, **found, "gcnArchName": "" if target.startswith("sm_") else target}


class StandInDriver:
    """Stands in for the GPU driver while tracing: there is a target, but no device."""

    def __init__(self, target: Any, device: dict[str, Any]) -> None:
        self.target = target
        self.utils = SimpleNamespace(
            get_device_properties=lambda number: {
                "max_shared_mem": device["shared_memory_per_block_optin"],
                "multiprocessor_count": device["multi_processor_count"],
                "warpSize": target.warp_size,
                "max_num_regs": device["regs_per_multiprocessor"],
                "sm_clock_rate": device["clock_rate"],
                "mem_clock_rate": device["memory_clock_rate"],
                "mem_bus_width": device["memory_bus_width"],
            }
        )

    def get_current_target(self) -> Any:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def set_current_device(self, device: int) -> None:
        pass

    def get_current_stream(self, device: int | None = None) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cuda", 0)

    def get_device_interface(self) -> Any:
        return torch.cuda

    def get_benchmarker(self) -> Callable[..., list[float]]:
        return lambda function, **kwargs: [1.0, 1.0, 1.0]

    def get_empty_cache_for_benchmark(self) -> None:
        return None

    def clear_cache(self, cache: Any) -> None:
        pass
