"""Command line of the sandbox: `python -m sandbox check CANDIDATE --task TASK`, `suite`, `doctor`
and `bench`.

Exit code of `check`: 0 passed, 1 rejected, 2 broken (or the arguments are wrong).
"""

import argparse
import contextlib
import sys
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.table import Table

from sandbox import references, task_file
from sandbox.bench import cli
from sandbox.local import LocalSandbox, gpu_count
from sandbox.types import Broken, Passed, Policy, Rejected, Target, Timing


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Judge Triton kernels that nobody trusts.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="judge one candidate file")
    check.add_argument("candidate", type=Path, help="Python file with the kernel")
    check.add_argument(
        "--task", required=True, help=f"task file, or an operator of the suite: {', '.join(references.names())}"
    )
    check.add_argument(
        "--target",
        action="append",
        default=[],
        choices=get_args(Target),
        help="also compile ahead of time for this; may repeat",
    )
    check.add_argument(
        "--gpu",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="run and time on GPUs; default: if there is one",
    )
    check.add_argument(
        "--policy", choices=get_args(Policy), default="triton_only", help="what besides Triton launches may do the work"
    )
    check.add_argument("--json", action="store_true", help="print the verdict as JSON")
    commands.add_parser("doctor", help="say which isolation layers this host gives, and whether a kernel runs")
    cli.add_arguments(commands.add_parser("bench", help="measure the sandbox itself"))
    cli.add_suite(commands.add_parser("suite", help="the reference suite: list, check and time its expert kernels"))
    arguments = parser.parse_args()
    if arguments.command in ("bench", "suite"):
        return cli.main(arguments)
    return _doctor() if arguments.command == "doctor" else _check(arguments)


def _check(arguments: argparse.Namespace) -> int:
    console = Console(stderr=True)
    gpus = gpu_count() if arguments.gpu in (None, True) else 0
    if arguments.gpu and not gpus:
        console.print("[red]--gpu was asked for, and there is no GPU[/red]")
        return 2
    try:
        task = _task(arguments.task, gpus > 0)
        candidate = arguments.candidate.read_text(encoding="utf-8-sig")  # editors on Windows mark their files
    except UnicodeDecodeError as error:
        console.print(f"[red]{arguments.candidate} is no UTF-8 text: {error.reason} at byte {error.start}[/red]")
        return 2
    except (OSError, KeyError, ValueError) as error:
        console.print(f"[red]{error.args[0] if isinstance(error, KeyError) else error}[/red]")
        return 2
    job = task.job(candidate, targets=tuple(arguments.target), policy=arguments.policy)
    sandbox = LocalSandbox(workers=1, gpus=min(gpus, 1))
    try:
        verdict = sandbox.judge(job)
    finally:
        sandbox.close()
    if arguments.json:
        print(verdict.model_dump_json(indent=2))
    else:
        _print(verdict, f"{arguments.candidate.name} on {task.name}")
    return {"passed": 0, "rejected": 1, "broken": 2}[verdict.kind]


def _task(name: str, gpu: bool) -> task_file.TaskFile:
    """A task file, or an operator of the suite; with the sizes for a GPU where there is one and the task has any."""
    path = Path(name)

    def read(tier: task_file.Tier) -> task_file.TaskFile:
        return task_file.read(path, tier) if path.suffix == ".py" else references.load(name, tier)

    if gpu:
        with contextlib.suppress(ValueError):  # no case of this tier; whatever else is wrong, the next line says too
            return read("gpu")
    return read("cpu")


def _print(verdict: Passed | Rejected | Broken, title: str) -> None:
    console = Console()
    if isinstance(verdict, Broken):
        console.print(f"[yellow]broken[/yellow] {title}: {verdict.reason}", highlight=False)
    elif isinstance(verdict, Rejected):
        console.print(
            f"[red]rejected[/red] {title} at stage [bold]{verdict.stage}[/bold]: {verdict.reason}", highlight=False
        )
        if verdict.log:
            console.print(verdict.log.strip(), style="dim", highlight=False, markup=False)
    else:
        table = Table(title=f"[green]passed[/green] {title}", title_justify="left")
        for column in ("case", "distribution", "launches", "relative L2", "share of limit"):
            table.add_column(column)
        for case in verdict.cases:
            name = f"{case.name} (hidden)" if case.hidden else case.name
            table.add_row(name, case.distribution, str(case.launches), f"{case.rel_l2:.1e}", f"{case.limit_share:.2f}")
        console.print(table)
        if verdict.timings:
            console.print(_timings(verdict.timings))
        if verdict.coverage is not None:
            console.print(f"{verdict.coverage:.0%} of the time is spent in Triton launches", highlight=False)
        if verdict.static:
            static = Table(title="compiled ahead of time (no GPU used, no speed measured)", title_justify="left")
            for column in ("kernel", "target", "registers", "spills", "shared bytes", "instructions"):
                static.add_column(column)
            for s in verdict.static:
                mix = ", ".join(f"{name} {count}" for name, count in s.instructions.items() if count)
                static.add_row(s.kernel, s.target, str(s.registers), str(s.spills), str(s.shared_bytes), mix)
            console.print(static)


def _timings(timings: tuple[Timing, ...]) -> Table:
    first = timings[0]
    title = f"timed on {first.stamp.get('gpu', 'a GPU')}, {first.samples} samples each, {first.clock}"
    table = Table(title=title, title_justify="left")
    for column in ("case", "baseline", "candidate µs", "baseline µs", "speedup", "95 % interval", "roofline µs"):
        table.add_column(column, justify="right")
    for t in timings:
        table.add_row(
            t.case, t.baseline, f"{1000 * t.candidate_ms:.1f}", f"{1000 * t.baseline_ms:.1f}", f"{t.ratio:.2f}",
            f"{t.ratio_low:.2f} to {t.ratio_high:.2f}", f"{1000 * t.roofline_ms:.1f} ({t.limited_by})",
        )  # fmt: skip
    return table


def _doctor() -> int:
    from sandbox.doctor import examine

    table = Table(title="sandbox doctor", title_justify="left")
    for column in ("check", "result", "what it means"):
        table.add_column(column)
    findings = examine()
    for finding in findings:
        mark = "[green]yes[/green]" if finding.good else "[red]no[/red]"
        table.add_row(finding.name, mark, finding.meaning)
    Console().print(table)
    return 0 if all(f.good for f in findings if f.needed) else 1


if __name__ == "__main__":
    sys.exit(main())
