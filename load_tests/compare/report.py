"""Makes tables of what was measured, and puts them into a page between two markers.

Figures of one server are those of all rounds: the median, and the least in parentheses. A ratio is
that to the floor of the same round, and of these the median. Not here: plots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from load_tests.compare.scenarios import MANY, PYTHON, REDIS_FLOORS

FLOOR = "floor"
NONE = "—"


@dataclass(frozen=True)
class Markers:
    """The two lines of a page between which a program writes.

    Attributes:
        begin: The first.
        end: The second.
    """

    begin: str
    end: str

    @classmethod
    def of(cls, name: str, command: str) -> Markers:
        """Make the lines from the name of a section and the command that writes it."""
        return cls(
            f"<!-- {name}: written by `{command}` from here -->", f"<!-- {name}: to here -->"
        )


@dataclass(frozen=True)
class Column:
    """A figure of one scenario.

    Attributes:
        title: Head of the column.
        scenario: Name of the scenario.
        path: Where the figure is in a result.
        scale: What it is multiplied by.
        floor: Server of whose figure it is a multiple, of the same round; empty: the figure itself.
    """

    title: str
    scenario: str
    path: tuple[str, ...]
    scale: float = 1
    floor: str = ""


@dataclass(frozen=True)
class Table:
    """Figures of all servers.

    Attributes:
        name: Beginning of the scenarios' names, and the name of its plot.
        title: What is measured, with its unit.
        columns: The figures.
        has_ratio: Whether the floor does the same work, so that a ratio to it says something.
        servers: Those that have a row; empty: all.
        has_plot: Whether it is drawn.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    has_ratio: bool = False
    servers: tuple[str, ...] = ()
    has_plot: bool = True


def _sizes(name: str, sizes: Sequence[int], path: tuple[str, str], scale: float = 1):
    return tuple(Column(f"{size:,}", f"{name}-{size}", path, scale) for size in sizes)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: Name of its file of results.
        markers: Where it is in the page.
        tables: Its tables.
    """

    name: str
    markers: Markers
    tables: tuple[Table, ...]

    def scenarios(self) -> set[str]:
        """Return the names of the scenarios that it needs."""
        return {column.scenario for table in self.tables for column in table.columns}


DELIVERY = ("server", "cpu_us_per_delivery")
EVENT = ("server", "cpu_us_per_event")
MEMORY = ("server", "bytes_per_connection")
BROKER = ("broker", "cpu_us_per_event")
PUBLISHED = (("publish p50", ("broker", "p50")), ("publish p99", ("broker", "p99")))
STORM = ("storm", "server_cpu_us_per_connection")


def _storm(size: int) -> Table:
    name = f"storm-{size}"
    times = (("ack", "acknowledged_us"), ("first result", "first_result_us"))
    arrivals = (
        Column(f"{title}, {key}", name, ("storm", member, key), 1e-3)
        for title, member in times
        for key in ("p50", "p99")
    )
    return Table(
        name,
        f"{size:,} clients connect and subscribe at once, while 100 others receive 50 events a"
        " second: clients a second, ms until theirs, ms of the others' p99, µs of the server's CPU"
        " per client",
        (
            Column("a second", name, ("storm", "per_second")),
            *arrivals,
            Column("others, p99", name, ("latency_us", "p99"), 1e-3),
            Column("CPU", name, STORM),
        ),
        has_plot=False,
    )


def _latencies(scenario: str) -> tuple[Column, ...]:
    keys = (("p50", "p50"), ("p99", "p99"), ("p99.9", "p99_9"))
    return tuple(Column(title, scenario, ("latency_us", key), 1e-3) for title, key in keys)


SERVERS = (
    Table(
        "fan-out",
        "Fan-out, one event under way: µs of the server's CPU per delivery, by connections",
        _sizes("fan-out", (1, 100, 1_000, MANY), DELIVERY),
        has_ratio=True,
    ),
    Table(
        "one-client",
        "One event to one client beside Python's floor: µs of the server's CPU per event",
        (
            Column("µs", "fan-out-1", EVENT),
            Column("to asyncio", "fan-out-1", EVENT, floor="floor-asyncio"),
            Column("to uvloop", "fan-out-1", EVENT, floor="floor-uvloop"),
        ),
        servers=("floor", "floor-threads", *PYTHON, "async-graphql"),
        has_plot=False,
    ),
    Table(
        "pending",
        "Fan-out, 16 events under way: µs of the server's CPU per delivery, by connections",
        _sizes("pending", (100, 1_000), DELIVERY),
        has_ratio=True,
    ),
    Table(
        "rate",
        "1,000 deliveries a second to 100 connections: latency from publish to client, ms",
        _latencies("rate-100"),
    ),
    Table(
        "selective",
        "An event for one of many subscriptions: µs of the server's CPU per event, by their number",
        _sizes("selective", (1_000, 10_000, 100_000), EVENT),
    ),
    Table(
        "idle",
        "Idle connections with one subscription each: KiB of memory per connection, by connections",
        _sizes("idle", (1_000, MANY), MEMORY, 1 / 1024),
    ),
    _storm(1_000),
    _storm(MANY),
)

OVERVIEW = (
    *(table for table in SERVERS if table.has_plot),
    Table("storm", "Clients that connect at once", _sizes("storm", (1_000, MANY), STORM)),
)
"""Those that one picture shows together."""

OVER_REDIS = (
    Table(
        "redis-one",
        "Over Redis, one subscriber, one event under way: µs of CPU per event",
        (
            Column("server", "redis-one", EVENT),
            Column("Redis", "redis-one", BROKER),
        ),
    ),
    Table(
        "redis-fan-out",
        "Over Redis, 1,000 subscribers of one process, one event under way: µs of the server's CPU",
        (
            Column("per delivery", "redis-fan-out", DELIVERY),
            Column("per event", "redis-fan-out", EVENT),
        ),
    ),
    Table(
        "redis-rate",
        "1,000 events a second over Redis to one subscriber: latency from publish to client, ms",
        _latencies("redis-rate"),
    ),
)


def _over_engines(rate: int) -> Table:
    scenario = f"engines-rate-{rate}"
    return Table(
        scenario,
        f"{rate:,} events a second over an engine to one subscriber: latency from publish to"
        " client, and of the call that publishes, ms",
        (
            *_latencies(scenario)[:2],
            *(Column(title, scenario, path) for title, path in PUBLISHED),
        ),
    )


OVER_ENGINES = (
    _over_engines(100),
    _over_engines(1_000),
    Table(
        "engines-cpu",
        "The same at 1,000 events a second: µs of CPU per event",
        (
            Column("server", "engines-rate-1000", EVENT),
            Column("engine", "engines-rate-1000", BROKER),
        ),
    ),
    Table(
        "engines-one",
        "Over an engine, one subscriber, one event under way: µs of CPU per event",
        (
            Column("server", "engines-one", EVENT),
            Column("engine", "engines-one", BROKER),
        ),
    ),
    Table(
        "engines-floors",
        "One event over Redis to one client beside bare loops: µs of the server's CPU per event",
        (
            Column("µs", "engines-one", EVENT),
            Column("to the loop in Rust", "engines-one", EVENT, floor="floor-redis"),
            Column("to that on asyncio", "engines-one", EVENT, floor="floor-redis-asyncio"),
        ),
        servers=(*REDIS_FLOORS, "ours-redis", "ours-nats"),
        has_plot=False,
    ),
)

SECTIONS = (
    Section("compare", Markers.of("compare", "make compare"), SERVERS),
    Section("compare-redis", Markers.of("compare-redis", "make compare ONLY=redis"), OVER_REDIS),
    Section(
        "compare-engines", Markers.of("compare-engines", "make compare ONLY=engines"), OVER_ENGINES
    ),
)
OVERVIEW_MARKERS = Markers.of("compare-overview", "make compare")
TABLES = (*SERVERS, *OVER_REDIS, *OVER_ENGINES)


def together(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Join the results of several runs; machine, date and versions are those of the last."""
    whole = dict(parts[-1])
    for name in ("scenarios", "servers"):
        whole[name] = {key: value for part in parts for key, value in part[name].items()}
    whole["runs"] = [run for part in parts for run in part["runs"]]
    whole["quick"] = any(part["quick"] for part in parts)
    return whole


def figures(data: dict[str, Any], column: Column, server: str) -> dict[int, float]:
    """Return a server's figure of each round in which nothing went wrong."""
    found = {}
    for run in data["runs"]:
        if (run["scenario"], run["server"]) != (column.scenario, server) or run["error"]:
            continue
        value: Any = run["result"]
        for name in column.path:
            value = (value or {}).get(name)
        if value is not None:
            found[run["round"]] = value * column.scale
    return found


def ratios(data: dict[str, Any], column: Column, server: str, floor: str = FLOOR) -> list[float]:
    """Compare a server with a floor, in each round that has a figure of both."""
    below = figures(data, column, floor)
    own = figures(data, column, server)
    return [value / below[number] for number, value in own.items() if below.get(number)]


def ratio(data: dict[str, Any], column: Column, server: str, floor: str = FLOOR) -> float | None:
    """Return the median of the ratios; None when there are none."""
    found = ratios(data, column, server, floor)
    return median(found) if found else None


def cell(data: dict[str, Any], table: Table, column: Column, server: str) -> str:
    """Write a figure as tables do."""
    if column.floor:
        times = ratio(data, column, server, column.floor)
        return NONE if times is None else f"{times:.2f} \N{MULTIPLICATION SIGN}"
    values = list(figures(data, column, server).values())
    if not values:
        return NONE
    text = number(median(values))
    if len(values) > 1:
        text += f" ({number(min(values))})"
    times = ratio(data, column, server) if table.has_ratio and server != FLOOR else None
    return text if times is None else f"{text}, {times:.2f} \N{MULTIPLICATION SIGN}"


def number(value: float) -> str:
    """Write three digits, and no more of them than say something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(data: dict[str, Any], which: Table) -> str:
    """Write one table; nothing when no server has a figure, or all floors of it are missing."""
    columns = [c for c in which.columns if c.scenario in data["scenarios"]]
    floors = {column.floor for column in which.columns if column.floor}
    if floors and not floors & data["servers"].keys():
        return ""
    rows = []
    for server, title in data["servers"].items():
        if which.servers and server not in which.servers:
            continue
        cells = [cell(data, which, column, server) for column in columns]
        if any(text != NONE for text in cells):
            rows.append([title, *cells])
    if not rows:
        return ""
    head = ["", *(column.title for column in columns)]
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def tables(data: dict[str, Any]) -> str:
    """Write all tables, and what went wrong."""
    written = [(which, table(data, which)) for which in TABLES]
    text = "\n".join(f"**{which.title}**\n\n{rows}" for which, rows in written if rows)
    return text + failures(data, set(data["scenarios"]))


def failures(data: dict[str, Any], scenarios: set[str]) -> str:
    """Say which runs of some scenarios have no figure, and why."""
    failed = [run for run in data["runs"] if run["error"] and run["scenario"] in scenarios]
    lines = [f"- {r['scenario']}, {r['server']}, round {r['round']}: {r['error']}" for r in failed]
    return "\nWithout a figure:\n\n" + "\n".join(lines) + "\n" if lines else ""


def section(data: dict[str, Any], which: Section, images: dict[str, str]) -> str:
    """Write a part of the page; `images` are Markdown by name of table."""
    machine = data["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    rounds = data["rounds"]
    head = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory']},"
        f" {machine['system']}; {data['date']}, {rounds} round{'s' if rounds > 1 else ''}:"
        " the median, in parentheses the least"
    )
    has_ratio = any(shown.has_ratio for shown in which.tables)
    head += ", and the ratio to the floor of the same round." if has_ratio else "."
    if data["quick"]:
        head += " A quick run, of few events: the figures are coarse."
    parts = [f"{head}\n\n{versions}.\n"]
    for shown in which.tables:
        if rows := table(data, shown):
            parts.append(f"**{shown.title}**\n\n{rows}")
            if shown.name in images:
                parts.append(images[shown.name])
    return "\n".join(parts) + failures(data, which.scenarios())


def between_markers(page: str, markers: Markers, text: str) -> str:
    """Replace what stands between the markers of a page; the rest of it stays.

    Raises:
        ValueError: The page does not have both markers, in order, once.
    """
    before, begin, rest = page.partition(markers.begin)
    _, end, after = rest.partition(markers.end)
    if not begin or not end or markers.begin in after:
        raise ValueError(
            f"the page needs one line `{markers.begin}` and after it one `{markers.end}`"
        )
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
