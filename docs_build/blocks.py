"""Comments in pages that GitHub hides, and what the site makes of them.

`<!-- file: shop.py -->` and the like, before a code block, tell tests what to do with it
(`tests/support/documents.py`); on the site the name of the file becomes the title of the block.
`<!-- api: fraiseql_subs.Event -->` stands for the reference that is made of docstrings.
"""

from __future__ import annotations

import re
from typing import Any

MARKS = re.compile(r"^(?P<marks>(?:<!-- [a-z]+: .+? -->\n)+)```(?P<language>\w+)\n", re.MULTILINE)
NAME = re.compile(r"<!-- (?:run|file|client|test): (\S+) -->")
API = re.compile(r"^<!-- api: (\S+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put titles and references into a page."""
    return API.sub(r"\n::: \1\n", MARKS.sub(titled, markdown))


def titled(match: re.Match[str]) -> str:
    """Return the first line of a block with its title."""
    name = NAME.search(match["marks"])
    title = f' title="{name[1]}"' if name else ""
    return f"```{match['language']}{title}\n"
