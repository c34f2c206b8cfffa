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


def connect() -> socket.socket:
    """Connect to the server of this container."""
    unix, cert, proxied = (read(name) for name in ("UNIX", "TLS_CERT", "PROXY_PROTOCOL"))
    if unix:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.settimeout(TIMEOUT)
        opened.connect(unix)
    else:
        host = read("HOST") or "127.0.0.1"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        opened = socket.create_connection((host, int(read("PORT") or "8000")), TIMEOUT)
    if proxied.lower() in ("1", "true", "t", "yes", "y", "on"):
        # A connection without a client, as proxies make it to see whether a server is there.
        opened.sendall(b"PROXY UNKNOWN\r\n")
    if not cert:
        return opened
    # The certificate is for the name that clients use.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(opened)


def read(name: str) -> str:
    """Return a setting of the server; empty: it has its default."""
    return os.environ.get(PREFIX + name, "")


def main() -> int:
    """Return the exit status; docker keeps what is printed."""
    client = http.client.HTTPConnection("localhost")
    try:
        client.sock = connect()
        client.request("GET", "/health/live")
        response = client.getresponse()
        print(response.status, response.read(200).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        print(f"{error!r}: does the server listen where {PREFIX}HOST and {PREFIX}PORT say?")
        if read("PROXY_PROTOCOL"):
            print(f"{PREFIX}TRUSTED_PROXY has to have the address that this check comes from")
        return 1
    finally:
        client.close()
    return int(response.status != 200)


if __name__ == "__main__":
    sys.exit(main())
