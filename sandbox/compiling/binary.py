"""A compiled kernel as data: what a launch needs besides arguments and grid, and a cache of such records by content.

The supervisor's half: no torch, no Triton. Records come from the compile role (`sandbox.compiling.compiler`).
Covered by the cache: processes and threads that share a folder, entries cut short or altered by accident. Not covered:
a folder that untrusted code can write to (an entry is believed once its checksum is right), and pruning on disk.
"""

import base64
import contextlib
import hashlib
import json
import logging
import os
import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from sandbox.types import PROTOCOL_VERSION, Record, Target

MEMORY_BYTES = 256 << 20
_KEY = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


class DescriptorLayout(Record):
    """How the binary wants one tensor descriptor parameter encoded (`cuTensorMapEncodeTiled`)."""

    swizzle: int
    """CUtensorMapSwizzle: 0 none, 1 32 B, 2 64 B, 3 128 B."""
    elem_size: int
    """Bytes of one element."""
    elem_type: int
    """CUtensorMapDataType as the host numbers it."""
    block_size: tuple[int, ...]
    """Elements of one block, outermost dimension first, of the tensor's rank; the compiler may want less than the
    descriptor's block shape at a time."""
    fp4_padded: bool
    """Two 4-bit elements a byte, padded: the last dimension is given twice as long."""


class Binary(Record):
    """One kernel for one NVIDIA target, as the compile role made it.

    The launch passes `parameters` in order, and two pointers after them: global scratch and profile scratch (null).
    """

    cubin: str
    """Machine code (ELF) as base64 text; `code` gives the bytes."""
    symbol: str
    """The kernel's name in the cubin."""
    target: Target
    shared_bytes: int
    """Dynamic shared memory of one block."""
    num_warps: int
    """Warps of a block as launched; more than was asked for where the compiler specialises warps."""
    num_ctas: int
    """Blocks of a cluster."""
    global_scratch_bytes: int
    """Global scratch of one block: a launch needs grid size x `num_ctas` x this; 0 where none is needed."""
    global_scratch_align: int
    profile_scratch_bytes: int = 0
    """Always 0: kernels that need it are refused."""
    cooperative: bool
    """The whole grid must be resident at once."""
    descriptors: tuple[DescriptorLayout, ...]
    """One for each parameter that is a tensor descriptor, in order."""
    parameters: tuple[str, ...]
    """MLIR types (`!tt.ptr<f32>`, `i32`, `f32`, `!tt.tensordesc<…>`). A descriptor of rank n is followed by its shape
    and strides, 2n integers, among the parameters. A target without descriptors (sm_80) has them taken apart here."""
    signature: dict[str, Any] = Field(default_factory=dict)
    """What Triton takes every parameter of the kernel function for: a type (`i32`, `*fp32`), `constexpr` (compiled in,
    not passed), or a list of them for a tuple. Empty where Triton IR was given instead of source."""

    @property
    def tma(self) -> bool:
        """Whether it may move blocks by tensor maps: those of its parameters, or those that it makes in its scratch."""
        return bool(self.descriptors) or self.global_scratch_bytes > 0

    @property
    def code(self) -> bytes:
        """The ELF file that `cuModuleLoadData` takes. Raises `ValueError` if `cubin` is no base64."""
        return base64.b64decode(self.cubin, validate=True)


class BinaryCache:
    """Binaries by content, in memory up to `MEMORY_BYTES` and, with a folder, on disk. Thread-safe.

    Holds only what compiled; rejections are found anew. Only the supervisor writes.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Binary] = OrderedDict()
        self._bytes = 0

    @staticmethod
    def key(triton_version: str, target: Target, options: dict[str, Any], source: str) -> str:
        """SHA-256 (64 hex digits) of all that decides what is compiled, and of the sandbox's protocol version.

        Args:
            source: what is compiled, with all that its lowering depends on (`KernelRequest.identity`).
        """
        content = [PROTOCOL_VERSION, triton_version, target, sorted(options.items()), source]
        return hashlib.sha256(json.dumps(content, allow_nan=False).encode()).hexdigest()

    def get(self, key: str) -> Binary | None:
        """The binary put under `key`; None where there is none, or none that can be read."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        found = self._read(key)
        if found is not None:
            self._remember(key, found)
        return found

    def put(self, key: str, binary: Binary) -> None:
        """Keep `binary` under `key`. A folder that cannot be written is logged and does without."""
        path = self._path(key)
        self._remember(key, binary)
        if path is None:
            return
        body = binary.model_dump_json().encode()
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            _log.warning("the binary cache cannot write %s: %s; free or change the folder", path, error)

    def _path(self, key: str) -> Path | None:
        """Raises `ValueError` for what `key()` never returns: it would name a file elsewhere."""
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key[:80]!r} is no key of this cache: use BinaryCache.key")
        return None if self._folder is None else self._folder / key[:2] / f"{key}.json"

    def _read(self, key: str) -> Binary | None:
        path = self._path(key)
        if path is None:
            return None
        try:
            checksum, _, body = path.read_bytes().partition(b"\n")
            if hashlib.sha256(body).hexdigest().encode() == checksum:
                return Binary.model_validate_json(body)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValidationError) as error:
            _log.warning("the binary cache cannot read %s: %s; it is compiled anew", path, error)
            return None
        _log.warning("the binary cache ignores %s: its checksum is wrong; it is compiled anew", path)
        return None

    def _remember(self, key: str, binary: Binary) -> None:
        with self._lock:
            if key in self._entries:
                self._bytes -= len(self._entries.pop(key).cubin)
            self._entries[key] = binary
            self._bytes += len(binary.cubin)
            while self._bytes > MEMORY_BYTES and len(self._entries) > 1:
                self._bytes -= len(self._entries.popitem(last=False)[1].cubin)
