"""The comparison with other servers: its tables contain the measurements, and our server runs."""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest
import websockets

from load_tests.compare import report
from load_tests.compare.contenders import contenders, running
from load_tests.compare.measure import enough_events, outcome
from load_tests.compare.scenarios import QUERY, SCENARIOS


def run(server: str, number: int, cost: float | None, error: str | None = None) -> dict:
    result = None if cost is None else {"server": {"cpu_us_per_delivery": cost}}
    return {
        "scenario": "fan-out-100",
        "server": server,
        "round": number,
        "result": result,
        "error": error,
    }


@pytest.fixture
def data() -> dict:
    """A run in which the machine was twice as slow in the last round."""
    return {
        "date": "2026-01-02",
        "machine": {"processor": "A", "cores": "2", "memory": "4 GiB", "system": "Linux 6"},
        "versions": {"Python": "3.12.1"},
        "rounds": 3,
        "quick": False,
        "scenarios": {"fan-out-100": {}},
        "servers": {"floor": "the floor", "ours": "us", "peer": "a peer"},
        "runs": [
            *(run("floor", number, cost) for number, cost in ((1, 4.0), (2, 3.0), (3, 8.0))),
            *(run("ours", number, cost) for number, cost in ((1, 6.0), (2, 3.0), (3, 16.0))),
            run("peer", 1, 300.0),
            run("peer", 2, None, "no result within 60 s"),
            run("peer", 3, 250.0, "3 lost"),
        ],
    }


def test_a_table_gives_median_least_and_the_ratio_to_the_floor_of_the_same_round(data):
    assert report.table(data, report.TABLES[0]).splitlines() == [
        "|  | 100 |",
        "| --- | --- |",
        "| the floor | 4.00 (3.00) |",
        "| us | 6.00 (3.00), 1.50 \N{MULTIPLICATION SIGN} |",
        "| a peer | 300, 75.00 \N{MULTIPLICATION SIGN} |",
    ]


def test_a_failed_run_has_no_figure_and_is_reported(data):
    text = report.tables(data)
    assert "- fan-out-100, peer, round 2: no result within 60 s\n" in text
    assert "- fan-out-100, peer, round 3: 3 lost\n" in text
    assert "250" not in text


def test_only_what_stands_between_the_markers_of_a_page_is_replaced(data):
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    once = report.between_markers(page, report.section(data, {"fan-out": "a plot\n"}))
    assert once.startswith("before\n") and once.endswith("\nafter\n")
    assert "old" not in once and "| us | 6.00" in once and "a plot" in once
    assert report.between_markers(once, report.section(data, {"fan-out": "a plot\n"})) == once


@pytest.mark.parametrize("page", ["", report.BEGIN, f"{report.END}{report.BEGIN}"])
def test_a_page_without_markers_is_refused(page):
    with pytest.raises(ValueError, match="the page needs"):
        report.between_markers(page, "text")


def test_every_figure_of_a_table_is_of_a_scenario_that_exists():
    names = {scenario.name for scenario in SCENARIOS}
    assert {c.scenario for table in report.TABLES for c in table.columns} == names
    known = {contender.name for contender in contenders(None)}
    assert {server for scenario in SCENARIOS for server in scenario.servers} == known


def finished(result: dict | None, stderr: str = "") -> subprocess.CompletedProcess[str]:
    stdout = "" if result is None else json.dumps(result)
    return subprocess.CompletedProcess([], 0 if result else 1, stdout, stderr)


def test_a_result_that_is_not_whole_is_a_failure():
    counts = {"lost": 0, "duplicated": 0, "reordered": 0, "errors": []}
    assert outcome(finished(counts)) == (counts, None)
    assert outcome(finished({**counts, "lost": 2}))[1] == "2 lost"
    assert outcome(finished({**counts, "errors": ["closed"]}))[1] == "closed"
    assert outcome(finished(None, "first\nno server\n")) == (None, "no server")


def test_a_server_is_measured_again_until_its_work_can_be_measured():
    scenario = next(s for s in SCENARIOS if s.name == "fan-out-100")

    def again(cpu: float, seconds: float) -> int | None:
        return enough_events(scenario, {"server": {"cpu_seconds": cpu}, "seconds": seconds})

    assert again(cpu=scenario.work, seconds=1.0) is None
    assert again(cpu=scenario.work / 10, seconds=0.1) == scenario.events * 10
    # The run mostly waits, so the time limits it.
    assert again(cpu=0.0, seconds=2.5) == scenario.events * 2
    assert again(cpu=0.0, seconds=50.0) is None


@pytest.mark.parametrize("name", ["ours", "ours-resolver"])
async def test_our_server_publishes_the_lines_of_its_control_port(name):
    contender = next(c for c in contenders(2) if c.name == name)
    with running(contender) as server:
        url = f"ws://127.0.0.1:{server.port}/graphql"
        async with websockets.connect(
            url, subprotocols=["graphql-transport-ws"], open_timeout=None
        ) as client:
            await client.send('{"type": "connection_init"}')
            assert json.loads(await client.recv())["type"] == "connection_ack"
            payload = {"query": QUERY, "variables": {"key": 2}}
            await client.send(json.dumps({"id": "a", "type": "subscribe", "payload": payload}))
            # The answer comes after the subscription has begun.
            await client.send('{"type": "ping"}')
            assert json.loads(await client.recv())["type"] == "pong"
            _, writer = await asyncio.open_connection("127.0.0.1", server.control)
            for key in (1, 2):
                data = {"sequence": 7, "sentAt": 1, "key": key, "note": "x"}
                writer.write(json.dumps({"channel": "feed", "data": data}).encode() + b"\n")
            await writer.drain()
            result = json.loads(await client.recv())
            writer.close()
    expected = {"sequence": 7, "sentAt": 1, "key": 2, "note": "x"}
    assert result["payload"] == {"data": {"feed": expected}}
