"""What tracing costs: ratios of servers that take turns, on a small run."""

from __future__ import annotations

import pytest

from load_tests.compare.measure import ROOT
from load_tests.compare.report import between_markers
from load_tests.tracing_cost import __main__ as tracing_cost


def test_a_ratio_is_that_of_one_round():
    found = {"absent": [1e-6, 10e-6, 2e-6], "all": [2e-6, 30e-6, 2e-6]}
    base, traced = tracing_cost.rows(found)
    assert base["what"] == "OpenTelemetry not imported" and base["ratio"] == 1
    assert traced["cpu_us"] == pytest.approx(2)
    ratios = (traced["least"], traced["ratio"], traced["most"])
    assert ratios == pytest.approx((1, 2, 3))


@pytest.mark.parametrize("field", ["passed", "resolved"])
async def test_each_kind_of_tracing_is_measured(field):
    """A server refuses to measure if OpenTelemetry is imported where it should not be."""
    size = tracing_cost.Size(clients=2, events=60, rounds=1)
    found = await tracing_cost.costs(field, size)
    assert list(found) == list(tracing_cost.TITLES)
    assert all(len(rounds) == 1 and rounds[0] > 0 for rounds in found.values())


def test_the_page_on_performance_has_the_markers():
    page = (ROOT / "docs/performance.md").read_text()
    markers = tracing_cost.PROGRAM.markers
    written = between_markers(page, markers, "text")
    assert f"{markers.begin}\n\ntext\n\n{markers.end}" in written
