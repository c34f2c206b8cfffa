"""The page for browsers: GraphiQL, with everything it needs in one file.

`index.html` is made from npm packages by `make graphiql`; it loads nothing from elsewhere.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

PAGE = Path(__file__).with_name("index.html")


def read_page() -> bytes | None:
    """Read the page; None in a checkout where it was not made."""
    return _read(PAGE, PAGE.stat().st_mtime_ns) if PAGE.exists() else None


@lru_cache(maxsize=1)
def _read(page: Path, changed: int) -> bytes:
    # All managers of a process share it.
    return page.read_bytes()
