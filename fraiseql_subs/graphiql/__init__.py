"""The page for browsers: GraphiQL with all its assets in one file.

`make graphiql` builds `index.html` from npm packages; it loads nothing from other servers.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from functools import lru_cache
from pathlib import Path

PAGE = Path(__file__).with_name("index.html")


_SCRIPT = re.compile(rb"<script>(.*)</script>", re.DOTALL)

_POLICY = (
    "default-src 'none'; script-src {script}; style-src 'unsafe-inline'; font-src data:; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Content security policy of the page: its own script, by its hash, and requests to its own server.

The script creates styles at run time, so they have no hash.
"""


def read_page() -> tuple[bytes, str] | None:
    """Read the page and its content security policy; None in a checkout where it was not built."""
    return _read(PAGE, PAGE.stat().st_mtime_ns) if PAGE.exists() else None


@lru_cache(maxsize=1)
def _read(page: Path, changed: int) -> tuple[bytes, str]:
    # Cached, as all managers of a process share it.
    html = page.read_bytes()
    script = _SCRIPT.search(html)
    digest = hashlib.sha256(script[1] if script else b"").digest()
    return html, _POLICY.format(script=f"'sha256-{b64encode(digest).decode()}'")
