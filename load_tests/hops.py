"""System calls for one event to one client.

    python -m load_tests.hops [--quick] [--json FILE] [--page]

Starts a server and one client, and follows all threads of the server with strace while events go
through, each published when the one before has arrived. This is done with few events and with
many, so that the difference is what events cost: connecting is in both. Counts do not need a quiet
machine. With --page the table is written into docs/performance.md.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from load_tests.compare import measure
from load_tests.compare.contenders import Contender, Running, contenders, running
from load_tests.compare.report import Markers
from load_tests.compare.scenarios import SCENARIOS
from load_tests.tables import Program, Row, Table

CALL = re.compile(r"\d+ +(?P<name>\w+)\((?:(?P<number>-?\d+)<(?P<file>[^>]*)>?)?")
"""A call that begins; strace writes the end of one that was interrupted as a line of its own."""

LOCAL = ("anon_inode:[eventfd", "pipe:", "UNIX")
"""How strace names what threads of a process wake each other by."""

KINDS = ("waits", "wakes", "woken", "sends", "receives", "futex", "others")
"""What a call can count as."""

READS = ("read", "readv", "recvfrom", "recvmsg", "recvmmsg")
WRITES = ("write", "writev", "sendto", "sendmsg", "sendmmsg")
WAITS = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6")

WORKERS = (1, 2, 4)
"""Threads of the servers that have any (count)."""

BARE = ("floor", "floor-asyncio", "floor-uvloop")
THREADED = ("ours", "ours-resolver", "async-graphql")

SCENARIO = next(scenario for scenario in SCENARIOS if scenario.name == "fan-out-1")


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        few: Events of the first run (count).
        many: Events of the second run (count).
    """

    few: int
    many: int


def kind(line: str) -> str | None:
    """Say what a line of strace counts as; None: it begins no call."""
    call = CALL.match(line)
    if call is None:
        return None
    name, file = call["name"], call["file"] or ""
    if name in WAITS:
        return "waits"
    if name == "futex":
        return "futex"
    is_local = file.startswith(LOCAL)
    if name in WRITES:
        return "wakes" if is_local else "sends"
    if name in READS:
        return "woken" if is_local else "receives"
    return "others"


def count(lines: Iterable[str]) -> dict[str, int]:
    """Count the calls of each kind, and all of them."""
    found = Counter(kind(line) for line in lines)
    counts = {name: found[name] for name in KINDS}
    return {"all": sum(counts.values()), **counts}


@contextmanager
def traced(pid: int, output: Path) -> Iterator[None]:
    """Write the system calls of all threads of a process to a file until the block ends."""
    command = ["strace", "-f", "-yy", "-s", "0", "-o", str(output), "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert tracer.stderr is not None
        if "attached" not in (line := tracer.stderr.readline()):
            raise SystemExit(f"strace cannot follow a process: {line.strip()}")
        yield
    finally:
        tracer.terminate()
        tracer.communicate()


def calls(server: Running, events: int) -> dict[str, int]:
    """Count the calls of a server while a client connects and receives so many events."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "strace"
        with traced(server.pid, output):
            _, error = measure.load(SCENARIO, server, events)
        if error:
            raise SystemExit(f"the events have not gone through: {error}")
        with output.open(errors="replace") as lines:
            return count(lines)


def for_each_event(contender: Contender, size: Size) -> dict[str, float]:
    """Count the calls of one event."""
    with running(contender) as server:
        # What a process does only once is in neither of the two.
        measure.load(SCENARIO, server, size.few)
        few, many = calls(server, size.few), calls(server, size.many)
    events = size.many - size.few
    # Timers make few calls of none.
    return {name: max(many[name] - few[name], 0) / events for name in many}


async def hops(size: Size) -> list[Row]:
    """Count the calls of one event for each server."""
    if shutil.which("strace") is None:
        raise SystemExit("strace is not installed; Debian has it in the package of this name")
    rows = []
    for workers, names in ((1, BARE), *((workers, THREADED) for workers in WORKERS)):
        for contender in contenders(workers):
            if contender.name in names:
                what = contender.title.split(":")[0]
                if names is THREADED:
                    what += f", {workers} worker{'s' if workers > 1 else ''}"
                rows.append({"what": what, **for_each_event(contender, size)})
    return rows


PROGRAM: Program[Size] = Program(
    name="load_tests.hops",
    tables=(
        Table(
            "hops",
            "System calls for one event to one client",
            hops,
            {
                "all": "all",
                "waits": "waits",
                "wake-ups": "wakes",
                "read by who is woken": "woken",
                "sends": "sends",
                "receives": "receives",
                "futex": "futex",
                "others": "others",
            },
        ),
    ),
    full=Size(few=200, many=2_200),
    quick=Size(few=50, many=250),
    markers=Markers.of("hops", "python -m load_tests.hops --page"),
)

if __name__ == "__main__":
    PROGRAM.main(__doc__)
