"""The picture of the dashboard: each of its queries is asked, and panels without data are named."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib", reason="of the dependency group `compare`")

from load_tests.dashboard.__main__ import DASHBOARD
from load_tests.dashboard.panels import Target, filled, panels, picture

SERIES = [{"metric": {"field": "order"}, "values": [[0, "1"], [2, "NaN"], [4, "3.5"]]}]


def test_each_query_is_asked_without_variables_and_drawn():
    asked: list[str] = []

    def query(expression: str) -> list[object]:
        asked.append(expression)
        return SERIES

    drawn, empty = picture(panels(DASHBOARD), query, "20s")
    assert drawn.startswith(b"\x89PNG") and empty == []
    assert len(asked) == sum(len(panel.targets) for panel in panels(DASHBOARD)) > 20
    assert not any("$" in expression for expression in asked)


def test_panels_without_data_are_named():
    nothing = [{"metric": {}, "values": [[0, "NaN"]]}]

    def query(expression: str) -> list[object]:
        if "connections{" in expression:
            return []
        return nothing if "subscriptions{" in expression else SERIES

    _, empty = picture(panels(DASHBOARD), query, "20s")
    assert empty == ["Connections", "Subscriptions"]


def test_the_layout_is_that_of_the_dashboard():
    """No two panels share a place, and none is wider than the dashboard."""
    cells = [
        (panel.place["x"] + across, panel.place["y"] + down)
        for panel in panels(DASHBOARD)
        for across in range(panel.place["w"])
        for down in range(panel.place["h"])
    ]
    assert len(cells) == len(set(cells)) and max(across for across, _ in cells) < 24


def test_a_series_is_called_as_the_legend_says():
    target = Target('rate(a{job=~"$job"}[$__rate_interval])', "{{field}}: {{reason}}")
    assert target.name({"field": "order", "reason": "misfit", "job": "shop"}) == "order: misfit"
    assert filled(target.expression, "20s") == 'rate(a{job=~".*"}[20s])'
