"""The drawings of the comparison: who is in them, and how they are called."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib", reason="of the dependency group `compare`")

from load_tests.compare import overview, plots, report
from load_tests.compare.contenders import contenders


@pytest.fixture
def data() -> dict:
    """A run of one scenario."""
    costs = {"floor": 4.0, "ours": 6.0, "mercurius": 300.0}
    return {
        "date": "2026-01-02",
        "machine": {"processor": "A", "cores": "2", "memory": "4 GiB", "system": "Linux 6"},
        "scenarios": {"fan-out-100": {}},
        "servers": {"floor": "the floor", "ours": "us", "mercurius": "a peer"},
        "runs": [
            {
                "scenario": "fan-out-100",
                "server": server,
                "round": 1,
                "result": {"server": {"cpu_us_per_delivery": cost}},
                "error": None,
            }
            for server, cost in costs.items()
        ],
    }


def test_legends_tell_all_servers_apart():
    names = [plots.short(contender.title) for contender in contenders(None)]
    assert len(set(names)) == len(names)
    assert {contender.name for contender in contenders(None)} == set(plots.COLOURS)


def test_the_picture_has_a_line_for_each_figure_and_a_dot_for_each_server(data, tmp_path):
    shown = overview.draw(data, tmp_path)
    assert "images/overview-light.svg" in shown and "2026-01-02" in shown
    for theme in ("light", "dark"):
        drawing = (tmp_path / f"overview-{theme}.svg").read_text()
        for table in report.OVERVIEW:
            for column in table.columns:
                assert overview.GROUPS[table.name].format(column.title) in drawing
        for title in data["servers"].values():
            assert title in drawing
        # Nobody has a figure of this one.
        assert "Strawberry" not in drawing
