"""Draws what was measured as SVG, once for readers on white and once for those on black.

Not here: which figures there are (report.py), all in one picture (overview.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from load_tests.compare.report import Table, figures

COLOURS = {
    "floor": "#8a8f98",
    "floor-threads": "#5c636a",
    "floor-asyncio": "#a47148",
    "floor-uvloop": "#d4a373",
    "ours": "#e8590c",
    "ours-resolver": "#f59f00",
    "ours-batch": "#fab005",
    "async-graphql": "#4c6ef5",
    "graphql-ws": "#0ca678",
    "mercurius": "#15aabf",
    "strawberry": "#e64980",
    "ariadne": "#ae3ec9",
    "floor-redis": "#5c636a",
    "floor-redis-threads": "#8a8f98",
    "floor-redis-asyncio": "#a47148",
    "ours-redis": "#c2255c",
    "ours-redis-live": "#f783ac",
    "strawberry-redis": "#7048e8",
    "graphql-redis": "#2b8a3e",
    "ours-nats": "#e8590c",
    "ours-jetstream": "#f59f00",
    "ours-postgres": "#4c6ef5",
    "ours-table": "#15aabf",
    "ours-outbox": "#7048e8",
    "graphql-nats": "#0ca678",
    "strawberry-postgres": "#ae3ec9",
    "graphql-postgres": "#5c636a",
}
INK = {"light": "#1f2328", "dark": "#e6edf3"}
LINES = ("fan-out", "selective")
"""Tables whose columns are sizes that grow; of the others bars are drawn."""

SVG = {
    # Text stays text, and two drawings of the same figures are the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "compare",
    "font.family": "sans-serif",
    "font.size": 10,
}


def draw(data: dict[str, Any], tables: tuple[Table, ...], folder: Path) -> dict[str, str]:
    """Draw each of the tables that has figures, and return the Markdown that shows it."""
    images = {}
    folder.mkdir(exist_ok=True)
    for table in tables:
        series = _series(data, table)
        if not series or not table.has_plot:
            continue
        save(folder, table.name, partial(_figure, table, series, data["servers"]))
        images[table.name] = picture(table.name, table.title)
    return images


def save(folder: Path, name: str, figure: Callable[[str], Figure]) -> None:
    """Write a drawing once for each theme; it is made with the colour of the theme's text."""
    for theme, ink in INK.items():
        with mpl.rc_context(SVG):
            file = folder / f"{name}-{theme}.svg"
            figure(ink).savefig(file, format="svg", transparent=True, metadata={"Date": None})


def short(title: str) -> str:
    """Return how a legend calls a server."""
    return title.split(":")[0]


def _series(data: dict[str, Any], table: Table) -> dict[str, list[float | None]]:
    """Medians of each server, one for each column."""
    found = {}
    for server in data["servers"]:
        rounds = [figures(data, column, server).values() for column in table.columns]
        values = [median(row) if row else None for row in rounds]
        if any(values):
            found[server] = values
    return found


def _figure(
    table: Table, series: dict[str, list[float | None]], titles: dict[str, str], ink: str
) -> Figure:
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    draw_series = _lines if table.name in LINES else _bars
    draw_series(axes, table, series, {s: short(title) for s, title in titles.items()})
    axes.set_title(table.title, color=ink, fontsize=10, loc="left")
    axes.tick_params(colors=ink, which="both")
    axes.grid(axis="y", color=ink, alpha=0.15)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(ink)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    figure.legend(loc="outside right center", frameon=False, labelcolor=ink)
    return figure


def _lines(
    axes: Axes, table: Table, series: dict[str, list[float | None]], titles: dict[str, str]
) -> None:
    sizes = [int(column.title.replace(",", "")) for column in table.columns]
    for server, values in series.items():
        points = [(x, y) for x, y in zip(sizes, values, strict=True) if y]
        axes.plot(*zip(*points, strict=True), "o-", color=COLOURS[server], label=titles[server])
    axes.set_xscale("log")
    axes.set_xticks(sizes, [column.title for column in table.columns])
    axes.minorticks_off()


def _bars(
    axes: Axes, table: Table, series: dict[str, list[float | None]], titles: dict[str, str]
) -> None:
    width = 0.8 / len(series)
    for place, (server, values) in enumerate(series.items()):
        left = [column - 0.4 + (place + 0.5) * width for column in range(len(values))]
        heights = [value or 0 for value in values]
        axes.bar(left, heights, width * 0.9, color=COLOURS[server], label=titles[server])
    axes.set_xticks(range(len(table.columns)), [column.title for column in table.columns])


def picture(name: str, title: str) -> str:
    """Write the Markdown that shows a drawing."""
    file = f"images/{name}"
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{file}-dark.svg">\n'
        f'  <img alt="{title}" src="{file}-light.svg">\n'
        "</picture>\n"
    )
