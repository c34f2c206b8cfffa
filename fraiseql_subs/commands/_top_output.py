"""Prints what `fraiseql-subs top` has read, where there is no screen.

Not here: what is in it (`_top_sections`). Importing this needs the extra `cli`.
"""

from __future__ import annotations

import asyncio

import click

from ._printable import printable_json
from ._top_metrics import MetricsReader
from ._top_sections import Interval, TopSection, as_json, sections


async def print_tables(reader: MetricsReader, interval: float) -> None:
    """Print the tables of two readings."""
    first = await reader.read()
    await asyncio.sleep(interval)
    shown = [each for each in sections(Interval(first, await reader.read())) if each.rows]
    click.echo("\n\n".join("\n".join(_lines(section)) for section in shown))


async def print_readings(reader: MetricsReader, interval: float, *, is_one: bool) -> None:
    """Print a line of JSON for each reading but the first, for ever or once."""
    last = await reader.read()
    while True:
        await asyncio.sleep(interval)
        shown = Interval(last, await reader.read())
        click.echo(printable_json(as_json(shown)))
        if is_one:
            return
        last = shown.now


def _lines(section: TopSection) -> list[str]:
    """Return a table in lines: names to the left, values to the right."""
    rows = [(section.title, *section.columns[1:]), *section.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in rows
    ]
