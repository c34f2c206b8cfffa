"""Measurements as Markdown tables, and the command line that makes them.

Not here: measuring, and tables beside peers (compare/report.py).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from load_tests.compare.measure import ROOT, machine
from load_tests.compare.report import NONE, Markers, between_markers, number

Row: TypeAlias = dict[str, Any]
"""What was measured, as `what`, and figures by name."""

Found: TypeAlias = dict[str, list[Row]]
"""Rows by the name of their table."""

Size = TypeVar("Size")


@dataclass(frozen=True)
class Table(Generic[Size]):
    """One measurement.

    Attributes:
        name: How it is chosen on the command line.
        title: What is measured, with its unit.
        measure: Measures it.
        columns: Head and name of each figure.
    """

    name: str
    title: str
    measure: Callable[[Size], Awaitable[list[Row]]]
    columns: dict[str, str]


@dataclass(frozen=True)
class Program(Generic[Size]):
    """A program that measures tables.

    Attributes:
        name: As it is called by `python -m`.
        tables: What it can measure.
        full: Amounts of a full run.
        quick: Amounts of a quick run.
        markers: Where the page on performance has its tables.
        conclude: Writes what follows from all tables.
    """

    name: str
    tables: tuple[Table[Size], ...]
    full: Size
    quick: Size
    markers: Markers
    conclude: Callable[[Found], str] = lambda _: ""

    def page(self, found: Found) -> str:
        """Write the tables of what was measured, and what follows where all of it was."""
        tables = [table for table in self.tables if table.name in found]
        parts = [head(), *(markdown(table, found[table.name]) for table in tables)]
        if len(tables) == len(self.tables):
            parts.append(self.conclude(found))
        return "\n".join(filter(None, parts))

    def main(self, description: str | None) -> None:
        """Measure and print what the command line says."""
        parser = argparse.ArgumentParser(prog=f"python -m {self.name}", description=description)
        parser.add_argument("--quick", action="store_true", help="one run of few events")
        names = ",".join(table.name for table in self.tables)
        parser.add_argument("--only", default=names, help=f"some of {names}")
        parser.add_argument("--json", type=Path, help="where the figures are written")
        parser.add_argument("--page", action="store_true", help="write docs/performance.md")
        options = parser.parse_args()
        chosen = options.only.split(",")
        if unknown := set(chosen) - set(names.split(",")):
            parser.error(f"no such measurement: {', '.join(sorted(unknown))}; there are {names}")
        if options.page and (options.only != names or options.quick):
            parser.error("--page needs all measurements, without --only and --quick")
        found = asyncio.run(self._measure(chosen, self.quick if options.quick else self.full))
        shown = self.page(found)
        sys.stdout.write(shown)
        if options.json:
            options.json.write_text(json.dumps({"machine": machine(), **found}, indent=1) + "\n")
        if options.page:
            file = ROOT / "docs/performance.md"
            file.write_text(between_markers(file.read_text(), self.markers, shown))

    async def _measure(self, chosen: list[str], size: Size) -> Found:
        found = {}
        for table in self.tables:
            if table.name in chosen:
                sys.stderr.write(f"{table.name} ...\n")
                found[table.name] = await table.measure(size)
        return found


def text(row: Row, name: str) -> str:
    """Write a figure as tables do."""
    value = row.get(name)
    if value is None:
        return NONE
    return number(value) if isinstance(value, float) else str(value)


def markdown(table: Table[Any], rows: list[Row]) -> str:
    """Write a table."""
    lines = [["", *table.columns], ["---"] * (len(table.columns) + 1)]
    lines += [[row["what"], *(text(row, name) for name in table.columns.values())] for row in rows]
    return f"**{table.title}**\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def head() -> str:
    """Say what was measured on, and when."""
    found = machine()
    return (
        f"{found['processor']}, {found['cores']} cores, {found['memory']}, {found['system']};"
        f" Python {platform.python_version()}; {datetime.now(timezone.utc).date().isoformat()}.\n"
    )
