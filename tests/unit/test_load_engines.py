"""The measurements over the engines: nodes, engines and what publishes to them are real."""

from __future__ import annotations

import pytest

from load_tests.compare.measure import ROOT
from load_tests.compare.report import between_markers
from load_tests.engines import measurements
from load_tests.engines.kinds import KINDS
from load_tests.engines.report import PROGRAM
from load_tests.intake import CHANNELS, PENDING
from load_tests.tables import markdown

SMALL = measurements.Size(runs=1, bulk=1_024, rows=200, channels=40, seconds=0.1)


def test_the_page_on_performance_has_the_markers():
    page = (ROOT / "docs/performance.md").read_text()
    begin, end = PROGRAM.markers.begin, PROGRAM.markers.end
    assert f"{begin}\n\ntext\n\n{end}" in between_markers(page, PROGRAM.markers, "text")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title)
async def test_a_node_takes_in_every_event_of_every_engine(kind):
    waiting, published = await measurements.intake(SMALL, [kind])
    for row in (waiting, published):
        assert (row["taken"], row["missed"]) == (SMALL.bulk, 0)
        assert row["per_second"] > 0


async def test_a_slot_without_events_costs_what_is_written_beside_it():
    own, other = await measurements.slot(SMALL)
    for row in (own, other):
        assert row["wal"] > 0
        assert row["sender_row"] > 0


async def test_channels_are_ready_on_the_memory_bus_and_on_an_engine():
    memory, engine = await measurements.channels(SMALL, KINDS[:1])
    assert (memory["engine_cpu"], memory["engine_bytes"]) == (None, None)
    assert engine["ready"] > 0
    assert engine["engine_cpu"] >= 0


def test_a_table_has_a_row_for_each_engine():
    table = PROGRAM.tables[0]
    rows = [{"what": kind.title, "per_second": 1_000.0} for kind in KINDS]
    assert len(markdown(table, rows).splitlines()) == len(KINDS) + 4


def test_every_size_publishes_whole_batches():
    for size in (measurements.FULL, measurements.QUICK, SMALL):
        assert size.bulk % (len(CHANNELS) * PENDING) == 0
        assert size.rows % 100 == 0
