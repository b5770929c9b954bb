"""What is left to a process in the jail, with all layers of the host and with the two that need no privileges."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.jail import isolation

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, os, sys, tempfile
from pathlib import Path
import numpy, torch, triton  # what the jail keeps readable
from sandbox.jail import isolation

def attempt(action):
    try:
        action()
    except (OSError, MemoryError, RuntimeError, ValueError) as error:
        return type(error).__name__
    return "allowed"

def fork():
    if os.fork() == 0:
        os._exit(0)

def hog():
    bytearray(8 << 30)

def lower_limit():
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (1, 1))

def set_timer():
    event = struct.pack("<Qii48x", 0, signal.SIGKILL, 0)
    if libc.timer_create(1, event, ctypes.byref(ctypes.c_void_p())):
        raise OSError(ctypes.get_errno(), "timer_create")

def fill_disk():
    for number in range(20):
        Path(str(number)).write_bytes(bytes(16 << 20))

import ctypes, fcntl, mmap, signal, socket, struct, threading
libc = ctypes.CDLL(None, use_errno=True)
secret = Path(tempfile.mkdtemp()) / "secret"
secret.write_text("hidden")
point = Path(tempfile.mkdtemp())
point.chmod(0o777)
wanted = frozenset(json.loads(sys.argv[1])) & isolation.available(point)
if os.fork() == 0:
    jail = isolation.Jail(wanted, point)
    jail.prepare()
    if os.fork() == 0:
        jail.enter(memory_mib=512, cpu_seconds=20)
        found = {
            "write scratch": attempt(lambda: Path("mine").write_text("x")),
            "read library": attempt(lambda: Path(torch.__file__).read_bytes()),
            "read /etc/passwd": attempt(lambda: Path("/etc/passwd").read_text()),
            "read secret": attempt(lambda: secret.read_text()),
            "read project": attempt(lambda: Path(isolation.__file__).read_text()),
            "write /tmp": attempt(lambda: Path("/tmp/kernelwright_test").write_text("x")),
            "write library": attempt(lambda: (Path(torch.__file__).parent / "kernelwright_test").write_text("x")),
            "write /dev/shm": attempt(lambda: Path("/dev/shm/kernelwright_test").write_text("x")),
            "socket": attempt(socket.socket),
            "fork": attempt(fork),
            "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
            "kill parent": attempt(lambda: os.kill(os.getppid(), 0)),
            "kill itself": attempt(lambda: signal.pthread_kill(threading.get_ident(), signal.SIGKILL)),
            "be killed by a timer": attempt(set_timer),
            "be killed by a descriptor": attempt(lambda: fcntl.fcntl(1, 10, signal.SIGKILL)),  # F_SETSIG
            "choose a scheduler": attempt(lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))),
            "choose another's processor": attempt(lambda: os.sched_setaffinity(1, {0})),
            "private memory": attempt(hog),
            "shared memory": attempt(lambda: mmap.mmap(-1, 8 << 30)),
            "memfd": attempt(lambda: os.memfd_create("x")),
            "lower limit": attempt(lower_limit),
            "fill disk": attempt(fill_disk),
            "become root": attempt(lambda: os.setuid(0)) if os.getuid() else "root",
        }
        os.write(1, json.dumps({"found": found, "layers": sorted(wanted), "own": os.getuid() == jail.uid}).encode())
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
os.wait()
"""
ALL = [f"{n} namespace" for n in ("net", "ipc", "uts", "cgroup", "pid", "mount")]
ALL += ["private root", "landlock", "seccomp", "other uid"]


@pytest.mark.parametrize("layers", [ALL, ["landlock", "seccomp", "other uid"]], ids=["all", "unprivileged"])
def test_what_is_left(layers: list[str], tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(layers)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "TMPDIR": "/tmp"},
    )  # fmt: skip
    assert answer.returncode == 0 and answer.stdout, answer.stderr
    said = json.loads(answer.stdout)
    found = said["found"]
    assert "landlock" in said["layers"] and "seccomp" in said["layers"], "this host cannot isolate; see sandbox doctor"
    assert said["own"] == (os.geteuid() == 0)
    allowed = {name for name, result in found.items() if result == "allowed"}
    bounded_by_tmpfs = {"fill disk"} if "private root" not in said["layers"] else set()
    assert allowed - bounded_by_tmpfs == {"write scratch", "read library"}, found


def test_jails_share_no_limit_on_processes() -> None:
    """As root on a host that maps many uids: a bomb in one jail must not take threads from another."""
    jails = [isolation.Jail(frozenset(), Path("/nowhere")) for _ in range(8)]
    mapped = int(Path("/proc/self/uid_map").read_text().split()[2]) > isolation.FIRST_UID + isolation.UIDS
    assert len({jail.uid for jail in jails}) == (8 if mapped else 1)


PROGRAM = """
import json, os, select, socket, subprocess, tempfile
from pathlib import Path
import numpy, torch, triton  # what the jail keeps readable
from sandbox.jail import isolation

def attempt(action):
    try:
        action()
    except (OSError, subprocess.SubprocessError) as error:
        return type(error).__name__
    return "allowed"

point = Path(tempfile.mkdtemp())
point.chmod(0o777)
layers = isolation.available(point)
gone, left = os.pipe()
if os.fork() == 0:
    jail = isolation.Jail(layers, point, "program")
    jail.prepare()
    if os.fork() == 0:
        os.setsid()
        jail.enter(memory_mib=512, cpu_seconds=20)
        found = {
            "start a compiler": attempt(lambda: subprocess.run(["sh", "-c", "echo x > made"], check=True)),
            "read what it made": attempt(lambda: Path("made").read_text()),
            "leave a child behind": attempt(
                lambda: subprocess.Popen(["sleep", "60"], start_new_session=True, pass_fds=(left,))),
            "read project": attempt(lambda: Path(isolation.__file__).read_text()),
            "write /tmp": attempt(lambda: Path("/tmp/kernelwright_test").write_text("x")),
            "write project by a child": attempt(
                lambda: subprocess.run(["sh", "-c", f"echo >> {isolation.__file__}"], check=True)),
            "reach the network": attempt(lambda: socket.create_connection(("1.1.1.1", 53), 2)),
            "kill others": attempt(lambda: os.kill(1, 0)),
        }
        os.write(1, json.dumps({"found": found, "layers": sorted(layers)}).encode())
        os._exit(0)
    os.close(left)
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
os.close(left)
os.wait()
ended = select.select([gone], [], [], 10)[0] and not os.read(gone, 1)
os.write(1, b"|left nothing" if ended else b"|left a child")
"""


def test_a_program_may_start_compilers_and_nothing_survives_it() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "TMPDIR": "/tmp"},
    )  # fmt: skip
    assert answer.returncode == 0 and "|" in answer.stdout, answer.stderr
    said, _, left = answer.stdout.partition("|")
    found = json.loads(said)["found"]
    allowed = {name for name, result in found.items() if result == "allowed"}
    assert allowed == {"start a compiler", "read what it made", "leave a child behind"}, found
    assert left == "left nothing" or "pid namespace" not in json.loads(said)["layers"]


LITTER = """
import json, os, sys, tempfile
from pathlib import Path
from sandbox.jail import isolation, zygote

def litter(request, scratch, fds):
    Path("link").symlink_to("/usr")
    for _ in range(1200):
        os.mkdir("deeper")
        Path("file").write_text("x")
        os.chdir("deeper")
    os.chmod("..", 0)
    return {}

folder = Path(tempfile.mkdtemp())
folder.chmod(0o755)
(folder / "a neighbour's").mkdir()
layers = isolation.available(folder) & {"landlock", "seccomp", "other uid"}
pipes = [os.pipe() for _ in range(4)]
theirs = [pipes[0][1], pipes[1][1], pipes[2][1], pipes[3][0]]
if os.fork() == 0:
    zygote._warden(litter, {"seconds": 30, "memory_mib": 1024}, theirs, layers, folder, "run")
for fd in theirs:
    os.close(fd)
replies = [os.read(read, 4096).decode() for read, _ in (pipes[0], pipes[2])]
os.wait()
print(json.dumps({"replies": replies, "left": os.listdir(folder)}))
"""


def test_nothing_that_a_child_leaves_behind_keeps_its_warden_from_reporting() -> None:
    """Where there is no root of its own its folder has to be emptied, however deep it is."""
    answer = subprocess.run(
        [sys.executable, "-c", LITTER], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "TMPDIR": "/tmp"},
    )  # fmt: skip
    assert answer.returncode == 0 and answer.stdout, answer.stderr
    said = json.loads(answer.stdout)
    assert said["replies"][0] == "{}" and json.loads(said["replies"][1])["exit_code"] == 0, said
    assert said["left"] == ["a neighbour's"]
