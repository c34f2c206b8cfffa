"""Measures the ratios to the floor that matter, and reports which are worse than stored.

    python -m load_tests.compare.ci [--rounds N] [--write] [--bands FILE]

Takes some minutes. Prints a Markdown table, and ends with exit status 1 when a row is worse, or has
no figure. Such a row is measured a second time first, and the second time counts. With --write the
run makes the bands that later runs are compared with.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from load_tests.compare import bands, contenders, measure
from load_tests.compare.scenarios import Scenario

BANDS = measure.ROOT / "load_tests/results/bands.json"
ROUNDS = 3


def main() -> None:
    """Measure, and compare or write."""
    parser = argparse.ArgumentParser(
        prog="python -m load_tests.compare.ci",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true", help="write the bands, compare nothing")
    parser.add_argument("--bands", type=Path, default=BANDS, help="file of the bands")
    options = parser.parse_args()
    if options.write:
        write(options.bands, options.rounds)
        return
    stored = json.loads(options.bands.read_text())
    sys.stdout.write(f"Load average before the run: {os.getloadavg()[0]:.1f}.\n\n")
    found = compared(stored["bands"], options.rounds)
    sys.stdout.write(report(stored, found))
    sys.exit(any(verdict.is_fault for verdict in found))


def write(file: Path, rounds: int) -> None:
    """Make bands of a run, and print them."""
    measured = bands.bands(measure_scenarios(bands.scenarios(bands.ROWS), rounds))
    found = bands.verdicts({}, measured)
    sys.stdout.write(bands.table(found))
    if missing := [verdict.row.name for verdict in found if verdict.measured is None]:
        raise SystemExit(f"nothing is written: no figure of {', '.join(missing)}")
    data = {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": measure.machine(),
        "versions": contenders.own_versions(),
        "rounds": rounds,
        "bands": bands.stored(measured),
    }
    file.write_text(json.dumps(data, indent=1) + "\n")


def compared(stored: dict[str, Any], rounds: int) -> list[bands.Verdict]:
    """Measure all rows, and those again that are to be reported."""
    measured = bands.bands(measure_scenarios(bands.scenarios(bands.ROWS), rounds))
    doubtful = [verdict.row for verdict in bands.verdicts(stored, measured) if verdict.is_fault]
    if doubtful:
        again = bands.bands(measure_scenarios(bands.scenarios(doubtful), rounds))
        # The rows beside them in the same scenario have been found good.
        for row in doubtful:
            measured.pop(row.name, None)
            if row.name in again:
                measured[row.name] = again[row.name]
    return bands.verdicts(stored, measured)


def measure_scenarios(chosen: list[Scenario], rounds: int) -> dict[str, Any]:
    """Measure some scenarios with the floor and our servers."""
    servers = [c for c in contenders.contenders(None) if c.name in bands.SERVERS]
    return {"runs": measure.measure_all(chosen, servers, rounds)}


def report(stored: dict[str, Any], found: list[bands.Verdict]) -> str:
    """Write the table, and what the two runs were made on."""
    here = measure.machine()
    lines = [
        bands.table(found),
        f"Stored: {described(stored['machine'], stored['versions'])}; {stored['date']}.",
        f"Measured: {described(here, contenders.own_versions())}.",
    ]
    if stored["machine"] != here:
        lines.append("These are different machines: ratios to the floor may differ for that alone.")
    if worse := [verdict.row.name for verdict in found if verdict.is_fault]:
        lines.append(f"\nWorse than its band, twice: {'; '.join(worse)}.")
    return "\n".join(lines) + "\n"


def described(machine: dict[str, str], versions: dict[str, str]) -> str:
    """Name a machine and versions in one line."""
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory']},"
        f" {machine['system']}; {names}"
    )


if __name__ == "__main__":
    main()
