"""Runs the scenarios, in each round with one server after the other, and keeps what was measured.

Not here: what is made of the figures (report.py).
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from load_tests.compare.contenders import Contender, Running, running
from load_tests.compare.scenarios import Scenario

ROOT = Path(__file__).parents[2]
LOAD = ROOT / "target/release/fraiseql-subs-load"

TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Resolution of the CPU time of a process (seconds)."""

LONGEST = 5.0
"""Time that the measuring of one server may take (seconds), connecting excluded."""

BULKY = ("options", "samples")
"""Parts of a result that say again what the scenario says, or are of no use in a table."""


def measure_all(
    scenarios: list[Scenario], contenders: list[Contender], rounds: int
) -> list[dict[str, Any]]:
    """Measure every scenario with every server that takes part in it."""
    _allow_many_files()
    runs = []
    for scenario in scenarios:
        chosen = [c for c in contenders if c.name in scenario.servers]
        for number in range(1, min(rounds, scenario.rounds) + 1):
            for contender in chosen:
                started = time.monotonic()
                run = measure(scenario, contender, number)
                runs.append(run)
                seconds = time.monotonic() - started
                outcome = run["error"] or "ok"
                sys.stderr.write(
                    f"{scenario.name} {contender.name} round {number}: {seconds:.1f} s, {outcome}\n"
                )
    return runs


def measure(scenario: Scenario, contender: Contender, number: int) -> dict[str, Any]:
    """Measure a server that is started for it; a failure is part of the outcome."""
    with running(contender) as server:
        result, error = load(scenario, server, scenario.events)
        if result and not error and (events := enough_events(scenario, result)):
            result, error = load(scenario, server, events)
        if result and server.broker:
            result["broker"] = server.broker.cost()
    return {
        "scenario": scenario.name,
        "server": contender.name,
        "round": number,
        "result": result,
        "error": error,
    }


def enough_events(scenario: Scenario, result: dict[str, Any]) -> int | None:
    """Say how many events make the work of the scenario; None when those that were do."""
    used = result["server"]["cpu_seconds"]
    if used >= scenario.work:
        return None
    # A server that waits more than it works would take long.
    factor = min(scenario.work / max(used, TICK), LONGEST / result["seconds"])
    return int(scenario.events * factor) if factor > 1 else None


def load(
    scenario: Scenario, server: Running, events: int
) -> tuple[dict[str, Any] | None, str | None]:
    """Run the load client on a server that runs: its result, and what speaks against it."""
    command = [str(LOAD), *scenario.command(events), *_address(server), "--json", "-"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=scenario.limit)
    except subprocess.TimeoutExpired:
        return None, f"no result within {scenario.limit:.0f} s"
    return outcome(done)


def outcome(done: subprocess.CompletedProcess[str]) -> tuple[dict[str, Any] | None, str | None]:
    """Read what the load client has written: its result, and what speaks against it."""
    if not done.stdout.strip():
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return None, lines[-1]
    result = json.loads(done.stdout)
    kept = {name: value for name, value in result.items() if name not in BULKY}
    faults = [f"{kept[name]} {name}" for name in ("lost", "duplicated", "reordered") if kept[name]]
    return kept, ", ".join([*faults, *map(str, kept["errors"])]) or None


def _address(server: Running) -> list[str]:
    return [
        *("--url", f"ws://127.0.0.1:{server.port}/graphql"),
        *("--publish", f"tcp://127.0.0.1:{server.control}"),
        *("--pid", str(server.pid)),
    ]


def _allow_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def machine() -> dict[str, str]:
    """Say what the figures were measured on."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
    }
