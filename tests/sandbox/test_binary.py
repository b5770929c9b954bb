"""Binaries as data, and the cache that keeps them."""

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sandbox import wire
from sandbox.compiling import binary as binary_module
from sandbox.compiling.binary import Binary, BinaryCache, DescriptorLayout

LAYOUT = DescriptorLayout(swizzle=3, elem_size=2, elem_type=9, block_size=(16, 64), fp4_padded=False)


def binary(symbol: str = "kernel", cubin: str = "f0VMRg==") -> Binary:
    return Binary(
        cubin=cubin,
        symbol=symbol,
        target="sm_90",
        shared_bytes=1024,
        num_warps=4,
        num_ctas=1,
        global_scratch_bytes=0,
        global_scratch_align=1,
        cooperative=False,
        descriptors=(LAYOUT,),
        parameters=("!tt.tensordesc<16x64xbf16>", "i32"),
    )


def key(**changed: Any) -> str:
    known = {
        "triton_version": "3.9.0",
        "target": "sm_90",
        "options": {"num_warps": 4, "num_stages": 2},
        "source": "module",
    }
    return BinaryCache.key(**(known | changed))


def entry(folder: Path) -> Path:
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


def test_a_binary_crosses_the_wire() -> None:
    sent = binary()
    assert Binary.model_validate(wire.loads(wire.dumps(sent.model_dump(mode="json")))) == sent
    assert sent.code == b"\x7fELF"
    with pytest.raises(ValueError, match="base64"):
        _ = binary(cubin="not base64!").code
    with pytest.raises(ValidationError, match="extra"):
        Binary.model_validate({**sent.model_dump(), "launch_pdl": True})


def test_the_key_is_all_that_decides_what_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert key() == key(options={"num_stages": 2, "num_warps": 4})
    changes: list[dict[str, Any]] = [
        {"triton_version": "3.9.1"}, {"target": "sm_80"}, {"options": {"num_warps": 8, "num_stages": 2}},
        {"options": {}}, {"source": "module "}, {"source": "\udcff"},
    ]  # fmt: skip
    assert len({key(), *(key(**change) for change in changes)}) == len(changes) + 1
    before = key()
    monkeypatch.setattr(binary_module, "PROTOCOL_VERSION", "another gate")
    assert key() != before


def test_memory_and_disk_keep_binaries(tmp_path: Path) -> None:
    for cache in (BinaryCache(None), BinaryCache(tmp_path)):
        assert cache.get(key()) is None
        cache.put(key(), binary())
        assert cache.get(key()) == binary()
        assert cache.get(key(source="other")) is None
    assert BinaryCache(tmp_path).get(key()) == binary()
    assert BinaryCache(None).get(key()) is None
    assert entry(tmp_path).stem == key()


@pytest.mark.parametrize("damage", ["cut", "altered", "empty", "folder", "checksum of nonsense"])
def test_a_damaged_entry_is_ignored_and_written_anew(damage: str, tmp_path: Path) -> None:
    BinaryCache(tmp_path).put(key(), binary())
    path = entry(tmp_path)
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-10])
    elif damage == "altered":
        path.write_bytes(content.replace(b"f0VMRg==", b"f0VMRQ=="))
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(hashlib.sha256(b"{}").hexdigest().encode() + b"\n{}")
    cache = BinaryCache(tmp_path)
    assert cache.get(key()) is None
    if damage == "folder":
        path.rmdir()
    cache.put(key(), binary())
    assert path.read_bytes() == content
    assert [path] == [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    cache = BinaryCache(blocked)
    assert cache.get(key()) is None
    cache.put(key(), binary())
    assert cache.get(key()) == binary()
    assert "cannot write" in caplog.text


def test_memory_is_bounded_and_drops_what_was_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary_module, "MEMORY_BYTES", 100)
    cache, keys = BinaryCache(None), [key(source=str(n)) for n in range(4)]
    for name in keys[:3]:
        cache.put(name, binary(cubin="A" * 32))
    cache.put(keys[0], binary(cubin="B" * 32))  # again: counts once, and is the newest
    assert cache.get(keys[1]) is not None
    cache.put(keys[3], binary(cubin="C" * 32))
    assert [cache.get(name) is not None for name in keys] == [True, True, False, True]
    cache.put(keys[2], binary(cubin="D" * 400))
    assert [cache.get(name) is not None for name in keys] == [False, False, True, False]


def test_only_keys_name_files(tmp_path: Path) -> None:
    for name in ("../" * 3 + "etc/passwd", "", key()[:-1], key() + "\n"):
        with pytest.raises(ValueError, match="is no key"):
            BinaryCache(tmp_path).get(name)
        with pytest.raises(ValueError, match="is no key"):
            BinaryCache(None).put(name, binary())
    assert not list(tmp_path.iterdir())


def test_many_threads_share_a_folder(tmp_path: Path) -> None:
    caches, keys = [BinaryCache(tmp_path), BinaryCache(tmp_path)], [key(source=str(n)) for n in range(5)]
    wrong: list[str] = []

    def work(cache: BinaryCache) -> None:
        for _ in range(20):
            for name in keys:
                found = cache.get(name)
                if found is not None and found.symbol != name:
                    wrong.append(name)
                cache.put(name, binary(symbol=name))

    threads = [threading.Thread(target=work, args=(caches[n % 2],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == len(keys)
    fresh = BinaryCache(tmp_path)
    assert [found.symbol for name in keys if (found := fresh.get(name))] == keys


def test_kernels_that_move_blocks_by_tensor_maps_are_told() -> None:
    pointers = binary().model_copy(update={"descriptors": ()})
    assert binary().tma and not pointers.tma
    assert pointers.model_copy(update={"global_scratch_bytes": 128}).tma  # made by the kernel itself
