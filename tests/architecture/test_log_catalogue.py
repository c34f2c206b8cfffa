"""Checks that the catalogue of log events has exactly the events that the code can write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from support.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "logs.md"
PACKAGE = ROOT / "fraiseql_subs"
ROW = re.compile(r"^\| `[a-z_]+\.[a-z_]+` \| [A-Z]+ \|.*$", re.MULTILINE)
MACRO = re.compile(r"\btracing::(trace|debug|info|warn|error)!\(")
TARGETS = {"AUDIT": "audit", "CONNECTIONS": "connections"}
LIBRARY = "library.failed"


class Event(NamedTuple):
    name: str | None
    level: str
    logger: str
    fields: frozenset[str]


def sources() -> list[Path]:
    paths = (ROOT / "rust").glob("*/src/**/*.rs")
    return [path for path in paths if "tests" not in path.parts and path.name != "tests.rs"]


def code_of(path: Path) -> str:
    text = path.read_text()
    return re.sub(r"#\[cfg\(test\)\]\s*(?:pub\S* )?mod \w+ \{.*", "", text, flags=re.DOTALL)


def arguments_at(text: str, start: int) -> list[str]:
    """The arguments of the macro whose first argument begins at `start`."""
    arguments, argument, depth, end = list[str](), "", 1, start
    while depth:
        string = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL).match(text, end)
        part = string[0] if string else text[end]
        depth += part.count("(") - part.count(")") if not string else 0
        if (part == "," and depth == 1) or not depth:
            arguments.append(" ".join(argument.split()))
            argument = ""
        else:
            argument += part
        end += len(part)
    return [argument for argument in arguments if argument]


def logger_of(target: str | None, path: Path) -> str:
    if target is None:
        return path.relative_to(ROOT / "rust").parts[0]
    if target in TARGETS:
        return TARGETS[target]
    return target.strip('"').removeprefix("fraiseql_subs").removeprefix(".")


def written_by_the_core() -> list[Event]:
    events = []
    for path in sources():
        text = code_of(path)
        for macro in MACRO.finditer(text):
            arguments = arguments_at(text, macro.end())
            options = dict(
                argument.split(": ", 1)
                for argument in arguments
                if re.match(r"(name|target): ", argument)
            )
            name = options.get("name")
            fields = [
                argument.split(" = ", 1)[0].lstrip("?%")
                for argument in arguments
                if not argument.startswith(("name: ", "target: ", '"'))
            ]
            events.append(
                Event(
                    None if name is None else name.strip('"'),
                    {"warn": "WARNING"}.get(macro[1], macro[1].upper()),
                    logger_of(options.get("target"), path),
                    frozenset(field for field in fields if re.fullmatch(r"[a-z_]+", field)),
                )
            )
    return events


def written_by_python() -> set[str]:
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        found |= set(re.findall(r'\bevent(?:=| = |, event = .*?, )"([a-z_]+\.[a-z_]+)"', text))
        found |= set(re.findall(r'_tell\("([a-z_]+\.[a-z_]+)"', text))
        found |= set(re.findall(r'fields, event = .*"([a-z_]+\.[a-z_]+)"', text))
    return found


def catalogue() -> dict[str, Event]:
    rows = ROW.findall(PAGE.read_text())
    events = {}
    for row in rows:
        name, level, logger, _, fields = (cell.strip() for cell in row.strip("|").split("|"))
        named = frozenset(re.findall(r"`([a-z_]+)`", fields))
        events[name.strip("`")] = Event(name.strip("`"), level, logger.strip("`"), named)
    assert len(events) == len(rows), "an event is listed twice"
    return events


STANDARD = {"connection", "operation", "field", "event", "user", "tenant", "check"}


def test_each_record_of_the_core_has_a_name():
    events = written_by_the_core()
    assert len(events) > 70
    assert [event for event in events if event.name is None] == []


def test_the_catalogue_has_exactly_the_events_that_are_written():
    written = {event.name for event in written_by_the_core()} | written_by_python() | {LIBRARY}
    assert catalogue().keys() == written


def test_levels_loggers_and_fields_are_those_of_the_catalogue():
    listed = catalogue()
    fields: dict[str, set[str]] = {}
    for event in written_by_the_core():
        assert event.name is not None
        known = listed[event.name]
        assert (event.level, event.logger) == (known.level, known.logger), event.name
        fields.setdefault(event.name, set()).update(event.fields - STANDARD)
    assert fields == {name: set(listed[name].fields) for name in fields}
