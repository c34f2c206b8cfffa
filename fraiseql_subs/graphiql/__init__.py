"""The page for browsers: GraphiQL, with everything it needs in one file.

`index.html` is made from npm packages by `make graphiql`; it loads nothing from elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from pathlib import Path

PAGE = Path(__file__).with_name("index.html")


_SCRIPT = re.compile(rb"<script>(.*)</script>", re.DOTALL)

_POLICY = (
    "default-src 'none'; script-src {script}; style-src 'unsafe-inline'; font-src data:; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What the page may do: run its own script, which is known by its hash, and ask its own server.

Styles are made by the script as it runs, so they have no hash.
"""


def read_page() -> tuple[bytes, str] | None:
    """Read the page and its content policy; None in a checkout where it was not made."""
    if not PAGE.exists():
        return None
    html = PAGE.read_bytes()
    script = _SCRIPT.search(html)
    digest = hashlib.sha256(script[1] if script else b"").digest()
    return html, _POLICY.format(script=f"'sha256-{b64encode(digest).decode()}'")
