"""The server that a command line names: its URL, headers, token and certificates.

Not here: what is asked of it.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies

import click

from .._core import __version__
from .._settings import is_header_text

if TYPE_CHECKING:
    import httpx

TOKEN = "FRAISEQL_SUBS_TOKEN"
"""Environment variable with the default of `--token`."""

CONNECT_TIMEOUT = 10.0
"""How long a server may take to accept a connection (seconds)."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

_SCHEMES = {"ws": False, "wss": True, "http": False, "https": True}
_UNIX = re.compile(r"(?:(?P<scheme>ws|http)\+)?unix:(?!//)(?P<socket>[^:]+)(?::(?P<path>/.*))?")
_UNIX_URL = re.compile(r"(?P<scheme>ws|http)\+unix://(?P<socket>[^/]+)(?P<path>/.*)?")
_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
"""What a client of TLS makes of an answer without it."""
_ALERT = re.compile(r"\x15\x03|\\x15\\x03|illegal (?:status|request) line")
"""What a client makes of the alert with which a server of TLS refuses a request without it."""
_NO_ANSWER = re.compile(
    "disconnected without sending|closed while reading HTTP|closed connection without response"
)
_PROBES = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""How a lost network is noticed while a server has nothing to say (seconds, seconds, count)."""


@dataclass(frozen=True)
class Endpoint:
    """Where a server is, and what each request carries.

    Attributes:
        url: Its URL, as ws, wss, http or https; of a unix socket with the host `localhost`.
        unix: Path of the unix socket; None: host and port of the URL.
        is_plain_unix: Whether the unix socket was named without a protocol.
        headers: Name and value of each header, the token among them.
        tls: How certificates are verified; None without TLS.
    """

    url: SplitResult
    unix: str | None
    is_plain_unix: bool
    headers: tuple[tuple[str, str], ...]
    tls: ssl.SSLContext | None

    @property
    def is_http(self) -> bool:
        """Whether the URL is one of HTTP."""
        return self.url.scheme.startswith("http")

    @property
    def http_url(self) -> str:
        """The URL for requests over HTTP."""
        return self._with_scheme("http").geturl()

    @property
    def ws_url(self) -> str:
        """The URL for WebSockets."""
        return self._with_scheme("ws").geturl()

    def _with_scheme(self, scheme: str) -> SplitResult:
        return self.url._replace(scheme=scheme if self.tls is None else f"{scheme}s")

    @property
    def place(self) -> str:
        """What messages name: without the query, which may have a token."""
        if self.unix is not None:
            return f"unix:{self.unix}:{self.url.path}"
        return self.url._replace(query="").geturl()

    def with_path(self, path: str) -> Endpoint:
        """Return the same server with another path where the URL had none."""
        return self if self.url.path else replace(self, url=self.url._replace(path=path))

    def client(self, *, timeout: float | None) -> httpx.AsyncClient:
        """Return a client of HTTP.

        Args:
            timeout: How long it waits for data (seconds); None: without an end.
        """
        import httpx

        verify = True if self.tls is None else self.tls
        options: dict[str, Any] = {
            "headers": {"user-agent": USER_AGENT},
            "timeout": httpx.Timeout(timeout, connect=CONNECT_TIMEOUT),
        }
        if self.unix is None and getproxies():
            return httpx.AsyncClient(verify=verify, **options)
        transport = httpx.AsyncHTTPTransport(
            verify=verify, uds=self.unix, socket_options=None if self.unix else _probes()
        )
        return httpx.AsyncClient(transport=transport, **options)


USER_AGENT = f"fraiseql-subs/{__version__}"


def _probes() -> list[tuple[int, int, int]]:
    probes = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in _PROBES.items():
        if hasattr(socket, name):
            probes.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return probes


def endpoint_options(function: _Function) -> _Function:
    """Declare the options that `read_endpoint` takes."""
    for option in (
        click.option("--insecure", is_flag=True, help="Accept any certificate."),
        click.option("--ca", metavar="FILE", help="Certificate authorities to trust, PEM."),
        click.option(
            "--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="Header to send."
        ),
        click.option(
            "--token",
            envvar=TOKEN,
            metavar="TOKEN",
            help=f"Bearer token (default: ${TOKEN}, which other users do not see).",
        ),
    ):
        function = option(function)
    return function


def read_endpoint(
    url: str, *, token: str | None, headers: Sequence[str], ca: str | None, insecure: bool
) -> Endpoint:
    """Return the server of a command line.

    Raises:
        click.UsageError: The URL or an option is wrong.
    """
    parts, unix, is_plain_unix = _read_url(url)
    is_tls = _SCHEMES[parts.scheme]
    if not is_tls and (ca or insecure):
        option = "--ca" if ca else "--insecure"
        raise click.UsageError(f"{option} is for TLS: write a URL of wss:// or https://")
    sent = [_read_header(header) for header in headers]
    if token:
        if not is_header_text(token):
            raise click.UsageError(
                "the token has characters such as white space or the end of a line; remove them"
            )
        if any(name.lower() == "authorization" for name, _ in sent):
            raise click.UsageError("--token is the header Authorization: use one of them")
        sent.append(("Authorization", f"Bearer {token}"))
    tls = _read_tls(ca, insecure=insecure) if is_tls else None
    return Endpoint(parts, unix, is_plain_unix, tuple(sent), tls)


def _read_url(url: str) -> tuple[SplitResult, str | None, bool]:
    if (found := _UNIX.fullmatch(url)) or (found := _UNIX_URL.fullmatch(url)):
        path = found["socket"] if found.re is _UNIX else unquote(found["socket"])
        scheme, rest = found["scheme"], found["path"] or ""
        return urlsplit(f"{scheme or 'http'}://localhost{rest}"), path, scheme is None
    try:
        parts = urlsplit(url)
        is_right = bool(parts.hostname) and parts.port != 0 and url.isascii() and url.isprintable()
    except ValueError:
        is_right = False
    if not is_right or parts.scheme not in _SCHEMES:
        raise click.UsageError(
            "the URL is wrong: write ws://host:8000/graphql, wss:, http:, https:, or"
            " unix:/run/app.sock"
        )
    if parts.username is not None or parts.password is not None:
        raise click.UsageError(
            "the URL has a user or a password: use --token, or --header 'Authorization: ...'"
        )
    return parts._replace(fragment=""), None, False


def _read_header(header: str) -> tuple[str, str]:
    name, colon, value = header.partition(":")
    value = value.strip()
    if not colon or not _NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
        raise click.UsageError("--header: write 'Name: value' in visible ASCII characters")
    return name, value


def _read_tls(ca: str | None, *, insecure: bool) -> ssl.SSLContext:
    if ca is not None and insecure:
        raise click.UsageError("--insecure accepts any certificate: leave --ca out")
    if ca is not None and not Path(ca).is_file():
        raise click.UsageError(f"--ca: there is no file {ca}")
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ValueError):
        raise click.UsageError(f"--ca: {ca} cannot be read as certificates in PEM") from None
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def tls_problem(error: BaseException, *, has_tls: bool) -> str | None:
    """Return what is wrong if only one of client and server speaks TLS; None: it is another thing.

    Args:
        error: Why there is no connection.
        has_tls: Whether the client speaks TLS.
    """
    for each in _causes(error):
        text = str(each)
        if has_tls and isinstance(each, ssl.SSLError) and each.reason in _NO_TLS:
            return "the server does not speak TLS there: write ws:// or http://"
        if not has_tls and _ALERT.search(text):
            return "the server speaks TLS there: write wss:// or https://"
        if not has_tls and _NO_ANSWER.search(text):
            return "the server closed the connection: if it speaks TLS, write wss:// or https://"
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """Return an exception, and what has caused it; the first cause is the last."""
    causes = [error]
    while isinstance(cause := causes[-1].__cause__ or causes[-1].__context__, Exception):
        causes.append(cause)
    return causes


def cause_of(error: BaseException, endpoint: Endpoint) -> str:
    """Return why there is no connection, as the system says it."""
    if (problem := tls_problem(error, has_tls=endpoint.tls is not None)) is not None:
        return problem
    seen = _causes(error)[-1]
    if isinstance(seen, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({seen.verify_message}): use --ca FILE"
    if isinstance(seen, OSError) and seen.strerror:
        # That of asyncio names the address again; what has none of the system is below zero.
        number = 0 if isinstance(seen, ssl.SSLError) else seen.errno or 0
        return os.strerror(number) if number > 0 else seen.strerror
    return str(seen) or str(error) or type(error).__name__
