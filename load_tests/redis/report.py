"""Makes Markdown tables of what was measured over Redis.

Not here: measuring (measurements.py), the command line (`__main__.py`).
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from load_tests.compare.measure import machine
from load_tests.compare.report import NONE, Markers, number
from load_tests.redis import measurements
from load_tests.redis.measurements import Row, Size

MARKERS = Markers.of("bench-redis", "python -m load_tests.redis --page")


@dataclass(frozen=True)
class Table:
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


TABLES = (
    Table(
        "event",
        "An event for one subscriber, 64 under way: µs of CPU",
        measurements.under_way,
        {"node": "node_us", "more than memory": "more", "Redis": "redis_us"},
    ),
    Table(
        "intake",
        "Events that a node takes in from 16 channels; CPU in µs per event",
        measurements.intake,
        {
            "events a second": "per_second",
            "node": "node_us",
            "Redis": "redis_us",
            "read from history": "gap_events",
            "missed": "missed",
        },
    ),
    Table(
        "core",
        "One core of Redis: 16 channels at once, no node wants them",
        measurements.one_core,
        {
            "measured events a second": "per_second",
            "µs of Redis per event": "redis_us",
            "events a second of a whole core": "core",
        },
    ),
    Table(
        "resume",
        "Clients that return and get five events: calls to Redis, those of its scripts included",
        measurements.resumes,
        {"resumes": "resumes", "calls": "calls", "which": "commands"},
    ),
)


def text(row: Row, name: str) -> str:
    """Write a figure as tables do."""
    value = row.get(name)
    if value is None:
        return NONE
    return number(value) if isinstance(value, float) else str(value)


def markdown(table: Table, rows: list[Row]) -> str:
    """Write a table."""
    lines = [["", *table.columns], ["---"] * (len(table.columns) + 1)]
    lines += [[row["what"], *(text(row, name) for name in table.columns.values())] for row in rows]
    return f"**{table.title}**\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def budgets(found: dict[str, list[Row]]) -> str:
    """Set what was measured beside what it may be."""
    more, intake, resume = found["event"][1]["more"], found["intake"][0], found["resume"][0]
    rows = [
        (
            "an event over Redis at most 5 µs more than one of the memory bus, 64 under way",
            f"{number(more)} µs more",
        ),
        (
            "a node takes in above 200,000 events/s when none matches",
            f"{number(intake['per_second'])}/s",
        ),
        (
            "a resume from local history without a call to Redis",
            f"{resume['calls']} calls for {resume['resumes']} resumes",
        ),
    ]
    lines = [("budget", "measured"), ("---", "---"), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def head() -> str:
    """Say what was measured on, and when."""
    found = machine()
    return (
        f"{found['processor']}, {found['cores']} cores, {found['memory']}, {found['system']};"
        f" Python {platform.python_version()}; {datetime.now(timezone.utc).date().isoformat()}.\n"
    )


def page(found: dict[str, list[Row]]) -> str:
    """Write the tables of what was measured, and the budgets where all of it was."""
    tables = [table for table in TABLES if table.name in found]
    parts = [head(), *(markdown(table, found[table.name]) for table in tables)]
    if len(tables) == len(TABLES):
        parts.append(budgets(found))
    return "\n".join(parts)
