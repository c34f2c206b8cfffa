"""The page for browsers: GraphiQL, with everything it needs in one file.

`index.html` is made from npm packages by `make graphiql`; it loads nothing from elsewhere.
"""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).with_name("index.html")


def read_page() -> bytes | None:
    """Read the page; None in a checkout where it was not made."""
    return PAGE.read_bytes() if PAGE.exists() else None
