"""The comparison with other servers: its tables contain the measurements, and our server runs."""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest
import websockets

from load_tests.compare import report
from load_tests.compare.contenders import contenders, running
from load_tests.compare.measure import ROOT, enough_events, outcome
from load_tests.compare.scenarios import QUERY, SCENARIOS

COMPARE = report.SECTIONS[0]


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
    markers = COMPARE.markers
    page = f"before\n{markers.begin}\nold\n{markers.end}\nafter\n"
    text = report.section(data, COMPARE, {"fan-out": "a plot\n"})
    once = report.between_markers(page, markers, text)
    assert once.startswith("before\n") and once.endswith("\nafter\n")
    assert "old" not in once and "| us | 6.00" in once and "a plot" in once
    assert report.between_markers(once, markers, text) == once


@pytest.mark.parametrize("page", ["", "{begin}", "{end}{begin}", "{begin}{end}{begin}"])
def test_a_page_without_markers_is_refused(page):
    page = page.format(begin=COMPARE.markers.begin, end=COMPARE.markers.end)
    with pytest.raises(ValueError, match="the page needs"):
        report.between_markers(page, COMPARE.markers, "text")


@pytest.mark.parametrize(
    "markers", [report.OVERVIEW_MARKERS, *(section.markers for section in report.SECTIONS)]
)
def test_the_page_on_performance_has_the_markers_of_every_section(markers):
    page = (ROOT / "docs/performance.md").read_text()
    written = report.between_markers(page, markers, "text")
    assert f"{markers.begin}\n\ntext\n\n{markers.end}" in written


def test_what_was_measured_in_parts_is_one_report(data):
    other = {
        **data,
        "scenarios": {"fan-out-1": {}},
        "servers": {"ours": "us", "late": "a late one"},
        "runs": [{**run("late", 1, 7.0), "scenario": "fan-out-1"}],
    }
    lines = report.table(report.together([data, other]), report.TABLES[0]).splitlines()
    assert lines[0] == "|  | 1 | 100 |"
    assert lines[-1] == "| a late one | 7.00 | — |"
    assert lines[2] == "| the floor | — | 4.00 (3.00) |"


def test_a_figure_of_the_broker_is_shown_beside_that_of_the_server():
    found = [
        {
            "scenario": "redis-one",
            "server": server,
            "round": 1,
            "result": {"server": {"cpu_us_per_event": 30.0}, **broker},
            "error": None,
        }
        for server, broker in (("memory", {}), ("redis", {"broker": {"cpu_us_per_event": 12.0}}))
    ]
    data = {
        "scenarios": {"redis-one": {}},
        "servers": {"memory": "in memory", "redis": "over Redis"},
        "runs": found,
    }
    lines = report.table(data, report.OVER_REDIS[0]).splitlines()
    assert lines[2:] == ["| in memory | 30.0 | — |", "| over Redis | 30.0 | 12.0 |"]


def test_every_figure_of_a_table_is_of_a_scenario_that_exists():
    names = {scenario.name for scenario in SCENARIOS}
    assert {c.scenario for table in report.TABLES for c in table.columns} == names
    known = {contender.name for contender in contenders(None)}
    assert {server for scenario in SCENARIOS for server in scenario.servers} == known


def one_client(servers: dict[str, list[float]]) -> dict:
    """A run of one client, of some servers."""
    return {
        "scenarios": {"fan-out-1": {}},
        "servers": {name: name for name in servers},
        "runs": [
            {
                "scenario": "fan-out-1",
                "server": name,
                "round": number,
                "result": {"server": {"cpu_us_per_event": cost}},
                "error": None,
            }
            for name, costs in servers.items()
            for number, cost in enumerate(costs, 1)
        ],
    }


ONE_CLIENT = next(table for table in report.TABLES if table.name == "one-client")


def test_one_client_is_compared_with_each_floor_of_python():
    costs = {"floor-asyncio": [40.0, 80.0], "floor-uvloop": [20.0, 20.0], "ours": [50.0, 100.0]}
    lines = report.table(one_client({**costs, "mercurius": [70.0]}), ONE_CLIENT).splitlines()
    times = "\N{MULTIPLICATION SIGN}"
    assert lines[0] == "|  | µs | to asyncio | to uvloop |"
    assert lines[2:] == [
        f"| floor-asyncio | 60.0 (40.0) | 1.00 {times} | 3.00 {times} |",
        f"| floor-uvloop | 20.0 (20.0) | 0.38 {times} | 1.00 {times} |",
        f"| ours | 75.0 (50.0) | 1.25 {times} | 3.75 {times} |",
    ]


def test_without_a_floor_of_python_nothing_is_compared_with_it():
    assert report.table(one_client({"floor": [26.0], "ours": [50.0]}), ONE_CLIENT) == ""


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


@pytest.mark.parametrize(
    "name",
    [
        "ours",
        "ours-resolver",
        "ours-batch",
        "ours-redis",
        "ours-redis-live",
        "ours-nats",
        "ours-jetstream",
        "ours-postgres",
        "ours-table",
        "ours-outbox",
    ],
)
async def test_our_server_publishes_the_lines_of_its_control_port(name):
    contender = next(c for c in contenders(2) if c.name == name)
    with running(contender) as server:
        url = f"ws://127.0.0.1:{server.port}/graphql"
        async with websockets.connect(
            url, subprotocols=["graphql-transport-ws"], open_timeout=None
        ) as client:
            await client.send('{"type": "connection_init"}')
            assert json.loads(await client.recv())["type"] == "connection_ack"
            # A client that can resume is told when its subscription has begun.
            payload = {
                "query": QUERY,
                "variables": {"key": 2},
                "extensions": {"resume": {}},
            }
            await client.send(json.dumps({"id": "a", "type": "subscribe", "payload": payload}))
            assert json.loads(await client.recv())["type"] == "next"
            _, writer = await asyncio.open_connection("127.0.0.1", server.control)
            for key in (1, 2):
                data = {"sequence": 7, "sentAt": 1, "key": key, "note": "x"}
                writer.write(json.dumps({"channel": "feed", "data": data}).encode() + b"\n")
            await writer.drain()
            result = json.loads(await client.recv())
            writer.close()
        broker = server.broker.cost() if server.broker else None
    expected = {"sequence": 7, "sentAt": 1, "key": 2, "note": "x"}
    assert result["payload"]["data"] == {"feed": expected}
    if broker:
        assert broker["events"] == 2
        assert broker["cpu_us_per_event"] > 0
