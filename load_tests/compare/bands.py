"""Whether ratios to the floor are still those of a stored run.

A band is what the rounds of that run have found for one row: the median of the ratios, each to the
floor of the same round, and the least and the greatest. A row is worse when its ratio is above
its band, and by more than `TOLERANCE` above the band's median. Not here: measuring (ci.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from load_tests.compare.report import (
    DELIVERY,
    EVENT,
    FLOOR,
    MEMORY,
    NONE,
    Column,
    number,
    ratios,
)
from load_tests.compare.scenarios import SCENARIOS, Scenario

TOLERANCE = 1.2
"""How much greater than its stored median a ratio may be."""

SERVERS = (FLOOR, "ours", "ours-resolver")
"""Those that are measured."""

COLUMNS = (
    Column("one event to one client, CPU", "fan-out-1", DELIVERY),
    Column("one event to 1,000 clients, CPU", "fan-out-1000", DELIVERY),
    Column("16 events under way to 1,000 clients, CPU", "pending-1000", DELIVERY),
    Column("an event for one of 1,000 subscriptions, CPU", "selective-1000", EVENT),
    Column("1,000 deliveries a second, p50", "rate-100", ("latency_us", "p50")),
    Column("1,000 deliveries a second, p99", "rate-100", ("latency_us", "p99")),
    Column("1,000 idle connections, memory", "idle-1000", MEMORY),
)
"""The figures that have a band."""

LEVELS = ("worse", "no figure", "new", "same", "better")
FAULTS = ("worse", "no figure")
"""Of these a run speaks by its exit status."""


@dataclass(frozen=True)
class Band:
    """Ratios of one row in a run.

    Attributes:
        median: Of the rounds.
        least: Of the rounds.
        most: Of the rounds.
    """

    median: float
    least: float
    most: float


Bands = dict[str, Band]
"""By the name of the row."""


@dataclass(frozen=True)
class Row:
    """A figure of one server.

    Attributes:
        column: The figure.
        server: Name of the server.
    """

    column: Column
    server: str

    @property
    def name(self) -> str:
        """Return how files and tables call it."""
        return f"{self.column.title}: {self.server}"


@dataclass(frozen=True)
class Verdict:
    """What a run says of one row.

    Attributes:
        row: The row.
        stored: Its band; None: it has none.
        measured: What the run has found; None: no round has a figure.
    """

    row: Row
    stored: Band | None
    measured: Band | None

    @property
    def level(self) -> str:
        """Return one of `LEVELS`."""
        if self.measured is None:
            return "no figure"
        if self.stored is None:
            return "new"
        found, limit = self.measured.median, self.stored.median * TOLERANCE
        if found > max(limit, self.stored.most):
            return "worse"
        return (
            "better" if found < min(self.stored.median / TOLERANCE, self.stored.least) else "same"
        )

    @property
    def is_fault(self) -> bool:
        """Return whether the run reports it."""
        return self.level in FAULTS


ROWS = tuple(Row(column, server) for column in COLUMNS for server in SERVERS if server != FLOOR)


def scenarios(rows: Iterable[Row]) -> list[Scenario]:
    """Return what has to be measured for some rows; every round counts, so none is left out."""
    wanted = {row.column.scenario for row in rows}
    found = [scenario for scenario in SCENARIOS if scenario.name in wanted]
    return [replace(scenario, servers=SERVERS, rounds=100) for scenario in found]


def bands(data: dict[str, Any]) -> Bands:
    """Return the band of every row that has a figure."""
    found = {}
    for row in ROWS:
        if values := ratios(data, row.column, row.server):
            found[row.name] = Band(median(values), min(values), max(values))
    return found


def stored(bands: Bands) -> dict[str, Any]:
    """Make JSON of bands; four digits say more than they can be measured."""
    return {
        name: {key: round(value, 4) for key, value in asdict(band).items()}
        for name, band in bands.items()
    }


def verdicts(stored: dict[str, Any], measured: Bands) -> list[Verdict]:
    """Judge every row, by the bands as a file has them."""
    known = {name: Band(**band) for name, band in stored.items()}
    return [Verdict(row, known.get(row.name), measured.get(row.name)) for row in ROWS]


def table(found: list[Verdict]) -> str:
    """Write what was found as Markdown."""
    head = ["ratio to the floor", "stored", "measured", "change", ""]
    lines = [head, ["---"] * len(head), *(_line(verdict) for verdict in found)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _line(verdict: Verdict) -> list[str]:
    change = NONE
    if verdict.stored and verdict.measured:
        change = f"{(verdict.measured.median / verdict.stored.median - 1) * 100:+.0f} %"
    level = f"**{verdict.level}**" if verdict.is_fault else verdict.level
    return [verdict.row.name, _text(verdict.stored), _text(verdict.measured), change, level]


def _text(band: Band | None) -> str:
    if band is None:
        return NONE
    return f"{number(band.median)} ({number(band.least)} to {number(band.most)})"
