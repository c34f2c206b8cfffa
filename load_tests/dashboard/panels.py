"""Reads the panels of the dashboard and draws what their queries return, in its layout.

Not here: the nodes, their load and Prometheus.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, MultipleLocator
from PIL import Image

Query: TypeAlias = Callable[[str], list[Any]]
"""Returns the series of an expression, as the HTTP API of Prometheus has them."""

COLUMNS = 24
"""Width of a dashboard in its own units."""

WIDTH, ROW = 15.0, 0.32
"""Width of the picture, and height of one unit of the dashboard (inches)."""

LABELS = 8
"""Series of a panel that its legend names (count)."""

UNITS: dict[str, Any] = {
    "s": EngFormatter("s", sep=" "),
    "bytes": FuncFormatter(lambda value, _: f"{value / 1024**2:,.3g} MiB"),
    "ops": FuncFormatter(lambda value, _: f"{value:,.3g}/s"),
    "short": FuncFormatter(lambda value, _: f"{value:,.3g}"),
}
"""How the units of Grafana are written."""


@dataclass(frozen=True)
class Target:
    """One query of a panel.

    Attributes:
        expression: It, with the variables of the dashboard.
        legend: How its series are called, with `{{label}}`.
    """

    expression: str
    legend: str

    def name(self, labels: dict[str, str]) -> str:
        """Return what the legend says of a series."""
        return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), self.legend)


@dataclass(frozen=True)
class Panel:
    """A panel of the dashboard.

    Attributes:
        title: Its title.
        unit: Its unit, as Grafana calls it.
        place: Its `x`, `y`, `w` and `h`.
        targets: Its queries.
    """

    title: str
    unit: str
    place: dict[str, int]
    targets: tuple[Target, ...]


def panels(file: Path) -> list[Panel]:
    """Read the panels of a dashboard."""
    return [
        Panel(
            title=panel["title"],
            unit=panel["fieldConfig"]["defaults"]["unit"],
            place=panel["gridPos"],
            targets=tuple(
                Target(target["expr"], target["legendFormat"]) for target in panel["targets"]
            ),
        )
        for panel in json.loads(file.read_text())["panels"]
    ]


def filled(expression: str, interval: str) -> str:
    """Fill in the variables of the dashboard: all jobs and instances."""
    for name, value in {"$__rate_interval": interval, "$job": ".*", "$instance": ".*"}.items():
        expression = expression.replace(name, value)
    return expression


def picture(chosen: list[Panel], query: Query, interval: str) -> tuple[bytes, list[str]]:
    """Draw the panels as PNG. Returns the titles of those that have no data, too."""
    rows = max(panel.place["y"] + panel.place["h"] for panel in chosen)
    figure = Figure(figsize=(WIDTH, rows * ROW), layout=None)
    empty = []
    with mpl.rc_context({"font.size": 7.5, "axes.grid": True, "grid.alpha": 0.3}):
        for panel in chosen:
            x, y, width, height = (panel.place[name] for name in "xywh")
            box = (
                (x + 1.1) / COLUMNS,
                1 - (y + height - 2.2) / rows,
                (width - 1.5) / COLUMNS,
                (height - 3.3) / rows,
            )
            if not draw(figure.add_axes(box), panel, query, interval):
                empty.append(panel.title)
    whole = io.BytesIO()
    figure.savefig(whole, format="png", dpi=100, facecolor="white")
    # Few colours are used.
    small = io.BytesIO()
    Image.open(whole).convert("RGB").quantize(256).save(small, "PNG", optimize=True)
    return small.getvalue(), empty


def finite(series: Any) -> list[tuple[float, float]]:
    """Return time and value of each point; a quantile of nothing is no number."""
    points = ((float(at), float(value)) for at, value in series["values"])
    return [point for point in points if math.isfinite(point[1])]


def draw(axes: Axes, panel: Panel, query: Query, interval: str) -> bool:
    """Draw one panel. Returns whether it has data."""
    axes.set_title(panel.title, loc="left", fontsize=9, fontweight="bold")
    lines = [
        (target.name(series["metric"]), points)
        for target in panel.targets
        for series in query(filled(target.expression, interval))
        if (points := finite(series))
    ]
    # The legend has those that can be seen.
    lines.sort(key=lambda line: -max(value for _, value in line[1]))
    for number, (name, points) in enumerate(lines):
        times, values = zip(*points, strict=True)
        label = name or panel.title if number < LABELS else None
        axes.plot(times, values, linewidth=1, label=label)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MultipleLocator(60))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at / 60:.0f} min"))
    axes.yaxis.set_major_formatter(UNITS[panel.unit])
    axes.spines[["top", "right"]].set_visible(False)
    if lines:
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(-0.02, -0.13),
            ncols=min(4, len(lines)),
            fontsize=6,
            frameon=False,
            handlelength=1.2,
            columnspacing=1.0,
        )
    else:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color="#777777")
    return bool(lines)
