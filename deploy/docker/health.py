"""The health check of the image: ends with 0 if the server of this container answers.

It asks for `/health/live`, which is 200 also while the engine is away or the server drains: no
restart would help. Where the server listens is read from the variables of `fraiseql-subs serve`.
Not here: whether clients should be sent to it, which `/health/ready` says to load balancers.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import sys

TIMEOUT = 2.0
"""Less than that of the health check, so that the reason is told (seconds)."""

PREFIX = "FRAISEQL_SUBS_"


class UnixConnection(http.client.HTTPConnection):
    """HTTP at a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = path

    def connect(self) -> None:
        """Connect to the path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self.path)


def connection() -> http.client.HTTPConnection:
    """Return a connection to the server of this container, which is opened when it is used."""
    unix, cert = (os.environ.get(PREFIX + name) for name in ("UNIX", "TLS_CERT"))
    host = os.environ.get(PREFIX + "HOST", "127.0.0.1")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    port = int(os.environ.get(PREFIX + "PORT", "8000"))
    if unix:
        return UnixConnection(unix)
    if not cert:
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    # The certificate is for the name that clients use.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context)


def main() -> int:
    """Return the exit status; docker keeps what is printed."""
    opened = connection()
    try:
        opened.request("GET", "/health/live")
        response = opened.getresponse()
        print(response.status, response.read(200).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        print(f"{error!r}: does the server listen where {PREFIX}HOST and {PREFIX}PORT say?")
        return 1
    finally:
        opened.close()
    return int(response.status != 200)


if __name__ == "__main__":
    sys.exit(main())
