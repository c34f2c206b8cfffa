"""The documents and their code blocks.

The line before a block says in a comment of HTML, which no reader sees, how the tests use it:

    <!-- run: smallest.py -->
    ```python

Several lines say several things. What each means is in `tests/unit/test_docs.py`.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from .paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
KINDS = "run|serve|file|client|test"
MARK = re.compile(rf"<!-- ({KINDS}): (.+?) -->\n")
BLOCK = re.compile(
    rf"^(?P<marks>(?:<!-- (?:{KINDS}): .+? -->\n)*)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# A mark that readers see, or one that belongs to no block.
SEEN = re.compile(rf"^\s*(?:#|//|--|<!--) ?(?:{KINDS}): ")


@dataclasses.dataclass
class Block:
    """A code block: its marks are pairs of a kind and a value."""

    page: Path
    line: int
    language: str
    code: str
    marks: list[tuple[str, str]]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def marked(self, *kinds: str) -> list[str]:
        return [value for kind, value in self.marks if kind in kinds]

    @property
    def name(self) -> str:
        """The name of the file that the block is."""
        return next(iter(self.marked("run", "file", "client", "test")), "")


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page that name their language.

    Raises:
        ValueError: a mark stands inside a block, where readers see it, or before none.
    """
    text = page.read_text()
    found = []
    for match in BLOCK.finditer(text):
        marks = MARK.findall(match["marks"])
        line = text.count("\n", 0, match.start("code"))
        found.append(Block(page, line, match["language"], match["code"], marks))
    for number, line in enumerate(BLOCK.sub(_hidden, text).splitlines(), 1):
        if SEEN.match(line):
            raise ValueError(
                f"{page}:{number}: {line.strip()!r}: write a mark as `<!-- run: name.py -->`,"
                " directly before the block"
            )
    return found


def _hidden(match: re.Match[str]) -> str:
    """Return a block without its marks, and with as many lines."""
    return "\n" * match["marks"].count("\n") + match[0][len(match["marks"]) :]
