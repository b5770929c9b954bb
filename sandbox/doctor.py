"""What this host gives the sandbox: every isolation layer, and one kernel judged end to end."""

import contextlib

from sandbox import references
from sandbox.jail import isolation
from sandbox.local import LocalSandbox, gpu_count
from sandbox.pool import ProcessDiedError
from sandbox.types import Passed, Record

MEANING = {
    "net namespace": "a candidate sees no network",
    "ipc namespace": "no shared memory or queues of other processes",
    "uts namespace": "no host name to change",
    "cgroup namespace": "no control groups to look at",
    "pid namespace": "no other process is visible; nothing outlives a candidate",
    "mount namespace": "mounts of a candidate are its own",
    "private root": "a candidate sees system libraries and one small scratch folder, nothing else",
    "landlock": "second lock on files, TCP and signals",
    "seccomp": "system calls that only attacks need are refused",
    "other uid": "candidates run as nobody (an ordinary user has a user namespace instead)",
}
NEEDED = frozenset({"landlock", "seccomp"}), frozenset({"private root", "pid namespace", "net namespace"})
"""A host is fit with either set of these."""


class Finding(Record):
    name: str
    good: bool
    needed: bool
    meaning: str


def examine() -> list[Finding]:
    """Try everything; nothing is assumed from version numbers."""
    sandbox = LocalSandbox(workers=1)
    try:
        layers = sandbox.layers()
        needed = min(NEEDED, key=lambda wanted: len(wanted - layers))
        findings = [
            Finding(name=layer, good=layer in layers, needed=layer in needed, meaning=MEANING[layer])
            for layer in isolation.LAYERS
        ]
        task = references.load("ak9_softmax", "cpu")
        findings.append(_kernel_passes("a kernel passes", sandbox, task))
        if gpu_count():
            with contextlib.closing(LocalSandbox(workers=1, gpus=1)) as on_gpu:
                task = references.load("ak9_softmax", "gpu")
                findings.append(_kernel_passes("a kernel passes on a GPU", on_gpu, task))
    except ProcessDiedError as error:
        findings = [Finding(name="processes start", good=False, needed=True, meaning=str(error))]
    finally:
        sandbox.close()
    return findings


def _kernel_passes(name: str, sandbox: LocalSandbox, task: references.SuiteTask) -> Finding:
    verdict = sandbox.judge(task.job(task.expert).model_copy(update={"cases": task.cases[:1]}))
    meaning = "an expert softmax is judged end to end" if isinstance(verdict, Passed) else verdict.reason
    return Finding(name=name, good=isinstance(verdict, Passed), needed=True, meaning=meaning)
