"""The measurements over Redis: their tables contain the figures, and nodes and Redis are real."""

from __future__ import annotations

import pytest

from load_tests.compare.measure import ROOT
from load_tests.compare.report import between_markers
from load_tests.intake import CHANNELS, PENDING
from load_tests.redis import measurements
from load_tests.redis.report import PROGRAM, TABLES, budgets
from load_tests.tables import markdown

SMALL = measurements.Size(runs=1, events=128, bulk=4_096, resumes=3)


def table(name: str):
    return next(table for table in TABLES if table.name == name)


def test_a_figure_that_there_is_none_of_is_a_dash():
    rows = [{"what": "memory", "node_us": 2.0, "more": 0.0, "redis_us": None}]
    assert markdown(table("event"), rows).splitlines()[-1] == "| memory | 2.00 | 0.00 | — |"


def test_the_page_on_performance_has_the_markers():
    page = (ROOT / "docs/performance.md").read_text()
    assert f"{PROGRAM.markers.begin}\n\ntext\n\n{PROGRAM.markers.end}" in between_markers(
        page, PROGRAM.markers, "text"
    )


def test_budgets_are_set_beside_what_was_measured():
    found = {
        "event": [{"more": 0.0}, {"more": 3.5}],
        "intake": [{"per_second": 250_000.0}],
        "resume": [{"calls": 0, "resumes": 100}],
    }
    text = budgets(found)
    assert "| 3.50 µs more |" in text
    assert "| 250,000/s |" in text
    assert "| 0 calls for 100 resumes |" in text


async def test_events_under_way_are_measured_on_every_bus():
    rows = await measurements.under_way(SMALL)
    assert [row["what"] for row in rows][:2] == [
        "memory bus",
        "Redis, published by another process",
    ]
    assert all(row["node_us"] > 0 for row in rows)
    assert [row["redis_us"] is None for row in rows] == [True, False, False, False, False]


async def test_a_node_takes_in_every_event_that_it_wants_and_no_other():
    waiting, published, unwanted = await measurements.intake(SMALL)
    for row in (waiting, published):
        assert row["taken"] == SMALL.bulk
        assert row["missed"] == 0
    assert unwanted["taken"] == 0


async def test_a_client_whose_events_are_in_local_history_returns_without_a_call_to_redis():
    local, elsewhere = await measurements.resumes(SMALL)
    assert (local["calls"], local["resumes"]) == (0, SMALL.resumes)
    assert elsewhere["calls"] > 0


@pytest.mark.parametrize("batch", [1, 8, 64])
def test_every_size_publishes_whole_batches(batch):
    for size in (measurements.FULL, measurements.QUICK, SMALL):
        for events in (size.bulk, size.bulk // 4):
            assert events % (len(CHANNELS) * batch) == 0
        assert size.events % PENDING == 0
