"""The table of the page about other servers has the figures of the page about performance."""

from __future__ import annotations

import datetime
import re

import pytest
from support.paths import ROOT

PERFORMANCE = (ROOT / "docs/performance.md").read_text()
COMPARISON = (ROOT / "docs/explanation/comparison.md").read_text()

SOURCES = {
    "µs of CPU per delivery, 1,000 connections": ("Fan-out, one event under way", "1,000"),
    "µs of CPU per event, 1 connection": ("Fan-out, one event under way", "1"),
    "µs of CPU per event for one of 1,000 subscriptions": ("An event for one of many", "1,000"),
    "1,000 deliveries a second to 100 connections: p99, ms": ("1,000 deliveries a second", "p99"),
    "KiB of memory per idle connection, 1,000 connections": ("Idle connections", "1,000"),
    "1,000 clients connect at once: clients a second": ("1,000 clients connect", "a second"),
}
"""Each column of the comparison: title of a table of the performance page, and its column."""


def table(text: str) -> dict[str, dict[str, str]]:
    """Read the first table: by row and column, without what is in parentheses or bold."""
    (lines,) = re.findall(r"\A.*?\n\n((?:\|[^\n]*\n)+)", text, re.DOTALL)
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|\n").split("|")] for line in lines.splitlines()
    )
    return {
        name: {
            column: cell.strip("*").split(" (")[0]
            for column, cell in zip(head[1:], cells, strict=True)
        }
        for name, *cells in rows
    }


MEASURED = table(COMPARISON.split("## Measured")[1].split("</picture>")[1])


@pytest.mark.parametrize("column", SOURCES)
def test_figures_are_those_that_were_measured(column):
    title, source = SOURCES[column]
    measured = table(PERFORMANCE.split(f"\n**{title}", 1)[1])
    assert {name: row[column] for name, row in MEASURED.items()} == {
        name: measured[name][source] for name in MEASURED
    }


def test_every_column_and_every_server_is_there():
    assert all(row.keys() == SOURCES.keys() for row in MEASURED.values())
    servers = table(PERFORMANCE.split("\n**Fan-out, one event under way", 1)[1])
    left_out = {
        name
        for name in servers
        if name.startswith(("Python's floor", "floor, events")) or "batch=True" in name
    }
    assert MEASURED.keys() == servers.keys() - left_out


def test_the_date_is_that_of_the_measurement():
    compared = PERFORMANCE.split("<!-- compare: ")[1]
    (date,) = re.findall(r"; (\d{4}-\d\d-\d\d), \d+ rounds", compared.split("**")[0])
    day = datetime.date.fromisoformat(date)
    assert f"All figures are of {day.day} {day:%B %Y}" in COMPARISON
