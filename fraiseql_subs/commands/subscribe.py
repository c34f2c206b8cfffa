"""The command `fraiseql-subs subscribe`: sends an operation to a server, and prints its results.

Not here: the server it names (`_endpoint`), protocols, and how it connects again
(`_subscribe_session`).
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from ._endpoint import Endpoint, endpoint_options, read_endpoint
from ._extra import require
from ._subscribe_request import SentOperation, Transport
from ._subscribe_session import Session, SessionOptions, counted

WEBSOCKET = ("graphql-transport-ws", "graphql-ws")
HTTP = ("sse", "multipart", "http")

_EPILOG = """\b
Examples:
  fraiseql-subs subscribe ws://127.0.0.1:8000/graphql 'subscription { orders { id } }'
  fraiseql-subs subscribe https://example.com/graphql @orders.graphql --variables '{"user": 7}'
  fraiseql-subs subscribe ws://127.0.0.1:8000 'subscription { orders { id } }' --count 1 --json
  fraiseql-subs subscribe unix:/run/app.sock '{ __typename }'

The exit status is 0 when the operation is complete or --count is reached, 1 after an error, also in
a result, and when the time is over, 2 for an invalid command line, 130 after Ctrl-C.
"""


@click.command("subscribe", short_help="Print what a subscription receives.", epilog=_EPILOG)
@click.argument("url")
@click.argument("document")
@click.option(
    "--protocol",
    type=click.Choice(["auto", *WEBSOCKET, *HTTP]),
    default="auto",
    show_default=True,
    help="auto: WebSocket for ws, wss and unix; for http and https what the server prefers.",
)
@click.option("--variables", metavar="JSON", help="Variables; @FILE reads a file, - stdin.")
@click.option("--operation", metavar="NAME", help="Operation of a document that has several.")
@endpoint_options
@click.option(
    "--init-payload", metavar="JSON", help="Members of the payload of connection_init; or @FILE."
)
@click.option("--count", metavar="COUNT", type=click.IntRange(min=1), help="End after so many.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="End after this time, with status 1.",
)
@click.option("--after", metavar="ID", help="Begin with the events after this id.")
@click.option("--no-reconnect", is_flag=True, help="End when the connection is lost.")
@click.option(
    "--json", "as_json", is_flag=True, help="One line for each result, on a terminal too."
)
def command(
    url: str,
    document: str,
    *,
    protocol: str,
    variables: str | None,
    operation: str | None,
    token: str | None,
    headers: tuple[str, ...],
    ca: str | None,
    insecure: bool,
    init_payload: str | None,
    count: int | None,
    timeout: float | None,
    after: str | None,
    no_reconnect: bool,
    as_json: bool,
) -> int:
    """Send an operation to the server at URL, and print its results.

    DOCUMENT is the text of a GraphQL document; @FILE reads a file, - stdin. When the connection of
    a subscription is lost, the command connects again, and continues after the last result.
    """
    if document == variables == "-":
        raise click.UsageError("DOCUMENT and --variables: stdin is one of them")
    endpoint = read_endpoint(url, token=token, headers=headers, ca=ca, insecure=insecure)
    endpoint = endpoint.with_path("/graphql")
    text = _read(document, "DOCUMENT")
    if not text.strip():
        raise click.UsageError("the document is empty: write 'subscription { ... }'")
    values = _read_object(variables, "--variables")
    init = _read_object(init_payload, "--init-payload")
    transport = _transport(endpoint, protocol, token, init)
    options = SessionOptions(
        place=endpoint.place,
        count=count,
        after=after,
        reconnects=not no_reconnect,
        is_pretty=not as_json and sys.stdout.isatty(),
    )
    session = Session(SentOperation(text, values, operation), transport, options)
    return asyncio.run(_run(session, timeout))


async def _run(session: Session, timeout: float | None) -> int:
    try:
        return await asyncio.wait_for(session.run(), timeout)
    except asyncio.TimeoutError:
        text = f"{counted(session.results)} within {timeout:g} s, and the operation goes on"
        raise click.ClickException(text) from None


def _transport(
    endpoint: Endpoint, protocol: str, token: str | None, init: dict[str, Any] | None
) -> Transport:
    is_auto_http = protocol == "auto" and endpoint.is_http and not endpoint.is_plain_unix
    if is_auto_http or protocol in HTTP:
        if init is not None:
            raise click.UsageError("--init-payload: requests over HTTP have none: write ws://")
        require("httpx", "subscribe")
        from ._subscribe_http import http_transport

        return http_transport(endpoint, protocol)
    for library in ("websockets", "httpx"):
        require(library, "subscribe")
    from ._subscribe_websocket import websocket_transport

    if token:
        # Where servers look for it; browsers send no header.
        init = {"authorization": f"Bearer {token}", "token": token, **(init or {})}
    subprotocols = WEBSOCKET if protocol == "auto" else (protocol,)
    return websocket_transport(endpoint, subprotocols, init)


def _read_object(value: str | None, name: str) -> dict[str, Any] | None:
    if value is None:
        return None
    text = _read(value, name)
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{name} is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise click.UsageError(f"""{name}: write a JSON object, such as '{{"id": 7}}'""")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _read(value: str, name: str) -> str:
    """Return a text, or that of the file or of stdin that it names."""
    try:
        if value == "-":
            text = sys.stdin.buffer.read()
        elif value.startswith("@"):
            text = Path(value[1:]).read_bytes()
        else:
            return value
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError(f"{name}: {value} is not UTF-8") from None
    except OSError as error:
        raise click.UsageError(f"{name}: {value[1:]} cannot be read: {error.strerror}") from None
