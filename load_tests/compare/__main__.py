"""Compares servers of GraphQL subscriptions in one run.

A run of every scenario of a section of docs/performance.md, with all its servers, writes the
tables and plots of that section, and load_tests/results/<date>-<section>.json; that of the first
section also writes the picture at the top of the page. With --quick, --servers or other scenarios
the tables are printed, and the figures go to load_tests/results/tmp/. --report writes the page from
such files. It joins several files, so a section can be measured in parts.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from load_tests.compare import contenders, measure, overview, plots, report, scenarios

RESULTS = measure.ROOT / "load_tests/results"


def main() -> None:
    """Measure and report, or report again."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.compare", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of few events")
    parser.add_argument("--only", default="", help="scenarios by how their names begin: fan-out")
    parser.add_argument("--servers", default="", help="servers by their names: ours,floor")
    parser.add_argument("--workers", type=int, help="threads of the servers that have any")
    parser.add_argument(
        "--report", type=Path, nargs="+", help="write the page from these files, measure nothing"
    )
    options = parser.parse_args()
    if options.report:
        data = report.together([json.loads(file.read_text()) for file in options.report])
        sections = written(data)
    else:
        data = run(options)
        sections = [] if options.quick or options.servers else written(data)
    name = sections[0].name if sections else options.only.replace(",", "-") or "compare"
    # First, so that no fault of the page loses them.
    file = keep(data, sections, name)
    publish(data, sections)
    sys.stdout.write(report.tables(data))
    sys.stdout.write(f"\n{file.relative_to(measure.ROOT)}\n")


def keep(data: dict[str, Any], sections: list[report.Section], name: str) -> Path:
    """Write the figures to a file, in a folder of its own when they make no section."""
    file = (RESULTS if sections else RESULTS / "tmp") / f"{data['date']}-{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data, indent=1) + "\n")
    return file


def written(data: dict[str, Any]) -> list[report.Section]:
    """Return the sections of which every scenario was measured."""
    measured = set(data["scenarios"])
    return [section for section in report.SECTIONS if section.scenarios() <= measured]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what was asked for."""
    every = contenders.contenders(options.workers)
    names = options.servers.split(",") if options.servers else [c.name for c in every]
    if unknown := set(names) - {c.name for c in every}:
        known = ", ".join(c.name for c in every)
        raise SystemExit(f"no such server: {', '.join(sorted(unknown))}; there are {known}")
    beginnings = tuple(options.only.split(","))
    listed = scenarios.QUICK if options.quick else scenarios.SCENARIOS
    chosen = [scenario for scenario in listed if scenario.name.startswith(beginnings)]
    if not chosen:
        known = ", ".join(scenario.name for scenario in listed)
        raise SystemExit(f"no scenario begins with {options.only}; there are {known}")
    rounds = 1 if options.quick else options.rounds
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": " ".join(["python -m load_tests.compare", *sys.argv[1:]]),
        "machine": measure.machine(),
        "versions": contenders.versions(),
        "rounds": rounds,
        "quick": options.quick,
        "scenarios": {scenario.name: asdict(scenario) for scenario in chosen},
        "servers": {c.name: c.title for c in every if c.name in names},
        "runs": measure.measure_all(chosen, [c for c in every if c.name in names], rounds),
    }


def publish(data: dict[str, Any], sections: list[report.Section]) -> None:
    """Write the tables and plots of sections of the page on performance."""
    page = measure.ROOT / "docs/performance.md"
    for section in sections:
        images = plots.draw(data, section.tables, measure.ROOT / "docs/images")
        text = report.section(data, section, images)
        page.write_text(report.between_markers(page.read_text(), section.markers, text))
        if section.tables is report.SERVERS:
            shown = overview.draw(data, measure.ROOT / "docs/images")
            page.write_text(
                report.between_markers(page.read_text(), report.OVERVIEW_MARKERS, shown)
            )


main()
