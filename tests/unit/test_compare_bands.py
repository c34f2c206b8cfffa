"""The short comparison: what it calls worse, and what it measures again before it does."""

from __future__ import annotations

import json
import sys

import pytest

from load_tests.compare import bands, ci
from load_tests.compare.bands import Band, Verdict

ROW = bands.ROWS[0]
FILE = json.loads(ci.BANDS.read_text())


def runs(costs: dict[str, list[float]], scenario: str = ROW.column.scenario) -> list[dict]:
    """Make runs in which each server has these figures, one a round; of each kind the same."""
    return [
        {
            "scenario": scenario,
            "server": server,
            "round": number,
            "result": {
                "server": {
                    "cpu_us_per_delivery": cost,
                    "cpu_us_per_event": cost,
                    "bytes_per_connection": cost,
                },
                "latency_us": {"p50": cost, "p99": cost},
            },
            "error": None,
        }
        for server, values in costs.items()
        for number, cost in enumerate(values, 1)
    ]


def test_a_band_is_of_ratios_to_the_floor_of_the_same_round():
    # The machine is slow in the second round.
    data = {"runs": runs({"floor": [1.0, 10.0, 2.0], "ours": [2.0, 30.0, 5.0]})}
    assert bands.bands(data) == {ROW.name: Band(median=2.5, least=2.0, most=3.0)}


@pytest.mark.parametrize(
    ("stored", "measured", "level"),
    [
        (Band(2.0, 1.9, 2.1), 2.3, "same"),
        (Band(2.0, 1.9, 2.1), 2.5, "worse"),
        # Rounds of the stored run were as far from its median.
        (Band(2.0, 1.5, 2.6), 2.5, "same"),
        (Band(2.0, 1.5, 2.6), 2.7, "worse"),
        (Band(2.0, 1.9, 2.1), 1.6, "better"),
        (Band(2.0, 1.5, 2.1), 1.6, "same"),
        (None, 2.0, "new"),
        (Band(2.0, 1.9, 2.1), None, "no figure"),
    ],
)
def test_a_row_is_worse_above_its_band_and_a_fifth_above_its_median(stored, measured, level):
    found = None if measured is None else Band(measured, measured / 2, measured * 2)
    verdict = Verdict(ROW, stored, found)
    assert verdict.level == level
    assert verdict.is_fault == (level in ("worse", "no figure"))


def measuring(monkeypatch, *costs_of_ours: float) -> list[list[str]]:
    """Make every measuring find one cost of our servers, where the floor costs 1."""
    asked: list[list[str]] = []
    costs = iter(costs_of_ours)

    def measure_all(scenarios, contenders, rounds):
        assert [contender.name for contender in contenders] == list(bands.SERVERS)
        asked.append([scenario.name for scenario in scenarios])
        cost = next(costs)
        found = {"floor": [1.0] * rounds, "ours": [cost] * rounds, "ours-resolver": [2.0] * rounds}
        return [run for name in asked[-1] for run in runs(found, name)]

    monkeypatch.setattr(ci.measure, "measure_all", measure_all)
    return asked


def two() -> dict:
    return {row.name: {"median": 2.0, "least": 1.9, "most": 2.1} for row in bands.ROWS}


def test_what_is_as_it_was_is_measured_once(monkeypatch):
    asked = measuring(monkeypatch, 2.0)
    assert {verdict.level for verdict in ci.compared(two(), 2)} == {"same"}
    assert asked == [[scenario.name for scenario in bands.scenarios(bands.ROWS)]]


def test_a_row_that_is_worse_once_is_not_reported(monkeypatch):
    asked = measuring(monkeypatch, 3.0, 2.0)
    assert not any(verdict.is_fault for verdict in ci.compared(two(), 2))
    assert len(asked) == 2


def test_a_row_that_is_worse_twice_is_reported(monkeypatch):
    stored = two()
    for name in stored:
        if name != ROW.name:
            stored[name]["most"] = 9.0
    asked = measuring(monkeypatch, 3.0, 3.0)
    found = ci.compared(stored, 2)
    assert [verdict.row for verdict in found if verdict.is_fault] == [ROW]
    assert asked[1] == [ROW.column.scenario]
    assert "| 2.00 (1.90 to 2.10) | 3.00 (3.00 to 3.00) | +50 % | **worse** |" in bands.table(found)


def command(monkeypatch, capsys, *options: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["ci", *options])
    try:
        ci.main()
    except SystemExit as ended:
        return int(ended.code or 0), capsys.readouterr().out
    return 0, capsys.readouterr().out


def test_bands_that_were_written_are_those_that_are_compared_with(monkeypatch, tmp_path, capsys):
    file = tmp_path / "bands.json"
    measuring(monkeypatch, 2.0, 2.0, 3.0, 3.0)
    assert command(monkeypatch, capsys, "--bands", str(file), "--write")[0] == 0
    status, text = command(monkeypatch, capsys, "--bands", str(file))
    assert status == 0
    assert "different machines" not in text
    status, text = command(monkeypatch, capsys, "--bands", str(file))
    assert status == 1
    assert f"Worse than its band, twice: {ROW.name}" in text


def test_bands_of_another_machine_are_compared_with_a_warning(monkeypatch):
    machine = {**FILE["machine"], "processor": "another one"}
    text = ci.report({**FILE, "machine": machine}, bands.verdicts({}, {}))
    assert "These are different machines" in text


def test_the_stored_bands_are_those_of_all_rows():
    assert set(FILE["bands"]) == {row.name for row in bands.ROWS}
    for band in FILE["bands"].values():
        assert 0 < band["least"] <= band["median"] <= band["most"]
