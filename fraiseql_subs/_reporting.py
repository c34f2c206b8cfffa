"""Passes what was counted to a function of the application, again and again (`metrics=`).

Not here: what is counted, and its text for programs that ask for it (`metrics`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ._records import records
from .config import is_number, refuse
from .metrics import MetricSample, read_samples

_log = logging.getLogger("fraiseql_subs.metrics")

MetricsHook = Callable[[Sequence[MetricSample]], object]

MAX_INTERVAL = 3600

# How long the end of a manager waits for the last report (seconds).
LAST_REPORT = 2.0

Read = Callable[[], list[Any]]


def check_metrics(hook: object, interval: object) -> None:
    """Refuse what cannot be called, or no time between reports."""
    if not (hook is None or callable(hook)):
        refuse("metrics", hook, "pass a function that takes a list of MetricSample, or None")
    if not (is_number(interval) and 0 < interval <= MAX_INTERVAL):  # type: ignore[operator]
        remedy = f"pass seconds, more than 0 and at most {MAX_INTERVAL}"
        refuse("metrics_interval", interval, remedy)


def reporting(hook: MetricsHook | None, interval: float) -> Callable[[Read], Any] | None:
    """Return the function that begins reports when a manager starts, and returns what ends them."""
    return None if hook is None else partial(_begin, hook, interval)


def _begin(hook: MetricsHook, interval: float, read: Read) -> Callable[[], None]:
    report = _Report(hook, read)
    end = threading.Event()

    def run() -> None:
        while not end.wait(interval):
            report.send()
        report.send()

    # A hook that blocks holds up neither clients nor the end of the program.
    thread = threading.Thread(target=run, name="fraiseql-subs-metrics", daemon=True)
    thread.start()

    def finish() -> None:
        end.set()
        thread.join(LAST_REPORT)

    return finish


class _Report:
    """Calls the hook with what has changed since its last call."""

    def __init__(self, hook: MetricsHook, read: Read) -> None:
        self._hook = hook
        self._read = read
        self._last: dict[tuple[str, tuple[tuple[str, str], ...]], MetricSample] = {}

    def send(self) -> None:
        changes = [self._change(sample) for sample in read_samples(self._read())]
        try:
            self._hook([change for change in changes if change.kind == "gauge" or change.value])
        except Exception as exception:
            records.write(
                _log,
                logging.ERROR,
                "the function of metrics= has raised: what it was called with is lost",
                event="metrics.hook_raised",
                kind="errors of metrics=",
                exc_info=exception,
            )

    def _change(self, sample: MetricSample) -> MetricSample:
        if sample.kind == "gauge":
            return sample
        key = (sample.name, tuple(sample.labels.items()))
        last = self._last.get(key)
        self._last[key] = sample
        if last is None:
            return sample
        pairs = zip(sample.buckets, last.buckets, strict=True)
        return replace(
            sample,
            value=sample.value - last.value,
            sum=sample.sum - last.sum,
            buckets=tuple((bound, now - before) for (bound, now), (_, before) in pairs),
        )
