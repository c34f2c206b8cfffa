"""Comments in pages that GitHub hides, and what the site makes of them.

`<!-- file: shop.py -->` and the like, before a code block, tell tests what to do with it
(`tests/support/documents.py`); on the site the name of the file becomes the title of the block.
`<!-- api: fraiseql_subs.Event -->` stands for the reference that is made of docstrings. For a
class that programs do not create, `<!-- api: fraiseql_subs.Server: url close -->` names the members
to show.
"""

from __future__ import annotations

import re
from typing import Any

MARKS = re.compile(r"^(?P<marks>(?:<!-- [a-z]+: .+? -->\n)+)```(?P<language>\w+)\n", re.MULTILINE)
NAME = re.compile(r"<!-- (?:run|file|client|test): (\S+) -->")
API = re.compile(r"^<!-- api: ([\w.]+)(?:: ([\w ]+))? -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put titles and references into a page."""
    return API.sub(reference, MARKS.sub(titled, markdown))


def reference(match: re.Match[str]) -> str:
    """Return the directive of mkdocstrings for a name."""
    name, members = match.groups()
    if members is None:
        return f"\n::: {name}\n"
    options = (
        f"        members: [{', '.join(members.split())}]\n        merge_init_into_class: false\n"
    )
    return f"\n::: {name}\n    options:\n{options}"


def titled(match: re.Match[str]) -> str:
    """Return the first line of a block with its title."""
    name = NAME.search(match["marks"])
    title = f' title="{name[1]}"' if name else ""
    return f"```{match['language']}{title}\n"
