"""What the kernel can take away from a process before untrusted code runs in it.

Covered: namespaces (net, ipc, uts, cgroup, pid, mount; user where not root), a minimal read-only root with one
small writable tmpfs, Landlock, seccomp, rlimits, a uid of its own, no new privileges, not dumpable, death with the
parent.
Not covered: kernel bugs; hosts that refuse layers (they are named by `available`, and by `sandbox doctor`).

`Jail` is used in two steps because a pid namespace needs a second fork: `prepare` in the warden, `enter` in its child.
"""

import contextlib
import ctypes
import os
import resource
import secrets
import struct
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sandbox.jail import seccomp
from sandbox.jail.paths import mounts_below, readable_paths

_libc = ctypes.CDLL(None, use_errno=True)

NOBODY = 65534
FIRST_UID, UIDS = 0x60000000, 1 << 28
"""Where this user namespace maps them, a jail draws its uid from here: limits on processes count by uid, so a neighbour
that starts as many threads as it may must not take them from others."""
SCRATCH = Path("/scratch")
SCRATCH_MIB = 64
_NEWUSER, _NEWPID, _NEWNET, _NEWIPC, _NEWUTS, _NEWCGROUP, _NEWNS = (
    0x10000000, 0x20000000, 0x40000000, 0x08000000, 0x04000000, 0x02000000, 0x00020000,
)  # fmt: skip
_NAMESPACES = {"net": _NEWNET, "ipc": _NEWIPC, "uts": _NEWUTS, "cgroup": _NEWCGROUP, "pid": _NEWPID, "mount": _NEWNS}
LAYERS = (*(f"{name} namespace" for name in _NAMESPACES), "private root", "landlock", "seccomp", "other uid")
_WITHOUT_FORK = frozenset(LAYERS) - {"pid namespace", "cgroup namespace"}
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REMOUNT, _MS_REC, _MS_PRIVATE = 1, 2, 4, 4096, 32, 16384, 1 << 18
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_GPU_FOLDERS = ("/sys", "/etc")
"""What the CUDA driver reads at start besides libraries and /proc."""


def _check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [text.encode() if text is not None else None for text in (source, target, kind, data)]
    _check(_libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]), f"mount {target}")


class Jail:
    """One isolation of one process, with the layers that this host gives."""

    def __init__(self, layers: frozenset[str], mount_point: Path, profile: seccomp.Profile = "run") -> None:
        self.layers = layers
        self.mount_point = mount_point
        self.profile: seccomp.Profile = profile
        self.uid = _draw_uid()
        self.paths = list(readable_paths())
        self.devices = [Path(device) for device in _DEVICES]
        self.on_gpu = profile in seccomp.GPU_PROFILES
        self.mounts = mounts_below(self.paths) if self.on_gpu else []
        if profile == "program" and (headers := Path(sysconfig.get_paths()["include"])).exists():
            self.paths.append(headers)  # Triton compiles its launchers in there
        if self.on_gpu:
            self.paths += [Path(folder) for folder in _GPU_FOLDERS]
            self.devices += sorted(path for path in Path("/dev").glob("nvidia*") if not path.is_dir())
        self.scratch = mount_point / SCRATCH.relative_to("/") if "private root" in layers else mount_point

    def prepare(self) -> None:
        """In the warden: new namespaces, and the root that its child will see.

        Raises:
            OSError: a layer in `layers` is refused after all.
        """
        flags = sum(flag for name, flag in _NAMESPACES.items() if f"{name} namespace" in self.layers)
        if flags:
            unshare(flags)
        if "private root" in self.layers:
            self._build_root()

    def enter(self, memory_mib: int, cpu_seconds: int) -> None:
        """In the child: give everything away. Irreversible.

        Raises:
            OSError: a layer in `layers` is refused after all.
        """
        _check(_libc.prctl(1, 9, 0, 0, 0), "parent-death signal")
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        if "private root" in self.layers:
            if self.on_gpu:  # CUDA does not start without; its own pid namespace has nobody else in it
                (self.mount_point / "proc").mkdir()
                _mount("proc", f"{self.mount_point}/proc", "proc", _MS_NOSUID | _MS_NODEV)
            os.chroot(self.mount_point)  # no /proc in there otherwise
            self.scratch = SCRATCH
        os.chdir(self.scratch)
        if self.profile == "judge":
            pass  # arenas are as large as jobs ask for, it lives long, and the supervisor ends what gives no answer
        elif self.on_gpu:
            _limit(resource.RLIMIT_DATA, in_use + (memory_mib << 20), cpu_seconds)  # CUDA reserves addresses by the TB
        else:  # address space, not data: anonymous shared mappings must count too
            _limit(resource.RLIMIT_AS, in_use + (memory_mib << 20), cpu_seconds)
        ruleset = _landlock_ruleset(self._rules()) if "landlock" in self.layers else None
        if "other uid" in self.layers and os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(self.uid, self.uid, self.uid)
        _drop_capabilities()
        _check(_libc.prctl(38, 1, 0, 0, 0), "no new privileges")
        _check(_libc.prctl(4, 0, 0, 0, 0), "not dumpable")
        _check(_libc.prctl(1, 9, 0, 0, 0), "parent-death signal")  # changing uid cleared it
        if ruleset is not None:
            _check(_libc.syscall(446, ruleset, 0), "landlock")
            os.close(ruleset)
        if "seccomp" in self.layers:
            seccomp.install(_libc, os.getpid(), self.profile)

    def _build_root(self) -> None:
        _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
        root = str(self.mount_point)
        _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, f"size={SCRATCH_MIB}m,nr_inodes=4096,mode=755")
        for path in [*self.paths, *self.devices]:
            inside = Path(root + str(path))
            if inside.exists():
                continue  # inside a folder that is bound already
            if path.is_symlink():
                inside.parent.mkdir(parents=True, exist_ok=True)
                inside.symlink_to(path.readlink())
                continue
            if path.is_dir():
                inside.mkdir(parents=True)
            else:
                inside.parent.mkdir(parents=True, exist_ok=True)
                inside.touch()
            _bind(path, inside)
        for path in self.mounts:
            _bind(path, Path(root + str(path)))
        self.scratch.mkdir()
        self.scratch.chmod(0o777)

    def _rules(self) -> list[tuple[Path, int]]:
        """Landlock rules: folders and files, and the access to each."""
        read, device = 1 | 4 | 8, 2 | 4 | (1 << 15 if self.on_gpu else 0)
        own = [(Path("/proc"), 2 | 4 | 8 | 1 << 14)] if self.on_gpu else []
        return [(p, read) for p in self.paths] + [(d, device) for d in self.devices] + own + [(self.scratch, -1)]


def _bind(path: Path, inside: Path) -> None:
    """Mount `path` there, read-only unless it is a device."""
    _mount(str(path), str(inside), None, _MS_BIND)
    if not str(path).startswith("/dev/"):
        flags = _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _kept_flags(inside)
        _mount("none", str(inside), None, flags)


def _draw_uid() -> int:
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= FIRST_UID and first + count >= FIRST_UID + UIDS:
            return FIRST_UID + secrets.randbelow(UIDS)
    return NOBODY


def _kept_flags(path: Path) -> int:
    """Flags that a user namespace may not clear when it remounts what the host mounted."""
    flags = os.statvfs(path).f_flag
    return flags & (2 | 4 | 8 | 1024 | 2048)


def unshare(flags: int) -> None:
    """Enter new namespaces; an ordinary user also enters a user namespace in which it is called nobody.

    Raises:
        OSError: the host does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _check(_libc.unshare(flags), "unshare")
        return
    _check(_libc.unshare(flags | _NEWUSER), "unshare with user namespace")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1")


def _limit(kind: int, memory: int, cpu_seconds: int) -> None:
    resource.setrlimit(kind, (memory, memory))
    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: SCRATCH_MIB << 20,
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_NPROC: 256,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_STACK: 64 << 20,
    }
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _drop_capabilities() -> None:
    header = ctypes.create_string_buffer(struct.pack("<Ii", 0x20080522, 0))
    _check(_libc.capset(header, ctypes.create_string_buffer(b"\0" * 24)), "capset")


def landlock_abi() -> int:
    """Landlock version of the kernel; 0 or less: none."""
    return int(_libc.syscall(444, None, ctypes.c_size_t(0), 1))


def _landlock_ruleset(rules: list[tuple[Path, int]]) -> int:
    abi = landlock_abi()
    everything = (
        (1 << 13) - 1 | (1 << 13 if abi >= 2 else 0) | (1 << 14 if abi >= 3 else 0) | (1 << 15 if abi >= 5 else 0)
    )
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    attributes = struct.pack("<QQQ", everything, 3, 3)[:size]  # files, TCP, signals and abstract sockets
    ruleset = _libc.syscall(444, ctypes.create_string_buffer(attributes, size), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock ruleset")
    file_rights = 1 | 2 | 4 | 1 << 14 | 1 << 15
    for path, access in rules:
        if not path.exists():
            continue
        allowed = access & everything & (-1 if path.is_dir() else file_rights)
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = ctypes.create_string_buffer(struct.pack("<Qi", allowed, fd), 12)
        _check(_libc.syscall(445, ruleset, 1, rule, 0), f"landlock rule {path}")
        os.close(fd)
    return int(ruleset)


def available(mount_point: Path) -> frozenset[str]:
    """Which layers this host gives, found by trying each in a process of its own."""
    found = {f"{name} namespace" for name, flag in _NAMESPACES.items() if _works(partial(unshare, flag))}
    root = Jail(frozenset({"mount namespace", "private root"}), mount_point)
    if "mount namespace" in found and _works(root.prepare):
        found.add("private root")
    if landlock_abi() > 0:
        found.add("landlock")
    if _works(_try_seccomp):
        found.add("seccomp")
    if os.geteuid() == 0:
        found.add("other uid")
    return frozenset(found)


def _try_seccomp() -> None:
    _check(_libc.prctl(38, 1, 0, 0, 0), "no new privileges")
    seccomp.install(_libc, os.getpid(), "compile")


def _works(attempt: Callable[[], None]) -> bool:
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            attempt()
            os._exit(0)
        os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def lock_down_judge(folder: Path) -> Path:
    """For a judge, before it runs a task's code: no network, no file but what Python needs and an empty folder, which
    is returned, no new processes. Of the layers, those that a process can enter without a fork; the supervisor keeps
    its descriptor. Its own root lets another uid read a Python that lies in somebody's home.

    Raises:
        OSError: a layer that this host seemed to give is refused after all.
    """
    jail = Jail(available(folder) & _WITHOUT_FORK, folder, "judge")
    if "other uid" in jail.layers:
        os.chown(folder, jail.uid, NOBODY)
    jail.prepare()
    jail.enter(memory_mib=0, cpu_seconds=0)
    return jail.scratch


def die_with_parent() -> None:
    """For processes of ours: be killed when the process that started us dies."""
    _check(_libc.prctl(1, 9, 0, 0, 0), "parent-death signal")
