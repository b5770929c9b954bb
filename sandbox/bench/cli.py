"""Arguments of `python -m sandbox bench`; a bench's module is imported only when it runs."""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import get_args

from rich.console import Console

from configs.errors import UsageError, folder_for
from sandbox.bench.corpus import HERE
from sandbox.bench.report import UnfitHostError
from sandbox.local import cores, gpu_count
from sandbox.types import Baseline

RESULTS = HERE.parent / "docs" / "results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Subcommands throughput, fidelity, security, soak, profile."""
    benches = parser.add_subparsers(dest="bench", required=True)
    for name, description, own in (
        ("security", "every exploit and every honest kernel", _security),
        ("throughput", "verdicts a second, beside KernelBench's evaluator", _throughput),
        ("fidelity", "are times right? (needs a GPU)", _fidelity),
        ("soak", "thousands of candidates with crashers among them", _soak),
        ("profile", "why are claims of the suite missed? (needs a GPU and Nsight Compute)", _profile),
    ):
        bench = benches.add_parser(name, help=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        _common(bench)
        own(bench)


def add_suite(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m sandbox suite`, which runs like a bench."""
    parser.add_argument("operators", nargs="*", help="default: all of them; see --list")
    parser.add_argument("--list", action="store_true", help="only say which operators there are, with their cases")
    parser.add_argument("--write-docs", action="store_true", help="only write docs/suite.md anew, from the task files")
    _common(parser)
    parser.add_argument(
        "--baselines", nargs="*", default=[], choices=get_args(Baseline), help="default: all that an operator has"
    )
    parser.add_argument("--cache", type=Path, help="folder of compiled kernels and baselines that runs share")
    parser.set_defaults(bench="suite")


def main(arguments: argparse.Namespace) -> int:
    """Run one bench; exit code 0 if its targets that do not depend on the hardware were met, 2 if it cannot run."""
    gpus = gpu_count() if arguments.gpu in (None, True) else 0
    console = Console(stderr=True)
    if arguments.gpu and not gpus:
        console.print("[red]--gpu was asked for, and there is no GPU[/red]")
        return 2
    if hasattr(arguments, "threads"):
        arguments.threads = arguments.threads or 2 * (arguments.workers or cores())
    run: Callable[[argparse.Namespace, int], int] = import_module(f"sandbox.bench.{arguments.bench}").run
    try:
        folder_for("--out", arguments.out)
        return run(arguments, gpus)
    except (UnfitHostError, UsageError) as error:
        console.print(f"[red]{error}[/red]")
        return 2


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON and the picture")
    parser.add_argument("--gpu", action=argparse.BooleanOptionalAction, default=None, help="default: if there is one")
    parser.add_argument("--workers", type=_count, default=0, help="candidates in work at a time; 0: one a core")
    parser.add_argument("--runs", type=_count, default=30, help="timed samples a candidate, where there is a GPU")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 0 or more")
    return int(text)


def _corpora(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exploits", type=Path, default=HERE / "exploits", help="folder of exploits")
    parser.add_argument("--honest", type=Path, default=HERE / "honest", help="folder of honest kernels")
    parser.add_argument("--tasks", type=Path, default=HERE / "tasks", help="folder of their tasks")


def _threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=0, help="submitting threads; 0: two a worker")


def _security(parser: argparse.ArgumentParser) -> None:
    _corpora(parser)
    parser.add_argument("--batch", type=int, default=8, help="candidates side by side between two sentinels")


def _throughput(parser: argparse.ArgumentParser) -> None:
    _corpora(parser)
    _threads(parser)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each measurement")
    parser.add_argument("--candidates", type=int, default=100_000, help="most candidates in each measurement")
    parser.add_argument("--only", default="", help="honest files to use, for example 'plain_*.py'")
    parser.add_argument("--kernelbench", type=Path, help="clone of KernelBench, for the run side by side")
    parser.add_argument("--kernelbench-kernels", type=int, default=0, help="how many pairs it evaluates; 0: all")
    parser.add_argument("--pairs", type=Path, default=HERE / "kernelbench", help="folder of KernelBench pairs")


def _fidelity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kernels", type=Path, default=HERE / "fidelity", help="folder of tasks that are Triton")
    parser.add_argument("--trials", type=int, default=5, help="trials a kernel and sandbox")
    parser.add_argument("--fresh", type=int, default=5, help="fresh sandboxes")


def _soak(parser: argparse.ArgumentParser) -> None:
    _corpora(parser)
    _threads(parser)
    parser.add_argument("--candidates", type=int, default=3000)
    parser.add_argument("--fault-share", type=float, default=0.05, help="share of crashers, hangs and device faults")
    parser.add_argument("--seed", type=int, default=0, help="order of the candidates")


def _profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("operators", nargs="*", help="in this order; default: all that miss something")
