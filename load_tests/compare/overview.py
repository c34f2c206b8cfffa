"""Draws the whole comparison in one picture: a line for each figure, a dot for each server.

The axis is the ratio to the floor of the same round, so that figures of different units fit on it.
Not here: the plots of single tables (plots.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from load_tests.compare.plots import COLOURS, picture, save, short
from load_tests.compare.report import FLOOR, OVERVIEW, Column, Table, ratio

NAME = "overview"
TITLE = "Multiples of the floor, the least is best: CPU time, latency, memory"
OURS = ("ours", "ours-resolver")
"""Whose dots are larger, and below those of the others, so that none is hidden."""

GROUPS = {
    "fan-out": "an event to {}, CPU",
    "pending": "16 events under way to {}, CPU",
    "rate": "1,000 deliveries a second, {}",
    "selective": "an event for one of {}, CPU",
    "idle": "{} idle connections, memory",
    "storm": "{} clients connect at once, CPU",
}
"""What the lines of a table are called."""


def draw(data: dict[str, Any], folder: Path) -> str:
    """Draw the picture, and return the part of the page that shows it."""
    lines = [
        (GROUPS[table.name].format(column.title), _dots(data, column), table)
        for table in OVERVIEW
        for column in table.columns
    ]
    save(folder, NAME, lambda ink: _figure(data, lines, ink))
    machine = data["machine"]
    return (
        f"{picture(NAME, TITLE)}\n{machine['processor']}, {machine['cores']} cores,"
        f" {machine['memory']}; {data['date']}. Each dot is the median of the ratios of a server to"
        " the floor of the same round: a bare loop that writes prepared frames. The figures are"
        " [below](#comparison-with-other-servers).\n"
    )


def _dots(data: dict[str, Any], column: Column) -> dict[str, float]:
    found = {server: ratio(data, column, server) for server in data["servers"] if server != FLOOR}
    return {server: value for server, value in found.items() if value}


def _figure(
    data: dict[str, Any], lines: list[tuple[str, dict[str, float], Table]], ink: str
) -> Figure:
    figure = Figure(figsize=(9, 0.3 * len(lines) + 1.2), layout="constrained")
    axes = figure.subplots()
    places = _places([table for _, _, table in lines])
    for place, (_, dots, _) in zip(places, lines, strict=True):
        if dots:
            # From the floor to the last server, so that the eye finds the line.
            axes.plot([1, max(dots.values())], [place, place], color=ink, alpha=0.18, zorder=1)
    for server, title in data["servers"].items():
        _server(axes, server, short(title), places, [dots.get(server) for _, dots, _ in lines])
    axes.axvline(1, color=COLOURS[FLOOR], linewidth=2, zorder=1)
    axes.set_yticks(places, [label for label, _, _ in lines])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g} \N{MULTIPLICATION SIGN}")
    axes.set_title(TITLE, color=ink, fontsize=10, loc="left")
    axes.tick_params(colors=ink, which="both")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=ink, alpha=0.12)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(ink)
    figure.legend(loc="outside right center", frameon=False, labelcolor=ink)
    return figure


def _places(tables: list[Table]) -> list[float]:
    """Put lines one below the other, with a gap between those of two tables."""
    places, place = [], 0.0
    for number, table in enumerate(tables):
        place += 1 if number and tables[number - 1] is table else 1.6
        places.append(place)
    return places


def _server(
    axes: Axes, server: str, title: str, places: list[float], values: list[float | None]
) -> None:
    points = [(x, y) for x, y in zip(values, places, strict=True) if x]
    if server == FLOOR:
        axes.plot([], [], color=COLOURS[FLOOR], linewidth=2, label=title)
    elif points:
        is_ours = server in OURS
        axes.plot(
            *zip(*points, strict=True),
            "o",
            color=COLOURS[server],
            markersize=9 if is_ours else 6,
            zorder=2 if is_ours else 3,
            label=title,
        )
