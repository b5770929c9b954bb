"""The CUDA driver, as far as the replayer and the GPU judge need it: modules, launches, descriptors, shared memory.

Through `cuda-bindings`, which CUDA builds of torch bring. Nothing here knows plans or candidates. A CUDA context is
current whenever these are called: torch has made one.
"""

import ctypes
import secrets
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import torch
from cuda.bindings import driver

from sandbox.types import Machine

FLOPS_PER_CLOCK = {8: 2048, 9: 4096, 10: 8192}
"""Dense half-precision tensor-core operations of one multiprocessor in one clock, by major compute capability."""
MAX_PORTABLE_CLUSTER = 8
_TENSOR_MAP_BYTES = 128
_LOWEST, _ADDRESSES, _STEP, _MARGIN = 1 << 42, 1 << 45, 2 << 20, 1 << 30
"""Where shared memory may be mapped: far below what the driver hands out by itself, in steps of a large page."""
_DEFAULT_SHARED_BYTES = 48 << 10
_STACK_BYTES = 1024
"""A thread's local memory in a new context."""
_STICKY = (700, 702, 709, 710, 713, 714, 715, 716, 717, 718, 719, 721, 999)
"""Faults of device code that leave the context unusable (illegal address, timeout, assert, misaligned address, …)."""


class CudaError(RuntimeError):
    """A driver call failed."""

    def __init__(self, call: str, code: int, name: str) -> None:
        super().__init__(f"{call}: {name} ({code})")
        self.code = code
        self.sticky = code in _STICKY
        """The context is lost; only a new process helps."""


def call(function: Any, *arguments: Any) -> Any:
    """Call the driver; returns its result, a tuple where there are several.

    Raises:
        CudaError: it does not return success.
    """
    code, *results = function(*arguments)
    if int(code) != 0:
        raise CudaError(function.__name__, int(code), code.name)
    return results[0] if len(results) == 1 else tuple(results)


def load_function(cubin: bytes, symbol: str, shared_bytes: int, clusters: int) -> tuple[Any, Any]:
    """Load a cubin: (module, function), the function allowed to use `shared_bytes` of dynamic shared memory."""
    module = call(driver.cuModuleLoadData, cubin)
    function = call(driver.cuModuleGetFunction, module, symbol.encode())
    attribute = driver.CUfunction_attribute
    if shared_bytes > _DEFAULT_SHARED_BYTES:
        name = attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        call(driver.cuFuncSetAttribute, function, name, shared_bytes)
    if clusters > MAX_PORTABLE_CLUSTER:
        name = attribute.CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
        call(driver.cuFuncSetAttribute, function, name, 1)
    return module, function


def unload(module: Any) -> None:
    call(driver.cuModuleUnload, module)


def parameter_sizes(function: Any) -> list[int]:
    """Bytes of every parameter of a loaded function, in order, as the driver knows them."""
    sizes: list[int] = []
    while True:
        code, _, size = driver.cuFuncGetParamInfo(function, len(sizes))
        if int(code) != 0:
            return sizes
        sizes.append(int(size))


def reset_stack() -> None:
    """Give back what a kernel with many spilled registers made the context take: local memory for every thread that
    the GPU can hold at once (8 KiB a thread are 2 GiB). By itself the driver keeps it as long as the context lives.
    """
    limit = driver.CUlimit.CU_LIMIT_STACK_SIZE
    if call(driver.cuCtxGetLimit, limit) > _STACK_BYTES:
        call(driver.cuCtxSetLimit, limit, _STACK_BYTES)


def launch(
    function: Any, grid: Sequence[int], threads: int, shared_bytes: int, parameters: Sequence[bytes],
    clusters: int = 1, cooperative: bool = False,
) -> None:  # fmt: skip
    """Launch on torch's current stream. `parameters` are the raw bytes of each, in exactly the driver's sizes."""
    config = driver.CUlaunchConfig()
    config.gridDimX, config.gridDimY, config.gridDimZ = grid[0] * clusters, grid[1], grid[2]
    config.blockDimX, config.blockDimY, config.blockDimZ = threads, 1, 1
    config.sharedMemBytes = shared_bytes
    config.hStream = torch.cuda.current_stream().cuda_stream
    attributes = []
    if cooperative:
        attribute = driver.CUlaunchAttribute()
        attribute.id = driver.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_COOPERATIVE
        attribute.value.cooperative = 1
        attributes.append(attribute)
    if clusters > 1:
        attribute = driver.CUlaunchAttribute()
        attribute.id = driver.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
        attribute.value.clusterDim.x, attribute.value.clusterDim.y, attribute.value.clusterDim.z = clusters, 1, 1
        attributes.append(attribute)
    config.attrs, config.numAttrs = attributes, len(attributes)
    cells = [_aligned(value) for value in parameters]
    pointers = (ctypes.c_void_p * max(1, len(cells)))(*[address for _, address in cells])
    call(driver.cuLaunchKernelEx, config, function, ctypes.addressof(pointers), 0)


def _aligned(value: bytes) -> tuple[Any, int]:
    """A copy of `value` at an address aligned for everything, tensor maps (64 bytes) included, and that address."""
    store = ctypes.create_string_buffer(len(value) + 64)
    address = -(-ctypes.addressof(store) // 64) * 64
    ctypes.memmove(address, value, len(value))
    return store, address


def tensor_map(
    address: int, data_type: int, item_bytes: int, shape: Sequence[int], strides: Sequence[int], box: Sequence[int],
    swizzle: int, nan_padding: bool,
) -> bytes:  # fmt: skip
    """An encoded tiled tensor map (TMA). Shape, strides (elements) and box (elements) in row-major order.

    Raises:
        CudaError: the driver refuses it: wrong alignment, a box that is too large, a stride that is no multiple of 16
            bytes.
    """
    rank = len(box)
    dims = [driver.cuuint64_t(n) for n in reversed(shape)]
    steps = [driver.cuuint64_t(n * item_bytes) for n in reversed(strides[:-1])]
    steps.append(driver.cuuint64_t(int(dims[-1]) * (int(steps[-1]) if steps else item_bytes)))
    fill = driver.CUtensorMapFloatOOBfill
    encoded = call(
        driver.cuTensorMapEncodeTiled,
        driver.CUtensorMapDataType(data_type), rank, address, dims, steps,
        [driver.cuuint32_t(n) for n in reversed(box)], [driver.cuuint32_t(1)] * rank,
        driver.CUtensorMapInterleave.CU_TENSOR_MAP_INTERLEAVE_NONE, driver.CUtensorMapSwizzle(swizzle),
        driver.CUtensorMapL2promotion.CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
        fill.CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA if nan_padding
        else fill.CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
    )  # fmt: skip
    return ctypes.string_at(encoded.getPtr(), _TENSOR_MAP_BYTES)


def _attribute(name: str) -> int:
    attribute = getattr(driver.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
    return int(call(driver.cuDeviceGetAttribute, attribute, torch.cuda.current_device()))


def machine() -> Machine:
    """Peak memory bandwidth and half-precision tensor rate, from the device's own clocks and widths."""
    bandwidth = 2 * _attribute("MEMORY_CLOCK_RATE") * 1e3 * _attribute("GLOBAL_MEMORY_BUS_WIDTH") / 8
    per_clock = FLOPS_PER_CLOCK.get(_attribute("COMPUTE_CAPABILITY_MAJOR"), max(FLOPS_PER_CLOCK.values()))
    flops = _attribute("CLOCK_RATE") * 1e3 * _attribute("MULTIPROCESSOR_COUNT") * per_clock
    return Machine(bytes_per_ms=bandwidth / 1e3, flops_per_ms=flops / 1e3)


def description() -> dict[str, Any]:
    """What a candidate may know of the device: names as in `torch.cuda.get_device_properties`."""
    found = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "name": found.name,
        "multi_processor_count": found.multi_processor_count,
        "major": found.major,
        "minor": found.minor,
        "total_memory": found.total_memory,
        "L2_cache_size": found.L2_cache_size,
        "shared_memory_per_block_optin": _attribute("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN"),
        "shared_memory_per_multiprocessor": _attribute("MAX_SHARED_MEMORY_PER_MULTIPROCESSOR"),
        "warp_size": found.warp_size,
        "regs_per_multiprocessor": _attribute("MAX_REGISTERS_PER_MULTIPROCESSOR"),
        "max_threads_per_multi_processor": found.max_threads_per_multi_processor,
        "is_integrated": 0,
        "gcnArchName": "",
    }


def stamp() -> dict[str, str]:
    """Hardware and versions that a time depends on."""
    version = int(call(driver.cuDriverGetVersion))
    return {
        "gpu": torch.cuda.get_device_name(),
        "driver": f"CUDA {version // 1000}.{version % 1000 // 10}",
        "torch": torch.__version__,
        "triton": metadata.version("triton"),
    }


def reset_persisting_l2() -> None:
    """No line of the L2 cache stays because somebody asked for it."""
    call(driver.cuCtxResetPersistingL2Cache)


class _Span:
    """A range of device memory, for torch."""

    def __init__(self, address: int, nbytes: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (nbytes,), "typestr": "|u1", "data": (address, False), "version": 3, "strides": None,
        }  # fmt: skip


def create_shared(nbytes: int) -> tuple[int, int]:
    """Device memory that another process can map: (file descriptor, real size in bytes)."""
    properties = _properties()
    flag = driver.CUmemAllocationGranularity_flags.CU_MEM_ALLOC_GRANULARITY_MINIMUM
    unit = int(call(driver.cuMemGetAllocationGranularity, properties, flag))
    size = -(-nbytes // unit) * unit
    handle = call(driver.cuMemCreate, size, properties, 0)
    kind = driver.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
    fd = int(call(driver.cuMemExportToShareableHandle, handle, kind, 0))
    call(driver.cuMemRelease, handle)  # the descriptor keeps it alive
    return fd, size


class Window:
    """Addresses for shared memory, reserved once a process at a random place with nothing mapped beside them: from
    there no guess leads to other memory of the process.
    """

    def __init__(self) -> None:
        self._room = -(-torch.cuda.get_device_properties(0).total_memory // _STEP) * _STEP
        wish = _LOWEST + secrets.randbelow(_ADDRESSES // _STEP) * _STEP
        self._address = int(call(driver.cuMemAddressReserve, self._room + 2 * _MARGIN, 0, wish, 0)) + _MARGIN
        self._mapped = 0

    def map(self, fd: int, nbytes: int) -> torch.Tensor:
        """Map what `create_shared` made as uint8 (nbytes,), in place of what was mapped before."""
        self.unmap()
        kind = driver.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
        handle = call(driver.cuMemImportFromShareableHandle, fd, kind)
        call(driver.cuMemMap, self._address, nbytes, 0, handle, 0)
        self._mapped = nbytes
        access = driver.CUmemAccessDesc()
        access.location = _properties().location
        access.flags = driver.CUmemAccess_flags.CU_MEM_ACCESS_FLAGS_PROT_READWRITE
        call(driver.cuMemSetAccess, self._address, nbytes, [access], 1)
        call(driver.cuMemRelease, handle)  # the mapping keeps it alive
        return torch.as_tensor(_Span(self._address, nbytes), device="cuda")

    def unmap(self) -> None:
        """Nothing that `map` returned may be used any more."""
        if self._mapped:
            torch.cuda.synchronize()
            call(driver.cuMemUnmap, self._address, self._mapped)
            self._mapped = 0


def _properties() -> Any:
    properties = driver.CUmemAllocationProp()
    properties.type = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    properties.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    properties.location.id = torch.cuda.current_device()
    properties.requestedHandleTypes = driver.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
    return properties
