"""A warm process that forks one isolated child for every piece of untrusted work.

    zygote (torch, triton imported; trusted; one thread)
      └ warden (forked: new namespaces, deadline, kills)         trusted
          └ child (locked down, first process of its pid namespace)   untrusted

Forking costs milliseconds where importing torch costs seconds. `python -m sandbox.jail.zygote ROLE FD` is started by
`sandbox.pool`; roles are `trace` (candidate Python on fake tensors), `interpret` (kernel bodies under Triton's
interpreter, which must be chosen before Triton is imported), `compile` (no candidate Python; may start ptxas) and
`replay` (compiled kernels on a GPU; lives long, answers a judge).
"""

import contextlib
import ctypes
import gc
import os
import secrets
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox import wire
from sandbox.jail import isolation
from sandbox.jail.seccomp import Profile

Work = Callable[[dict[str, Any], Path, list[int]], dict[str, Any]]
"""(request, writable scratch folder, descriptors of shared memory) → reply, in the child."""

PROFILES: dict[str, Profile] = {"trace": "run", "interpret": "run", "compile": "compile", "replay": "replay"}
CPU_GRACE_SECONDS = 2
HUGE_PAGE, MADV_COLLAPSE = 2 << 20, 25
RESULT_FDS = 4  # result, log, status, life: the first descriptors of each request


def serve(work: Work, channel: socket.socket, profile: Profile) -> None:
    """Fork a warden for each request until the supervisor goes away."""
    with tempfile.TemporaryDirectory(prefix="kernelwright-") as folder:
        mount_point = Path(folder)
        mount_point.chmod(0o755)
        layers = isolation.available(mount_point)
        wire.send(channel, {"layers": sorted(layers)})
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # wardens report through their pipes; nobody waits for them
        gc.freeze()  # keep the warm heap shared between forks
        _use_huge_pages()
        while True:
            try:
                request, fds = wire.receive(channel)
            except wire.WireError:
                return
            if os.fork() == 0:
                try:
                    channel.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _warden(work, request, fds, layers, mount_point, profile)
                finally:
                    os._exit(1)  # or the way out of here would remove the folder that all jails share
            for fd in fds:
                os.close(fd)


def _use_huge_pages() -> None:
    """Lay our warm heap on huge pages, as far as the kernel can: every fork, and every end of a child, goes through one
    entry of the page tables for each page. Kernels before 6.1 refuse, which costs nothing but time.
    """
    libc = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, access, *_, inode = line.split()[:5]
        if access != "rw-p" or inode != "0":
            continue
        first, end = (int(address, 16) for address in place.split("-"))
        for at in range(-(-first // HUGE_PAGE) * HUGE_PAGE, end - HUGE_PAGE + 1, HUGE_PAGE):
            libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(HUGE_PAGE), MADV_COLLAPSE)


def _warden(
    work: Work, request: dict[str, Any], fds: list[int], layers: frozenset[str], mount_point: Path, profile: Profile
) -> None:
    """Isolate, fork the child, wait for its end or its deadline, report, exit. Never returns."""
    result, log, status, life = fds[:RESULT_FDS]
    isolation.die_with_parent()
    os.setsid()
    report: dict[str, Any]
    private = Path(tempfile.mkdtemp(dir=mount_point)) if "private root" not in layers else None
    try:
        jail = isolation.Jail(layers, private or mount_point, profile)
        if private is not None and os.geteuid() == 0:
            os.chown(private, jail.uid, isolation.NOBODY)
        jail.prepare()
        setup_read, setup_write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(status)
            os.close(life)
            _child(work, request, fds[RESULT_FDS:], (result, log, setup_write), jail)
        for fd in (result, log, setup_write):
            os.close(fd)
        fault = os.read(setup_read, 4096).decode()  # ends when the child is locked down, before untrusted code
        report = _watch(child, life, float(request["seconds"]))
        if fault:
            report = {"setup_error": fault}
    except OSError as error:
        report = {"setup_error": str(error)}
    with contextlib.suppress(BrokenPipeError):
        wire.write_all(status, wire.dumps(report))
    os.close(status)  # nobody waits until what the child has left behind is gone
    if private is not None:
        _remove(private)
    os._exit(0)


def _remove(folder: Path) -> None:
    """With all that is in it, however deep: `shutil.rmtree` calls itself for every level."""
    folder.chmod(0o700)
    while found := list(folder.iterdir()):
        for path in found:
            if path.is_symlink() or not path.is_dir():
                path.unlink()
                continue
            path.chmod(0o700)
            for inner in list(path.iterdir()):
                if inner.is_dir() and not inner.is_symlink():
                    inner.chmod(0o700)  # only who may write to a folder may move it
                inner.rename(folder / secrets.token_hex(8))
            path.rmdir()
    folder.rmdir()


def _watch(child: int, life: int, seconds: float) -> dict[str, Any]:
    """Wait until the child ends, its time is over, or the supervisor has gone; then nothing of it is left."""
    started = time.monotonic()
    pidfd = os.pidfd_open(child)
    ready, _, _ = select.select([pidfd, life], [], [], seconds)
    timed_out = pidfd not in ready
    with contextlib.suppress(
        ProcessLookupError
    ):  # whatever the end: the whole group goes (and the pid namespace with it)
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    out_of_time = (
        usage.ru_utime + usage.ru_stime >= seconds + CPU_GRACE_SECONDS - 0.5
    )  # several threads: CPU limit first
    return {
        "timed_out": out_of_time or (timed_out and life not in ready),
        "cancelled": life in ready,
        "exit_code": os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - started,
    }


def _child(
    work: Work,
    request: dict[str, Any],
    shared: list[int],
    pipes: tuple[int, int, int],
    jail: isolation.Jail,
) -> None:
    """Lock down, do the work, send the reply. Never returns."""
    result, log, setup = pipes
    try:
        os.setsid()
        os.dup2(log, 1)
        os.dup2(log, 2)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        keep = {0, 1, 2, result, setup, *shared}
        _close_others(keep)
        jail.enter(int(request["memory_mib"]), int(request["seconds"]) + CPU_GRACE_SECONDS)
        os.environ.update(
            HOME=str(jail.scratch),
            USER="nobody",
            LOGNAME="nobody",
            TMPDIR=str(jail.scratch),
            TRITON_CACHE_DIR=str(jail.scratch / "cache"),
        )
        tempfile.tempdir = None
    except Exception as error:  # nothing untrusted has run yet: whatever it is, it is ours
        try:
            wire.write_all(setup, f"{type(error).__name__}: {error}".encode()[:4096])
        finally:
            os._exit(3)
    try:
        os.close(setup)  # says: locked down; from here on nothing can claim that we failed to do it
        wire.write_all(result, wire.dumps(work(request, jail.scratch, shared)))
    except BaseException:  # the last frame of this process: whatever it was, it goes into the log and nowhere else
        traceback.print_exc()
    finally:
        os._exit(0)  # no atexit handler, no destructor, no other thread gets a say


def _close_others(keep: set[int]) -> None:
    previous = -1
    for fd in [*sorted(keep), 1 << 16]:
        if fd > previous + 1:  # an empty range would close everything
            os.closerange(previous + 1, fd)
        previous = fd


def _role(role: str) -> tuple[Work, Callable[[], None]]:
    """What a role does and how it warms up; imports nothing of the other roles."""
    if role == "trace":
        from sandbox.tracing import tracer

        return tracer.trace, tracer.warm
    if role == "interpret":
        from sandbox.interpreting import interpreter

        return interpreter.interpret, interpreter.warm
    if role == "compile":
        from sandbox.compiling import compiler

        return compiler.compile_kernels, compiler.warm
    from sandbox.replaying import replayer

    return replayer.serve, replayer.warm


def main() -> None:
    role, fd = sys.argv[1], int(sys.argv[2])
    isolation.die_with_parent()
    channel = socket.socket(fileno=fd)
    if role not in PROFILES:
        raise SystemExit(f"unknown role {role!r}: {', '.join(PROFILES)}")
    work, warm = _role(role)
    warm()
    serve(work, channel, PROFILES[role])
    os._exit(0)  # nothing is left to do, and Triton's bindings complain at length when torn down


if __name__ == "__main__":
    main()
