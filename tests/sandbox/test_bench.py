"""The benches, run small on the CPU tier, and the parts of them that decide what their numbers mean."""

import ast
import json
import os
import re
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from sandbox import task_file
from sandbox.bench import (
    cli,
    corpus,
    fidelity,
    host,
    kernelbench,
    kernelbench_worker,
    plots,
    security,
    soak,
    throughput,
)
from sandbox.bench.distinct import NotRenamableError, distinct
from sandbox.bench.report import LIMITS, Judged, judge_many, write
from sandbox.kernels.functions import jit_functions
from sandbox.local import LocalSandbox
from sandbox.types import Broken, Passed, Rejected, Timing

PAIRS = corpus.HERE / "kernelbench"
FIDELITY = corpus.HERE / "fidelity"
SMALL = {"ROWS": 33, "COLS": 70, "INNER": 40, "BATCH": 2, "WIDTH": 16}
ROUGH = Rejected(stage="numerics", reason="wrong")


def arguments(*line: str) -> Namespace:
    parser = ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args([*line, "--no-gpu"])


def some(tmp_path: Path, folder: Path, *names: str) -> Path:
    """A folder with these files of a corpus."""
    chosen = tmp_path / folder.name
    chosen.mkdir()
    for name in names:
        (chosen / name).write_text((folder / name).read_text())
    return chosen


def test_security_publishes_who_was_stopped_where(tmp_path: Path) -> None:
    exploits = some(tmp_path, corpus.EXPLOITS, security.WRONG_SENTINEL, "d_no_kernel.py", "a_forbidden_imports.py")
    honest = some(tmp_path, corpus.HONEST, security.HONEST_SENTINEL)
    (exploits / "a_accepted.py").write_text((honest / security.HONEST_SENTINEL).read_text())  # must be noticed
    (honest / "refused.py").write_text((corpus.EXPLOITS / security.WRONG_SENTINEL).read_text())  # it is told why
    line = ["security", "--out", str(tmp_path), "--workers", "2", "--batch", "6"]
    code = cli.main(arguments(*line, "--exploits", str(exploits), "--honest", str(honest)))
    result = json.loads((tmp_path / "sandbox_security.json").read_text())
    summary, rows = result["summary"], {row["name"]: row for row in result["rows"] if row["kind"] != "sentinel"}
    assert code == 1 and (summary["exploits_total"], summary["exploits_accepted"]) == (4, 1)
    assert (summary["honest_total"], summary["honest_refused"], summary["exploits_broken"]) == (2, 1, 0)
    assert rows["refused.py"]["without_hidden_cases"] == "plan: output 0 is not written by any Triton kernel"
    assert summary["sentinels_total"] == 2 and summary["sentinels_wrong"] == 0 and summary["host_harmed"] == 0
    assert rows["d_no_kernel.py"]["stopped_by"] in rows["d_no_kernel.py"]["expected_stages"]
    assert result["stamp"]["cpu"] and (tmp_path / "sandbox_security.png").stat().st_size > 1000


def test_broken_is_never_counted_as_stopped() -> None:
    exploit = corpus.read_candidate(corpus.EXPLOITS / "d_no_kernel.py")
    verdicts = (Broken(reason="ours"), ROUGH, Passed(cases=()))
    rows = [security.row_of(kind, exploit, v, 0.0) for kind in ("exploit", "honest") for v in verdicts]
    summary = security.summarise(rows)
    assert (summary["exploits_broken"], summary["exploits_accepted"], summary["exploits_total"]) == (1, 1, 3)
    assert (summary["honest_broken"], summary["honest_refused"]) == (1, 1)


def test_throughput_on_the_cpu_names_no_speed(tmp_path: Path) -> None:
    line = ["throughput", "--out", str(tmp_path), "--workers", "2", "--candidates", "6", "--only", "plain_*.py"]
    args = arguments(*line, "--exploits", str(some(tmp_path, corpus.EXPLOITS, "d_no_kernel.py", "e_host_spin.py")))
    assert cli.main(args) == 0
    result = json.loads((tmp_path / "sandbox_throughput.json").read_text())
    summary = result["summary"]
    assert summary["passed_per_second"] > 0 and summary["rejected_per_second"] > 0 and result["tier"] == "cpu"
    assert summary["kernelbench_ratio"] is None and summary["gpu_idle_share"] is None and result["gpu_idle_reason"]
    assert {row["name"] for row in result["rows"]} == {"plain_softmax.py", "d_no_kernel.py"}


def test_rates_count_only_the_verdicts_asked_for() -> None:
    right = Passed(cases=())
    done = [Judged("a", right, 0.5, 2.0), Judged("b", ROUGH, 0.5, 3.0), Judged("a", right, 1, 5.0)]
    part = throughput.summarise(done, 1.0, "passed", 60.0)
    assert part["per_second"] == 2 / 4 and part["unexpected"] == 1 and part["outcomes"] == {"passed": 2, "numerics": 1}
    part = throughput.summarise(done, 1.0, "passed", 2.5)  # the last one was in work when no more were begun
    assert part["per_second"] == 1 / 2.5 and part["outcomes"] == {"passed": 2, "numerics": 1}


def test_soak_notices_misjudged_sentinels_and_leaks(tmp_path: Path) -> None:
    exploits = some(tmp_path, corpus.EXPLOITS, *soak.WRONG, "e_abort.py", "e_kill_itself.py")
    line = ["soak", "--out", str(tmp_path), "--workers", "2", "--candidates", "24", "--fault-share", "0.1"]
    code = cli.main(arguments(*line, "--exploits", str(exploits)))
    result = json.loads((tmp_path / "sandbox_soak.json").read_text())
    summary = result["summary"]
    assert code == 0 and summary["candidates"] == 24 and summary["wrong_verdicts"] == 0, result["misjudged"]
    assert summary["leaked_processes"] == summary["leaked_files"] == summary["leaked_descriptors"] == 0
    assert sum(row["count"] for row in result["rows"] if not row["sentinel"]) == 2
    assert soak.expected("plain_softmax.py") == "passed" and soak.expected(soak.WRONG[0]) == "rejected"


def test_soak_mixes_in_every_kind_of_fault() -> None:
    args = Namespace(candidates=400, fault_share=0.05, seed=1)
    job = corpus.job(corpus.read_candidate(corpus.HONEST / "plain_softmax.py"), LIMITS)
    order = [
        name for name, _ in soak.mixed([("good", job)], [("wrong", job)], [(f"e{n}", job) for n in range(7)], args)
    ]
    assert len(order) == 400 and sum(name.startswith("e") for name in order) == 20
    assert {name for name in order if name.startswith("e")} == {f"e{n}" for n in range(7)}


def test_leaks_of_gpu_memory_are_seen_warm_and_after_closing() -> None:
    def shot(mib: float | None) -> host.Snapshot:
        return host.Snapshot(processes=1, rss_mib=1, descendants_mib=1, descriptors=1, files=0, gpu_mib=mib)

    assert soak.leaked_mib([shot(10.0), shot(100.0), shot(130.0), shot(10.0)]) == 30.0
    assert soak.leaked_mib([shot(10.0), shot(100.0), shot(100.0), shot(50.0)]) == 40.0
    assert soak.leaked_mib([shot(None)] * 4) is None


def test_fidelity_needs_a_gpu(tmp_path: Path) -> None:
    assert cli.main(arguments("fidelity", "--out", str(tmp_path))) == 2
    assert not list(tmp_path.iterdir())


def test_fidelity_numbers(tmp_path: Path) -> None:
    def timing(low: float, high: float) -> Timing:
        return Timing(
            case="timed", baseline="eager", candidate_ms=0.1, baseline_ms=0.1, ratio=1.0, ratio_low=low,
            ratio_high=high, candidate_peak_mib=1, baseline_peak_mib=1, roofline_ms=0.05, limited_by="bytes",
            clock="graph", samples=30, stamp={},
        )  # fmt: skip

    trials = [timing(0.99, 1.01), timing(0.995, 1.005), timing(1.001, 1.003)]
    theirs = {"do_bench": 0.103, "do_bench_cudagraph": 0.098, "sustained": 0.11, "sustained_sm_mhz": 1500}
    row = fidelity.row_of("add", trials, [0.100, 0.101], theirs)
    summary = fidelity.summarise([row])
    assert row["covered"] == 2 and summary["covered_share"] == 2 / 3
    assert summary["half_width_percent"] == pytest.approx(0.5) and row["half_width_percent_worst"] == pytest.approx(1)
    assert summary["spread_percent"] == pytest.approx(100 * 0.001 / 0.1005)
    assert summary["do_bench_difference_percent"] == pytest.approx(100 * (0.1 / 0.098 - 1))
    assert summary["event_overhead_us"] == pytest.approx(3)
    plots.fidelity(write(tmp_path, "fidelity", summary, [row]))
    assert (tmp_path / "sandbox_fidelity.png").exists()


@pytest.mark.parametrize("path", sorted(FIDELITY.glob("*.py")), ids=lambda path: path.stem)
def test_fidelity_candidates_are_their_references(sandbox: LocalSandbox, path: Path) -> None:
    """Traced, compiled and judged here at a small size, with the truth's formula as the reference."""
    job = fidelity.same_job(path, 30)
    assert job.candidate == job.reference and [case.timed for case in job.cases].count(True) == 1
    args = {name: min(value, 48) for name, value in job.cases[0].args.items() if isinstance(value, int)}
    tree = ast.parse(job.reference)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == job.entry_point:
            node.body = next(step.body for step in node.body if isinstance(step, ast.If))
    tree.body = [step for step in tree.body if "triton" not in ast.unparse(step)]
    case = job.cases[0].model_copy(update={"args": args})
    update = {"reference": ast.unparse(tree), "cases": (case,), "targets": ("sm_90",), "timing": None}
    verdict = sandbox.judge(job.model_copy(update=update | {"policy": "triton_only"}))
    assert isinstance(verdict, Passed), verdict


def shrunk(source: str) -> str:
    return re.sub(r"^([A-Z]+) = \d+$", lambda match: f"{match[1]} = {SMALL[match[1]]}", source, flags=re.MULTILINE)


@pytest.mark.parametrize("name", kernelbench.names(PAIRS))
def test_kernelbench_pairs_are_right_and_compile(sandbox: LocalSandbox, name: str) -> None:
    jobs = dict(kernelbench.jobs(PAIRS, throughput.TimingRequest(), LIMITS))
    update = {"reference": shrunk(jobs[name].reference), "targets": ("sm_90",), "cases": kernelbench.CASES[3:]}
    assert update["reference"] != jobs[name].reference
    verdict = sandbox.judge(jobs[name].model_copy(update=update))
    assert isinstance(verdict, Passed), verdict


def test_there_are_a_dozen_pairs_of_a_fair_size() -> None:
    assert len(kernelbench.names(PAIRS)) >= 12
    assert len(kernelbench.CASES) == kernelbench.SETTINGS["num_correct_trials"] == 5


def test_kernelbench_code_comes_from_a_clone_outside(tmp_path: Path) -> None:
    """A bare repository is unpacked; a folder without the evaluator is refused."""
    work, bare = tmp_path / "work", tmp_path / "bare"
    (work / "src" / "kernelbench").mkdir(parents=True)
    (work / "src" / "kernelbench" / "eval.py").write_text("HERE = 1\n")
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", "-C", str(work), *command], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], check=True)
    source, revision = kernelbench.unpack(bare, tmp_path / "scratch")
    assert (source / "kernelbench" / "eval.py").read_text() == "HERE = 1\n" and len(revision) == 40
    with pytest.raises(FileNotFoundError, match="holds no src"):
        kernelbench.unpack(tmp_path / "nothing", tmp_path / "scratch")


def test_stand_ins_take_only_the_places_of_clients_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "client_that_lacks_something.py").write_text("import something_that_nobody_has")
    monkeypatch.syspath_prepend(str(tmp_path))
    clients = {"json": "loads", "client_that_nobody_has": "Client", "client_that_lacks_something": "Client"}
    monkeypatch.setattr(kernelbench_worker, "CLIENTS", clients)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    assert kernelbench_worker.stand_in() == list(clients)[1:]
    assert all(sys.modules[name].Client() is None for name in list(clients)[1:])


def test_copies_differ_in_every_kernel_and_still_pass(sandbox: LocalSandbox) -> None:
    honest = corpus.read_candidate(corpus.HONEST / "device_functions.py")
    job = corpus.job(honest, LIMITS)
    copy = throughput.fresh(job, 7)
    names = {function.name for function in jit_functions(ast.parse(honest.code))}
    assert {f.name for f in jit_functions(ast.parse(copy.candidate))} == {f"{name}_v7" for name in names}
    assert isinstance(sandbox.judge(copy), Passed)


def test_renaming_refuses_what_it_could_break() -> None:
    source = "import triton\n@triton.jit\ndef k(x):\n    pass\ndef f(x, k):\n    k[(1,)](x)\n"
    with pytest.raises(NotRenamableError, match="k"):
        distinct(source, "_v1")


def test_streams_end_by_count_and_by_clock() -> None:
    job = corpus.job(corpus.read_candidate(corpus.HONEST / "plain_softmax.py"), LIMITS)
    assert len(list(throughput.stream([("a", job)], 3, time.monotonic() + 60))) == 3
    assert not list(throughput.stream([("a", job)], 3, time.monotonic()))


def test_many_judges_every_job_once() -> None:
    job = corpus.job(corpus.read_candidate(corpus.HONEST / "plain_softmax.py"), LIMITS)
    judged = judge_many(lambda _: ROUGH, ((str(number), job) for number in range(50)), threads=3)
    assert sorted(int(j.name) for j in judged) == list(range(50))


def test_headers_name_tier_and_policy(tmp_path: Path) -> None:
    path = tmp_path / "g.py"
    path.write_text('"""Faults.\n\nfamily: E\ntask: softmax\nstage: launch\ntier: gpu\npolicy: mixed\n"""\n')
    found = corpus.read_candidate(path)
    assert (found.tier, found.policy) == ("gpu", "mixed")
    assert corpus.candidates(tmp_path) == [] and corpus.candidates(tmp_path, "gpu") == [found]
    assert corpus.job(found, LIMITS, "gpu").policy == "mixed"
    path.write_text('"""Faults.\n\nfamily: E\ntask: softmax\ntier: tpu\n"""\n')
    with pytest.raises(ValueError, match="tpu"):
        corpus.read_candidate(path)


@pytest.mark.parametrize("path", sorted(corpus.TASKS.glob("*.py")), ids=lambda path: path.stem)
def test_tasks_have_sizes_for_a_gpu(path: Path) -> None:
    cases, small = task_file.read(path, "gpu").cases, task_file.read(path).cases
    assert len(cases) == 5 and sum(case.hidden for case in cases) >= 2
    assert [case.timed for case in cases].count(True) == 1 and not any(case.timed and case.hidden for case in cases)
    assert not any(c.timed for c in small) and {c.distribution for c in small} <= {c.distribution for c in cases}


def test_orphans_of_a_folder_are_found(tmp_path: Path) -> None:
    environment = {"TMPDIR": f"{tmp_path}/below", "PATH": "/usr/bin:/bin"}
    waiter = subprocess.Popen(["cat"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert waiter.stdin and waiter.stdout
    try:
        waiter.stdin.write(b"\n")
        waiter.stdin.flush()
        waiter.stdout.readline()  # until then it may have no environment yet
        assert host.processes_of(tmp_path) == [waiter.pid] and waiter.pid in host.descendants(host.os.getpid())
    finally:
        waiter.kill()
        waiter.communicate()
    assert host.wait_for_end(tmp_path) == []


@pytest.mark.parametrize("named", [["--exploits", "nowhere"], ["--out", "file"], ["--workers", "-3"]])
def test_wrong_arguments_of_a_bench_are_named(tmp_path: Path, named: list[str]) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "sandbox", "bench", "security", "--out", str(tmp_path / "out"), *named]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment, check=False
    )
    assert answer.returncode == 2 and named[1] in answer.stderr and "Traceback" not in answer.stderr


def test_a_candidate_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes("# \u00fc".encode("latin-1"))
    command = [sys.executable, "-m", "sandbox", "check", str(tmp_path / "latin.py"), "--task", "ak9_softmax"]
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2], check=False
    )
    assert answer.returncode == 2 and "latin.py" in answer.stderr.replace("\n", "") and "UTF-8" in answer.stderr
