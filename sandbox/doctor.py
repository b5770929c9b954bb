"""What this host gives the sandbox: every isolation layer, and one kernel judged end to end."""

from sandbox import isolation, references
from sandbox.local import LocalSandbox
from sandbox.pool import ProcessDiedError
from sandbox.types import TOLERANCES, Job, Record

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
        job = Job(
            reference=task.reference, candidate=task.expert, entry_point=task.entry_point, cases=task.cases[:1],
            tolerance=TOLERANCES[task.tolerance],
        )  # fmt: skip
        verdict = sandbox.judge(job)
        meaning = (
            "an expert softmax is judged end to end" if verdict.kind == "passed" else getattr(verdict, "reason", "")
        )
        findings.append(Finding(name="a kernel passes", good=verdict.kind == "passed", needed=True, meaning=meaning))
    except ProcessDiedError as error:
        findings = [Finding(name="processes start", good=False, needed=True, meaning=str(error))]
    finally:
        sandbox.close()
    return findings
