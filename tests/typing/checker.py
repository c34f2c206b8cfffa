"""The report of `mypy --strict` on programs of users, by file."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from mypy import api

STRICT = ["--strict", "--warn-unreachable", "--no-error-summary"]
SAID = re.compile(r"^(?P<path>.+?):(?P<line>\d+): (?P<severity>\w+): (?P<text>.*)$")
EXPECTED = re.compile(r"  # error: (?P<text>.+)$")


def check(paths: Iterable[Path], cache: Path, *options: str) -> str:
    """Return the report on programs; the checker keeps its data on the package in `cache`."""
    arguments = [*STRICT, *options, f"--cache-dir={cache}", *map(str, paths)]
    report, problem, _ = api.run(arguments)
    assert not problem, problem
    return report


def by_file(report: str) -> dict[str, list[tuple[int, str]]]:
    """Return the errors of a report, as lines and texts, by the name of the file."""
    errors: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for said in filter(None, map(SAID.match, report.splitlines())):
        if said["severity"] == "error":
            errors[Path(said["path"]).name].append((int(said["line"]), said["text"]))
    return errors


def expected(path: Path) -> list[tuple[int, str]]:
    """Return the lines that must be reported, each with a part of its message."""
    return [
        (number, found["text"])
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (found := EXPECTED.search(line))
    ]
