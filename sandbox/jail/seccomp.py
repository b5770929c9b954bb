"""A seccomp filter by deny-list, built by hand: a few dozen BPF instructions need no library.

Five profiles: `run` (candidate Python and interpreted kernels: no new processes, no exec), `compile` (no candidate
code, but ptxas must be started), `replay` (device code only: like `run`, but CUDA may open its local socket), `judge`
(references: like `run`, but it makes the arenas) and `program` (an answer that runs itself on a GPU, as upstream's
harness lets it: Triton starts gcc and ptxas in it, and CUDA opens its socket, so a pid and a net namespace must hold
what this filter lets through).
"""

import ctypes
import platform
import struct
from typing import Literal

Profile = Literal["run", "compile", "replay", "judge", "program"]
GPU_PROFILES: tuple[Profile, ...] = ("replay", "program")

_DENIED_ALWAYS = """
    ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd pidfd_open pidfd_send_signal bpf
    perf_event_open userfaultfd mount umount2 pivot_root chroot unshare setns keyctl add_key request_key
    init_module finit_module delete_module kexec_load reboot io_uring_setup seccomp open_by_handle_at
    memfd_create memfd_secret shmget semget msgget mq_open socket socketpair kill tkill rt_sigqueueinfo
    rt_tgsigqueueinfo mknod mknodat personality syslog acct swapon setrlimit fanotify_init move_mount fsopen fsmount
    open_tree setpriority mlock mlockall
    """.split()
_SCHEDULING = "sched_setparam sched_setscheduler sched_setattr ioprio_set migrate_pages move_pages".split()
_DENIED_WITHOUT_EXEC = ["fork", "vfork", "execve", "execveat", "timer_create", *_SCHEDULING]
_CUDA = frozenset({"socket", "socketpair", "mlock", "setpriority", "timer_create", *_SCHEDULING})
_NEEDED: dict[Profile, frozenset[str]] = {
    "run": frozenset(),
    "compile": frozenset(),
    "replay": _CUDA,
    "judge": frozenset({"memfd_create"}),
    "program": _CUDA,
}


def _table(text: str) -> dict[str, int]:
    words = text.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


_NUMBERS = {
    "x86_64": _table("""
        setrlimit 160 prlimit64 302 shmget 29 socket 41 socketpair 53 clone 56 fork 57 vfork 58 execve 59
        kill 62 semget 64 msgget 68 ptrace 101 syslog 103 rt_sigqueueinfo 129 mknod 133 personality 135
        setpriority 141 mlock 149 mlockall 151 pivot_root 155 chroot 161 acct 163 mount 165 umount2 166
        fcntl 72 sched_setparam 142 sched_setscheduler 144 sched_setaffinity 203 timer_create 222 ioprio_set 251
        migrate_pages 256 move_pages 279 sched_setattr 314
        swapon 167 reboot 169 init_module 175 delete_module 176 tkill 200 tgkill 234 mq_open 240
        kexec_load 246 add_key 248 request_key 249 keyctl 250 mknodat 259 unshare 272 rt_tgsigqueueinfo 297
        perf_event_open 298 fanotify_init 300 open_by_handle_at 304 setns 308 process_vm_readv 310
        process_vm_writev 311 kcmp 312 finit_module 313 seccomp 317 memfd_create 319 bpf 321 execveat 322
        userfaultfd 323 pidfd_send_signal 424 io_uring_setup 425 open_tree 428 move_mount 429 fsopen 430
        fsmount 432 pidfd_open 434 clone3 435 pidfd_getfd 438 memfd_secret 447
    """),
    "aarch64": _table("""
        setrlimit 164 prlimit64 261 mknodat 33 umount2 39 mount 40 pivot_root 41 chroot 51 acct 89
        fcntl 25 ioprio_set 30 timer_create 107 sched_setparam 118 sched_setscheduler 119 sched_setaffinity 122
        migrate_pages 238 move_pages 239 sched_setattr 274
        personality 92 unshare 97 kexec_load 104 init_module 105 delete_module 106 syslog 116 ptrace 117
        kill 129 tkill 130 tgkill 131 rt_sigqueueinfo 138 setpriority 140 reboot 142 mq_open 180 msgget 186
        semget 190 shmget 194 socket 198 socketpair 199 add_key 217 request_key 218 keyctl 219 clone 220
        execve 221 swapon 224 mlock 228 mlockall 230 rt_tgsigqueueinfo 240 perf_event_open 241
        fanotify_init 262 open_by_handle_at 265 setns 268 process_vm_readv 270 process_vm_writev 271 kcmp 272
        finit_module 273 seccomp 277 memfd_create 279 bpf 280 execveat 281 userfaultfd 282
        pidfd_send_signal 424 io_uring_setup 425 open_tree 428 move_mount 429 fsopen 430 fsmount 432
        pidfd_open 434 clone3 435 pidfd_getfd 438 memfd_secret 447
    """),
}  # fmt: skip
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_LOAD, _JUMP_EQ, _JUMP_GE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_NR, _ARCH, _ARG0, _ARG1, _ARG2, _ARG2_HIGH = 0, 4, 16, 24, 32, 36  # offsets in struct seccomp_data (low words first)
_CLONE_THREAD = 0x00010000
_X32_BIT = 0x40000000
_SIGKILL, _SET_SIGNAL = 9, 10  # F_SETSIG


def program(pid: int, profile: Profile) -> bytes:
    """BPF bytes for this machine. `pid` is the only process that `tgkill` may signal (abort() needs it), and not by
    SIGKILL, nor may timers and descriptors: outside a pid namespace its end would look like the host's doing.

    Raises:
        OSError: no syscall table for this processor.
    """
    machine = platform.machine()
    if machine not in _NUMBERS:
        raise OSError(f"no seccomp table for {machine}")
    numbers = _NUMBERS[machine]
    code = [(_LOAD, 0, 0, _ARCH), (_JUMP_EQ, 1, 0, _AUDIT_ARCH[machine]), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NR)]
    if machine == "x86_64":  # the x32 ABI would give every denied call a second number
        code += [(_JUMP_GE, 0, 1, _X32_BIT), (_RETURN, 0, 0, _ERRNO | _EPERM)]
    may_exec = profile in ("compile", "program")
    denied = _DENIED_ALWAYS + ([] if may_exec else _DENIED_WITHOUT_EXEC)
    for name in denied:
        if name in numbers and name not in _NEEDED[profile]:
            code += [(_JUMP_EQ, 0, 1, numbers[name]), (_RETURN, 0, 0, _ERRNO | _EPERM)]
    code += [(_JUMP_EQ, 0, 1, numbers["clone3"]), (_RETURN, 0, 0, _ERRNO | _ENOSYS)]  # libc falls back to clone
    code += _where(numbers["tgkill"], _ARG0, pid, refused=False)
    code += _where(numbers["tgkill"], _ARG2, _SIGKILL, refused=True)
    code += _where(numbers["fcntl"], _ARG1, _SET_SIGNAL, refused=True)
    code += [  # prlimit64 may read limits, not set them: a lowered CPU limit would look like a kill from outside
        (_JUMP_EQ, 0, 6, numbers["prlimit64"]),
        (_LOAD, 0, 0, _ARG2),
        (_JUMP_EQ, 0, 2, 0),
        (_LOAD, 0, 0, _ARG2_HIGH),
        (_JUMP_EQ, 1, 0, 0),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_LOAD, 0, 0, _NR),
    ]
    if not may_exec and profile not in GPU_PROFILES:  # without a pid namespace there are others of the same user
        code += _where(numbers["sched_setaffinity"], _ARG0, 0, refused=False)
    if not may_exec:  # threads yes, processes no
        code += [
            (_JUMP_EQ, 0, 3, numbers["clone"]),
            (_LOAD, 0, 0, _ARG0),
            (_JUMP_SET, 1, 0, _CLONE_THREAD),
            (_RETURN, 0, 0, _ERRNO | _EPERM),
        ]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


def _where(number: int, argument: int, value: int, refused: bool) -> list[tuple[int, int, int, int]]:
    """The call is refused where the argument (by its offset) is `value`, or else where it is not."""
    return [
        (_JUMP_EQ, 0, 3, number),
        (_LOAD, 0, 0, argument),
        (_JUMP_EQ, 1 - refused, refused, value),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_LOAD, 0, 0, _NR),
    ]


def install(libc: ctypes.CDLL, pid: int, profile: Profile) -> None:
    """Load the filter into this process, for good. Needs no-new-privileges.

    Raises:
        OSError: the kernel refuses.
    """
    code = program(pid, profile)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer)))
    if libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(header)), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp filter")
