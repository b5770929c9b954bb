"""`python -m data_pipeline report`: what a run found, admitted and refused, as one JSON file with the run's stamp.

Made from the ledger alone, so a run that is not finished has one too: it says so, and how much is undecided.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from configs.stamp import read_json, write_json
from data_pipeline.ledger import Ledger
from data_pipeline.sources.inductor import account

NEAREST = 200
"""Dropped items that are listed with the benchmark item they are like."""


def write_report(out: Path, to: Path) -> dict[str, Any]:
    """Write the report of the data stage in `<out>/data` to `to`; returns its summary."""
    folder = out / "data"
    ledger = Ledger(folder / "ledger.sqlite")
    try:
        report = {
            "stamp": read_json(folder / "stamp.json"),
            "settings": read_json(folder / "settings.json")["data"],
            "summary": summarise(ledger),
            "kernels_paired": sum(row.kernel().kind == "paired" for row in ledger.rows("admitted", "kernel")),
            "tasks_with_solution": sum(bool(row.code) for row in ledger.rows("admitted", "task")),
            "families": _plain(ledger.count("family", kind="task", state="admitted")),
            "licences": _plain(ledger.count("licence", kind="kernel")),
            "sources": by_source(ledger),
            "contaminated": list(islice(_contaminated(ledger), NEAREST)),
        }
    finally:
        ledger.close()
    settings = report["settings"]
    if settings["inductor"] and Path(settings["inductor"]).is_dir():
        report["captured"] = account(Path(settings["inductor"]))
    for path in ("kernelbench", "tritonbench", "inductor"):  # a path of one machine tells nobody anything
        settings[path] = settings[path] is not None
    write_json(to, report)
    summary: dict[str, Any] = report["summary"]
    return summary


def _plain(counts: dict[tuple[str, ...], int]) -> dict[str, int]:
    return {key: count for (key,), count in counts.items()}


def _contaminated(ledger: Ledger) -> Iterator[dict[str, str]]:
    """What was dropped, and which item of a benchmark it is like."""
    for row in ledger.rows("refused"):
        if row.refused_by == "benchmark":
            yield {"id": row.id, "origin": row.origin, "why": row.reason}


def summarise(ledger: Ledger) -> dict[str, Any]:
    """The figures to quote."""
    kernels = ledger.count("state", "refused_by", kind="kernel")
    undecided = sum(n for (state,), n in ledger.count("state", kind="task").items() if state in ("proposed", "clean"))
    tasks = _plain(ledger.count("origin", kind="task", state="admitted"))
    refused = _plain(ledger.count("refused_by", state="refused"))
    origins = {origin for (origin,) in ledger.count("origin")}
    judged, seconds, peak = ledger.measurements()
    return {
        "finished": not undecided, "tasks_undecided": undecided,
        "packages": sum(origin.startswith("package:") for origin in origins),
        "kernels_found": sum(kernels.values()),
        "kernels_distinct": sum(n for (_, by), n in kernels.items() if by != "duplicate"),
        "tasks_admitted_packages": sum(n for origin, n in tasks.items() if origin.startswith("package:")),
        "tasks_admitted_opdb": tasks.get("opdb", 0),
        "synthetic_admitted": tasks.get("synthetic", 0),
        "refused_by_reason": refused,
        "contaminated_dropped": refused.get("benchmark", 0),
        "pairs_per_second": round(judged / seconds, 2) if seconds else None,
        "peak_rss_mib": round(peak, 1),
    }  # fmt: skip


def by_source(ledger: Ledger) -> list[dict[str, Any]]:
    """For each origin and kind: proposed, admitted, admission rate, and refusals by reason."""
    found: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for (origin, kind, state, by), count in ledger.count("origin", "kind", "state", "refused_by").items():
        found[origin, kind][by or state] = count
    return [
        {
            "origin": origin, "kind": kind, "proposed": sum(counts.values()), "admitted": counts.get("admitted", 0),
            "admission_rate": round(counts.get("admitted", 0) / sum(counts.values()), 4),
            "undecided": counts.get("proposed", 0) + counts.get("clean", 0),
            "refused": {by: n for by, n in counts.items() if by not in ("admitted", "proposed", "clean")},
        }
        for (origin, kind), counts in sorted(found.items())
    ]  # fmt: skip
