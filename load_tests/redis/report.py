"""The tables of what was measured over Redis, and the budgets.

Not here: measuring (measurements.py).
"""

from __future__ import annotations

from load_tests.compare.report import Markers, number
from load_tests.redis import measurements
from load_tests.redis.measurements import Size
from load_tests.tables import Found, Program, Table

TABLES: tuple[Table[Size], ...] = (
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
            "Redis": "engine_us",
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


def budgets(found: Found) -> str:
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


PROGRAM = Program(
    name="load_tests.redis",
    tables=TABLES,
    full=measurements.FULL,
    quick=measurements.QUICK,
    markers=Markers.of("bench-redis", "python -m load_tests.redis --page"),
    conclude=budgets,
)
