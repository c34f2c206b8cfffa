"""Draws the tables of `fraiseql-subs top` on a terminal, anew after each reading.

Not here: what is in them (`_top_sections`). Importing this needs the extra `cli`.
"""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import DataTable, Footer, Header, Label, RichLog

from ._top_metrics import MetricsReader, MetricsReading, MetricsUnreadable
from ._top_sections import Interval, TopSection, amount, sections

_LINES = 200
"""Warnings that are kept (count)."""


async def run_screen(reader: MetricsReader, place: str, interval: float) -> None:
    """Show the screen until the user ends it; see `TopApp`."""
    first = await reader.read()
    await TopApp(reader, first, place=place, interval=interval).run_async()


class TopApp(App[None]):
    """The screen.

    Args:
        reader: Reads the metrics.
        first: What it has read.
        place: The server, for the title.
        interval: Time between two readings (seconds).
    """

    TITLE = "fraiseql-subs top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("p", "pause", "Pause"),
    ]
    CSS = """
    VerticalScroll { height: 1fr; }
    SectionBox { height: auto; margin: 0 1 1 1; }
    SectionBox Label { text-style: bold; }
    DataTable { height: auto; }
    #warnings { height: 8; border-top: solid $warning; }
    """

    def __init__(
        self, reader: MetricsReader, first: MetricsReading, *, place: str, interval: float
    ) -> None:
        super().__init__()
        self._reader = reader
        self._shown = Interval(None, first)
        self._interval = interval
        self._place = place
        self._problem = ""
        # They stay to the end, as a reading may come while the screen is taken down.
        self._boxes = [SectionBox(section) for section in sections(self._shown)]
        self._warnings = RichLog(id="warnings", max_lines=_LINES, wrap=True)
        self._warnings.border_title = "Newest warnings"
        self.is_paused = False

    def compose(self) -> ComposeResult:
        """Return the parts of the screen."""
        yield Header(show_clock=True)
        yield VerticalScroll(*self._boxes)
        yield self._warnings
        yield Footer()

    async def on_mount(self) -> None:
        """Show the first reading, and go on."""
        self._entitle()
        self._show()
        self.run_worker(self._read_on())

    def action_pause(self) -> None:
        """Stop reading, or go on."""
        self.is_paused = not self.is_paused
        self._entitle()

    async def _read_on(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if self.is_paused:
                continue
            try:
                reading = await self._reader.read()
            except MetricsUnreadable as error:
                self._problem = f"not read: {error}"
            else:
                self._problem = ""
                self._shown = Interval(self._shown.now, reading)
                self._show()
            self._entitle()

    def _entitle(self) -> None:
        """Show the server, and why the tables may not be new."""
        state = "paused" if self.is_paused else self._problem
        self.sub_title = f"{self._place}: {state}" if state else self._place

    def _show(self) -> None:
        for box, section in zip(self._boxes, sections(self._shown), strict=True):
            box.show(section)
        since = "since its start" if self._shown.before is None else time.strftime("%H:%M:%S")
        for name, rise in self._shown.rises().items():
            self._warnings.write(f"{since}  {name} +{amount(rise)}")


class SectionBox(Vertical):
    """A table below its title; there while it has a row."""

    def __init__(self, section: TopSection) -> None:
        title = section.title.lower()
        super().__init__(id="".join(each if each.isalnum() else "-" for each in title))
        self._title = Label(section.title)
        self._table = DataTable[Text](show_cursor=False)

    def compose(self) -> ComposeResult:
        """Return its parts."""
        yield self._title
        yield self._table

    def show(self, section: TopSection) -> None:
        """Show what is new."""
        self.display = bool(section.rows)
        columns = [str(column.label) for column in self._table.columns.values()]
        is_other = columns != list(section.columns)
        self._table.clear(columns=is_other)
        if is_other:
            self._table.add_columns(*section.columns)
        # Plain text, as a name may look like markup.
        self._table.add_rows([Text(cell) for cell in row] for row in section.rows)
