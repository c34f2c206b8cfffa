"""What events over Redis cost, where there is no peer to compare with.

    python -m load_tests.redis [--quick] [--only intake] [--json FILE] [--page]

Starts Redis and nodes by itself, and prints Markdown tables: CPU time of a node for one event when
64 are under way, beside the memory bus; events that a node takes in; events of one core of Redis;
calls to Redis for clients that return. Run it on a release build and an idle machine; each figure
is the best of five runs. With --page it writes them into docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from load_tests.compare.measure import ROOT, machine
from load_tests.compare.report import between_markers
from load_tests.redis import measurements
from load_tests.redis.measurements import Row, Size
from load_tests.redis.report import MARKERS, TABLES, Table, page


async def run(tables: list[Table], size: Size) -> dict[str, list[Row]]:
    """Measure what was asked for."""
    found = {}
    for table in tables:
        sys.stderr.write(f"{table.name} ...\n")
        found[table.name] = await table.measure(size)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.redis", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of few events")
    parser.add_argument("--only", default="", help="measurements by their names: event,intake")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--page", action="store_true", help="write docs/performance.md")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else [table.name for table in TABLES]
    if unknown := set(names) - {table.name for table in TABLES}:
        known = ", ".join(table.name for table in TABLES)
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}; there are {known}")
    if options.page and (options.only or options.quick):
        parser.error("--page needs all measurements, without --only and --quick")
    tables = [table for table in TABLES if table.name in names]
    size = measurements.QUICK if options.quick else measurements.FULL
    found = asyncio.run(run(tables, size))
    shown = page(found)
    sys.stdout.write(shown)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), **found}, indent=1) + "\n")
    if options.page:
        file = ROOT / "docs/performance.md"
        file.write_text(between_markers(file.read_text(), MARKERS, shown))


if __name__ == "__main__":
    main()
