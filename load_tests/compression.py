"""What compressed results cost: CPU time of a server and bytes on the wire, beside others.

    python -m load_tests.compression [--quick] [--json FILE] [--page]

Each server is measured with clients that do not offer permessage-deflate, and with clients that do.
Shown are the medians of all rounds. With --page the tables are written into
docs/performance.md.
"""

from __future__ import annotations

import random
import statistics
import sys
from dataclasses import dataclass, replace
from functools import partial

from load_tests.compare.contenders import Contender, contenders
from load_tests.compare.measure import measure
from load_tests.compare.report import Markers
from load_tests.compare.scenarios import Scenario
from load_tests.tables import Program, Row, Table

SERVERS = ("ours", "ours-resolver", "graphql-ws", "strawberry")
"""Those with a setting for compressed results; Strawberry's is that of uvicorn."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        clients: Clients of each server (count).
        work: CPU time below which a server is measured once more, with more events (seconds).
        rounds: Rounds (count).
    """

    clients: int
    work: float
    rounds: int


def orders(size: int) -> str:
    """Write orders with random numbers, the same in each call (bytes)."""
    numbers = random.Random(1)
    lines = []
    while len(text := " ".join(lines)) < size:
        price, count = numbers.randrange(100, 99_999), numbers.randrange(1, 40)
        status = numbers.choice(("open", "paid", "shipped", "returned"))
        lines.append(f"order {numbers.getrandbits(32):08x}: {count} at {price / 100}, {status};")
    return text[:size]


def measured(contender: Contender, scenario: Scenario) -> dict[str, float] | None:
    """Measure one server once; None if it failed."""
    options = ("--compression",) if scenario.compression else ()
    run = measure(scenario, replace(contender, command=(*contender.command, *options)), 1)
    if run["error"]:
        sys.stderr.write(f"{contender.name}: {run['error']}\n")
        return None
    result = run["result"]
    return {
        "cpu": result["server"]["cpu_us_per_delivery"],
        "bytes": result["client"]["received_bytes"] / result["delivered"],
    }


async def rows(bytes_: int, size: Size) -> list[Row]:
    """Measure all servers with results of so many bytes."""
    made = []
    known = {contender.name: contender for contender in contenders(None)}
    scenario = Scenario(
        "compression", "fan-out", size.clients, events=20, work=size.work, note=orders(bytes_)
    )
    for name in SERVERS:
        row: Row = {"what": known[name].title}
        for compression, when in ((False, "without"), (True, "with")):
            rounds = [
                measured(known[name], replace(scenario, compression=compression))
                for _ in range(size.rounds)
            ]
            found = [one for one in rounds if one]
            for figure in ("cpu", "bytes") if found else ():
                row[f"{figure}_{when}"] = statistics.median(one[figure] for one in found)
        made.append(row)
    return made


COLUMNS = {
    f"{head}, {when}": f"{figure}_{when}"
    for head, figure in (("CPU (µs)", "cpu"), ("bytes", "bytes"))
    for when in ("without", "with")
}


def table(bytes_: int) -> Table[Size]:
    """Make the table of one size."""
    title = f"Results with {bytes_:,} bytes of orders: for each delivery"
    return Table(f"{bytes_}", title, partial(rows, bytes_), COLUMNS)


PROGRAM: Program[Size] = Program(
    name="load_tests.compression",
    tables=tuple(table(bytes_) for bytes_ in (200, 2_000, 20_000)),
    full=Size(clients=1_000, work=1.0, rounds=3),
    quick=Size(clients=10, work=0.05, rounds=1),
    markers=Markers.of("bench-compression", "python -m load_tests.compression --page"),
)

if __name__ == "__main__":
    PROGRAM.main(__doc__)
