"""`python -m data_pipeline report`: what a run found, admitted and refused, as one JSON file with the run's stamp."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from configs.stamp import write_json
from data_pipeline.build import Summary
from data_pipeline.ledger import Ledger

NEAREST = 200
"""Dropped items that are listed with the benchmark item they are like."""


def write_report(out: Path, to: Path) -> dict[str, Any]:
    """Write the report of the finished data stage in `<out>/data` to `to`; returns its summary.

    Raises:
        FileNotFoundError: the stage has not finished there.
    """
    folder = out / "data"
    stage = Summary.model_validate_json((folder / "summary.json").read_text())
    ledger = Ledger(folder / "ledger.sqlite")
    try:
        summary = summarise(ledger)
        sources = by_source(ledger)
        benchmark = [
            {"id": row.id, "origin": row.origin, "why": row.reason}
            for row in ledger.rows("refused") if row.refused_by == "benchmark"
        ]  # fmt: skip
        paired = sum(row.kernel().kind == "paired" for row in ledger.rows("admitted", "kernel"))
    finally:
        ledger.close()
    report = {
        "stamp": json.loads((folder / "stamp.json").read_text()),
        "settings": json.loads((folder / "settings.json").read_text())["data"],
        "summary": summary,
        "kernels_paired": paired, "with_solution": stage.with_solution, "without_solution": stage.without_solution,
        "splits": stage.splits, "families": stage.families, "licences": stage.licences, "sources": sources,
        "contaminated": benchmark[:NEAREST],
    }  # fmt: skip
    for clone in ("kernelbench", "tritonbench"):  # a path of one machine tells nobody anything
        report["settings"][clone] = report["settings"][clone] is not None
    write_json(to, report)
    return summary


def summarise(ledger: Ledger) -> dict[str, Any]:
    """The figures to quote."""
    kernels = ledger.count("state", "refused_by", kind="kernel")
    tasks = {origin: n for (origin,), n in ledger.count("origin", kind="task", state="admitted").items()}
    refused = {by: n for (by,), n in ledger.count("refused_by", state="refused").items()}
    origins = {origin for (origin,) in ledger.count("origin")}
    judged, seconds, peak = ledger.measurements()
    return {
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
            "refused": {by: n for by, n in counts.items() if by != "admitted"},
        }
        for (origin, kind), counts in sorted(found.items())
    ]  # fmt: skip
