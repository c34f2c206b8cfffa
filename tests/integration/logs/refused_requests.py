"""A program that has a server refuse many requests: `python refused_requests.py PORT COUNT SIZE`.

The requests come from a page that is not listed, with an origin of `SIZE` characters.
"""

from __future__ import annotations

import socket
import sys
import threading

PIPELINED = 16
"""Small requests that are sent together (count); a large one is refused before the next is read."""


def refuse(port: int, count: int, size: int) -> None:
    """Be refused `count` times; a refusal ends its connection."""
    head = (
        "POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Origin: https://{'x' * size}.example\r\nContent-Length: 0\r\n\r\n"
    )
    pipelined = PIPELINED if size < 100 else 1
    requests = head.encode() * pipelined
    for _ in range(0, count, pipelined):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            responses = connection.makefile("rb")
            connection.sendall(requests)
            for _ in range(pipelined):
                status, length = responses.readline(), 0
                assert status.startswith(b"HTTP/1.1 403 "), status
                while (line := responses.readline()) != b"\r\n":
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                responses.read(length)


def main() -> None:
    port, count, size = map(int, sys.argv[1:])
    share = (port, count // 2, size)
    threads = [threading.Thread(target=refuse, args=share) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
