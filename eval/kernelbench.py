"""`python -m eval.kernelbench agreement CLONE`: is our KernelBench theirs? Needs a GPU; `check CLONE` does not.

`agreement` takes every reference of levels 1 to 3 through the judge, resubmits references as torch-only candidates, and
puts candidates before KernelBench's evaluator, our run of its protocol, and the sandbox. It writes
`kernelbench_agreement.json` after every row, and goes on where it was stopped. `check` tries the candidates on
problems whose constants are made small, under Triton's interpreter. Exit code 1 where somebody disagrees, 2 where the
machine cannot say.
"""

import argparse
import re
import sys
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.table import Table

from configs.errors import UsageError
from eval.benchmarks.kernelbench import items as kernelbench
from eval.benchmarks.kernelbench.agreement import LEVELS, Agreement, Entry, entries, notes, spread, told
from eval.benchmarks.kernelbench.items import KernelBenchItem
from eval.benchmarks.kernelbench.upstream import Protocol, UpstreamVerdict, judge
from sandbox.local import LocalSandbox
from sandbox.pool import ROOT
from sandbox.types import Broken, Limits, Passed, Rejected

CANDIDATES = ROOT / "tests" / "kernelbench_run"
PARTS = ("candidates", "references", "resubmit")


def arguments(line: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m eval.kernelbench", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("agreement", "check"):
        command = commands.add_parser(name, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        command.add_argument("clone", type=Path, help="work tree of a clone of KernelBench")
        command.add_argument("--candidates", type=Path, default=CANDIDATES, help="folder in KernelBench's run layout")
        command.add_argument("--only", default="", help="names of candidates must contain this")
    command = commands.choices["agreement"]
    command.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder of the result")
    command.add_argument("--part", choices=PARTS, action="append", help="default: all; may be given more than once")
    command.add_argument("--sample", type=int, default=0, help="resubmit so many references, evenly spread; 0: all")
    command.add_argument("--cache", type=Path, help="folder for times of baselines and compiled kernels")
    return parser.parse_args(line)


def agreement(options: argparse.Namespace, console: Console) -> int:
    """Run the parts that are asked for."""
    items = kernelbench.load(str(options.clone), LEVELS)
    result = Agreement(options.out, len(items))
    parts = options.part or PARTS
    compiled = None if options.cache is None else options.cache / "sandbox"
    if "candidates" in parts:
        chosen = [entry for entry in entries(options.candidates, items) if options.only in entry.name]
        with_baselines = None if options.cache is None else options.cache / "upstream"
        with closing(LocalSandbox(gpus=1, cache=compiled, verdicts=False)) as sandbox:
            result.candidates(chosen, options.clone, with_baselines, sandbox)
    if "references" in parts:
        result.references(items)
    if "resubmit" in parts:
        with closing(LocalSandbox(gpus=1, cache=compiled, verdicts=False)) as sandbox:
            result.resubmit(spread(items, options.sample), sandbox)
    result.write()
    summary = result.summary()
    table = Table("what", "count", title=str(result.path), title_justify="left")
    for name, value in summary.items():
        table.add_row(name.replace("_", " "), str(value))
    console.print(table)
    agrees = summary["verdicts_equal"] == summary["candidates"]
    return 0 if agrees and summary["wrong_refused_by_both"] == summary["wrong_candidates"] else 1


def check(options: argparse.Namespace, console: Console) -> int:
    """Every candidate on its problem, made small."""
    items = kernelbench.load(str(options.clone), LEVELS)
    chosen = [entry for entry in entries(options.candidates, items) if options.only in entry.name]
    if not chosen:
        raise UsageError(f"no candidate in {options.candidates} has --only {options.only} in its name")
    sizes = notes(options.candidates).get("small", {})
    table, worst = Table("candidate", "upstream's protocol", "sandbox"), 0
    with closing(LocalSandbox()) as sandbox:
        for entry in chosen:
            item = shrunk(entry.item, sizes.get(entry.name.partition("_wrong_")[0], {}))
            ours = judge(item.task.reference, entry.code, Protocol())
            job = item.task.job(entry.code, policy=entry.policy, targets=(), limits=Limits(), timing=None)
            verdict = sandbox.judge(job)
            hardened = told(verdict)
            said = ours.reason if isinstance(ours, Broken) else "right" if ours.correct else ours.reason
            table.add_row(entry.name, said[-120:], hardened.get("reason", "passed")[:120])
            worst = max(worst, _exit_code(entry, ours, verdict))
    console.print(table)
    return worst


def shrunk(item: KernelBenchItem, constants: dict[str, str]) -> KernelBenchItem:
    """The problem with other constants.

    Raises:
        UsageError: it has no such constant.
    """
    source = item.task.reference
    for name, value in constants.items():
        source, found = re.subn(rf"^{name}\s*=.*$", f"{name} = {value}", source, count=1, flags=re.MULTILINE)
        if not found:
            raise UsageError(f"{item.id} has no constant {name}; mend run.json")
    return item.model_copy(update={"task": item.task.model_copy(update={"reference": source})})


def _exit_code(entry: Entry, ours: UpstreamVerdict | Broken, verdict: Passed | Rejected | Broken) -> int:
    if isinstance(ours, Broken) or isinstance(verdict, Broken):
        return 2
    right = not entry.wrong
    return int(ours.correct != right or isinstance(verdict, Passed) != right)


def main(line: list[str]) -> int:
    options = arguments(line)
    console = Console(stderr=True)
    try:
        return agreement(options, console) if options.command == "agreement" else check(options, console)
    except UsageError as error:
        console.print(f"[red]{error}[/red]")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
