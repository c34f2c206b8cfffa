"""`metrics=`: what was counted is passed to a function of the application."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Sequence

import pytest
from support import eventually

from fraiseql_subs import ConfigurationError, MetricSample, SubscriptionManager, passthrough

feed = passthrough("feed", int, channel="feed")


class Reports:
    """Sums of what a manager reports."""

    def __init__(self) -> None:
        self.calls = 0
        self.counted: Counter[str] = Counter()
        self.gauges: dict[str, int] = {}
        self.threads: set[int] = set()

    async def next_ones(self) -> None:
        """Wait for a report that has begun after this call."""
        calls = self.calls
        await eventually(lambda: self.calls > calls + 1, "there are two more reports")

    def __call__(self, samples: Sequence[MetricSample]) -> None:
        self.threads.add(threading.get_ident())
        for sample in samples:
            if sample.kind == "gauge":
                self.gauges[sample.name] = sample.value
            else:
                self.counted[sample.name] += sample.value
        self.calls += 1


async def deliver(manager: SubscriptionManager, count: int) -> None:
    async with manager.subscribe("subscription { feed }") as results:
        for n in range(count):
            await manager.publish("feed", n)
            await results.__anext__()


async def test_each_change_is_reported_once():
    reports = Reports()
    async with SubscriptionManager([feed], metrics=reports, metrics_interval=0.01) as manager:
        for _ in range(3):
            await deliver(manager, 2)
            await reports.next_ones()
        assert reports.counted["results_sent"] == 6
        assert reports.counted["event_to_socket_seconds"] == 6
        assert reports.gauges["history_events"] == 6
    assert reports.counted["results_sent"] == 6
    assert threading.get_ident() not in reports.threads


async def test_the_last_report_comes_with_the_end():
    reports = Reports()
    async with SubscriptionManager([feed], metrics=reports, metrics_interval=3600) as manager:
        await deliver(manager, 3)
        assert reports.calls == 0
    assert reports.calls == 1
    assert reports.counted["results_sent"] == 3


async def test_a_manager_that_is_started_again_reports_again():
    reports = Reports()
    manager = SubscriptionManager([feed], metrics=reports, metrics_interval=3600)
    for run in (1, 2):
        await manager.start()
        await deliver(manager, 3)
        await manager.close()
        assert reports.counted["results_sent"] == 3 * run


async def test_a_start_that_cannot_report_leaves_nothing_running(monkeypatch):
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    reports = Reports()
    manager = SubscriptionManager([feed], metrics=reports, metrics_interval=3600)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            await manager.start()
    async with manager:
        await deliver(manager, 3)
    assert reports.counted["results_sent"] == 3


async def test_counters_that_did_not_change_are_left_out():
    seen: list[Sequence[MetricSample]] = []
    async with SubscriptionManager([feed], metrics=seen.append, metrics_interval=3600) as manager:
        await deliver(manager, 1)
    (samples,) = seen
    assert [s for s in samples if s.kind != "gauge" and s.value == 0] == []


async def test_a_function_that_raises_is_called_again_and_logged(caplog):
    calls: list[int] = []

    def raises(samples: Sequence[MetricSample]) -> None:
        calls.append(1)
        raise RuntimeError("no route to StatsD")

    with caplog.at_level(logging.ERROR, "fraiseql_subs.metrics"):
        async with SubscriptionManager([feed], metrics=raises, metrics_interval=0.01):
            await eventually(lambda: len(calls) > 1, "it is called again")
    assert "metrics=" in caplog.text
    assert "no route to StatsD" in caplog.text


@pytest.mark.parametrize(
    "arguments",
    [
        {"metrics": "statsd://localhost"},
        {"metrics": print, "metrics_interval": 0},
        {"metrics": print, "metrics_interval": "10"},
        {"metrics": print, "metrics_interval": float("nan")},
    ],
)
def test_what_cannot_be_called_or_is_no_interval_is_refused(arguments):
    with pytest.raises(ConfigurationError, match="metrics"):
        SubscriptionManager([feed], **arguments)
