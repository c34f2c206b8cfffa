"""What `fraiseql-subs top` shows: tables, made of two readings of the metrics.

Not here: how they are read (`_top_metrics`) and drawn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ._printable import printable
from ._top_metrics import Buckets, Family, MetricsReading

_TRAFFIC = {
    "connections": "connections",
    "subscriptions": "subscriptions",
    "events_published": "events",
    "events_matched": "events matched",
    "results_sent": "results",
    "resolver_calls": "resolver calls",
    "events_replayed": "events sent again",
}
_WAITING = {
    "bus_queue_events": "events that wait for the engine",
    "bus_queue_bytes": "their bytes",
    "source_lag_bytes": "bytes of sources to be read",
}
_ENGINE = {
    "bus_nodes": "nodes",
    "bus_streams": "streams",
    "bus_links_lost": "links lost",
    "history_events": "events kept",
    "history_bytes": "their bytes",
}
_LABELS = ("field", "protocol", "engine")
_WARNING = re.compile(
    r"denied|refus|drop|lost|loss|miss|error|timeout|late|unreadable|unwritten|unknown|not_sent"
    r"|not_cut|disconnect|exhaust|expired|revoked|gaps|without_tenant|rate_limited|retried"
)
_ROWS = 20
"""The most rows of a table by label, those with the most first (count)."""


@dataclass(frozen=True)
class TopSection:
    """A table.

    Attributes:
        title: What is in it.
        columns: Their names; the first is that of the row.
        rows: Texts, one for each column.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Interval:
    """Two readings; the first one may be absent."""

    before: MetricsReading | None
    now: MetricsReading

    @property
    def seconds(self) -> float:
        """The time between them (seconds); 0: there is one reading."""
        return 0.0 if self.before is None else self.now.at - self.before.at

    def rate(self, name: str) -> float | None:
        """Return by how much a counter rises in a second."""
        return self._rate(name, lambda family: family.value)

    def rate_by(self, name: str, label: str, value: str) -> float | None:
        """Return the same for a value of a label."""
        return self._rate(name, lambda family: family.by(label).get(value, 0.0))

    def _rate(self, name: str, of: Callable[[Family], float]) -> float | None:
        if self.before is None or self.seconds <= 0:
            return None
        family, earlier = self.now.families.get(name), self.before.families.get(name)
        last = of(family) if family else 0.0
        first = of(earlier) if earlier else 0.0
        # A server that was restarted counts from 0.
        return (last - first if last >= first else last) / self.seconds

    def buckets(self, name: str, label: str | None) -> dict[str, Buckets]:
        """Return the values of a histogram of this time, for each value of a label.

        If there are none, or one reading, those since the server has started.
        """
        earlier = self.before.families.get(name) if self.before else None
        first = earlier.buckets_by(label) if earlier else {}
        found = {}
        for value, buckets in self.now.families[name].buckets_by(label).items():
            fresh = buckets.since(first.get(value))
            found[value] = fresh if fresh.count else buckets
        return found

    def rises(self) -> dict[str, float]:
        """Return by how much each warning has risen; with one reading, all there are."""
        found = {}
        earlier = warnings_of(self.before) if self.before else {}
        for name, total in warnings_of(self.now).items():
            first = earlier.get(name, 0.0)
            if rise := total - first if total >= first else total:
                found[name] = rise
        return found


def warnings_of(reading: MetricsReading) -> dict[str, float]:
    """Return the counters of what should not happen, each with its labels."""
    return {
        _series(name, labels): value
        for name, family in reading.families.items()
        if family.kind == "counter" and _WARNING.search(name)
        for labels, value in family.values.items()
    }


def _series(name: str, labels: Iterable[tuple[str, str]]) -> str:
    told = ", ".join(f"{label}={printable(value)}" for label, value in labels)
    return f"{name} ({told})" if told else name


def sections(interval: Interval) -> list[TopSection]:
    """Return the tables, always the same ones; some may have no row."""
    by_label = [_by_label(interval, label) for label in _LABELS]
    return [_traffic(interval), *by_label, _delays(interval), _losses(interval), _engine(interval)]


def _traffic(interval: Interval) -> TopSection:
    rows: list[tuple[str, ...]] = []
    for name, title in _TRAFFIC.items():
        family = interval.now.families.get(name)
        if family is not None:
            rate = interval.rate(name) if family.kind == "counter" else None
            rows.append((title, amount(family.value), rate_text(rate)))
    return TopSection("Traffic", ("", "total", "per second"), rows)


def _by_label(interval: Interval, label: str) -> TopSection:
    columns: dict[str, dict[str, str]] = {}
    weights: dict[str, float] = {}
    for name, family in interval.now.families.items():
        values = family.by(label)
        if family.kind == "counter":
            cells = {each: rate_text(interval.rate_by(name, label, each)) for each in values}
            title = f"{_words(name)}/s"
        else:
            cells = {each: amount(value) for each, value in values.items()}
            title = _words(name)
        if family.buckets:
            found = interval.buckets(name, label)
            values = {each: buckets.count for each, buckets in found.items()}
            cells = {each: span(name, buckets.quantile(0.99)) for each, buckets in found.items()}
            title = f"{_words(name)} p99"
        if cells:
            columns[title] = cells
        for each, value in values.items():
            weights[each] = weights.get(each, 0.0) + value
    ordered = sorted(weights, key=lambda each: (-weights[each], each))[:_ROWS]
    rows = [
        (printable(each), *(cells.get(each, "") for cells in columns.values())) for each in ordered
    ]
    return TopSection(f"By {label}", (label, *columns), rows)


def _delays(interval: Interval) -> TopSection:
    now = interval.now
    rows: list[tuple[str, ...]] = []
    if {"events_accepted", "events_published"} <= set(now.families):
        waiting = max(0.0, now.value("events_accepted") - now.value("events_published"))
        rows.append(("events that wait for the bus", amount(waiting), "", ""))
    for name, title in _WAITING.items():
        if name in now.families:
            rows.append((title, amount(now.value(name)), "", ""))
    for name, family in now.families.items():
        if family.buckets:
            buckets = interval.buckets(name, None)[""]
            shares = [span(name, buckets.quantile(share)) for share in (0.5, 0.99)]
            rows.append((_words(name), "", *shares))
    return TopSection("Delays", ("", "now", "p50", "p99"), rows)


def _losses(interval: Interval) -> TopSection:
    rows: list[tuple[str, ...]] = [
        (_words(name), amount(family.value), rate_text(interval.rate(name)))
        for name, family in interval.now.families.items()
        if family.kind == "counter" and _WARNING.search(name) and family.value
    ]
    return TopSection("Refused, dropped and failed", ("", "total", "per second"), rows)


def _engine(interval: Interval) -> TopSection:
    now = interval.now
    rows: list[tuple[str, ...]] = []
    if "bus_is_live" in now.families:
        rows.append(("engine", engine_state(now)))
    rows += [
        (title, amount(now.value(name))) for name, title in _ENGINE.items() if name in now.families
    ]
    return TopSection("Engine", ("", "now"), rows)


def engine_state(reading: MetricsReading) -> str:
    """Return `live`, `away`, or `none`: events stay in the process."""
    if reading.value("bus_is_live"):
        return "live"
    return "away" if reading.value("bus_nodes") else "none"


def as_json(interval: Interval) -> dict[str, Any]:
    """Return all that was read, for programs."""
    totals: dict[str, float] = {}
    rates: dict[str, float | None] = {}
    by: dict[str, dict[str, dict[str, float]]] = {}
    delays = {}
    for name, family in interval.now.families.items():
        if family.buckets:
            buckets = interval.buckets(name, None)[""]
            delays[name] = {"p50": buckets.quantile(0.5), "p99": buckets.quantile(0.99)}
            continue
        totals[name] = family.value
        if family.kind == "counter":
            rates[name] = interval.rate(name)
        for label in {label for labels in family.values for label, _ in labels}:
            by.setdefault(label, {})[name] = family.by(label)
    return {
        "seconds": interval.seconds,
        "engine": engine_state(interval.now),
        "totals": totals,
        "rates": rates,
        "by": by,
        "delays": delays,
        "warnings": interval.rises(),
    }


def _words(name: str) -> str:
    return name.removesuffix("_seconds").replace("_", " ")


def amount(value: float) -> str:
    """Return a number in words: whole, with separators."""
    return f"{value:,.0f}" if value % 1 == 0 else f"{value:,.2f}"


def rate_text(value: float | None) -> str:
    """Return a rate in words; "" if there is none."""
    return "" if value is None else f"{value:,.1f}"


def span(name: str, value: float | None) -> str:
    """Return a value of a histogram in words; those of time have `_seconds` in their name."""
    if value is None:
        return ""
    if not name.endswith("_seconds"):
        return amount(value)
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"
