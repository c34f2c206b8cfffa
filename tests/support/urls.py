"""URLs of servers, which tests have for WebSockets."""

from __future__ import annotations

from urllib.parse import urlsplit


def http_url(url: str) -> str:
    """Return the URL for HTTP of a URL for WebSockets; `https` of `wss`."""
    return "http" + url.removeprefix("ws")


def address_of(url: str) -> tuple[str, int]:
    """Return the host and the port of a URL."""
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None, url
    return parts.hostname, parts.port
