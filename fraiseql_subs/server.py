"""The embedded server inside a running asyncio program."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import Self

from .errors import ConfigurationError
from .security import TLS

if TYPE_CHECKING:
    from .manager import SubscriptionManager


_log = logging.getLogger("fraiseql_subs.server")


def refuse_running_loop() -> None:
    """Check that no event loop runs on this thread.

    Raises:
        ConfigurationError: One does.
    """
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise ConfigurationError(
            "run() makes an event loop, and one runs here already: use"
            " `async with manager.serve(...)` in a coroutine"
        )


class Server:
    """The embedded actix-web server; made by `SubscriptionManager.serve`.

    Listens inside `async with`. Leaving it drains the server, and closes the manager if entering
    had started it.

    Attributes:
        host: Address it is bound to.
        port: Port it is bound to; known once it listens.
        path: Path of the GraphQL endpoint.
        unix: Path of the unix socket it listens at; None: it listens at host and port.
    """

    def __init__(
        self,
        manager: SubscriptionManager,
        host: str,
        port: int,
        path: str,
        drain: float,
        tls: TLS | None = None,
        *,
        unix: str | Path | None = None,
        reuse_port: bool = False,
    ) -> None:
        self.host = host
        self.port = port
        self.path = path
        self.unix = None if unix is None else str(unix)
        self._reuse_port = reuse_port
        self._manager = manager
        self._drain = drain
        self._tls = tls
        self._owns_manager = False

    @property
    def url(self) -> str:
        """URL for WebSocket clients, such as `ws://127.0.0.1:8000/graphql`; `wss` with TLS."""
        scheme = "ws" if self._tls is None else "wss"
        return f"{scheme}://{self._authority}{self.path}"

    @property
    def http_url(self) -> str:
        """URL for HTTP clients and browsers, `http://127.0.0.1:8000/graphql`; `https` with TLS."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{self._authority}{self.path}"

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    async def __aenter__(self) -> Self:
        core = self._manager._core
        self._owns_manager = not core.is_running
        core.start()
        try:
            bound = core.serve(
                self.host,
                self.port,
                self.path,
                None if self._tls is None else self._tls.read(),
                self.unix,
                self._reuse_port,
            )
            if bound is not None:
                self.host, self.port = bound
        except BaseException:
            if self._owns_manager:
                core.stop()
            raise
        if self._manager._security.is_open and not ipaddress.ip_address(self.host).is_loopback:
            _log.warning(
                "anybody who reaches %s may subscribe, from any page: give the manager a"
                " Security(...), or bind 127.0.0.1 behind a proxy that authenticates",
                self.url,
            )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._owns_manager:
            await self._manager.close(drain=self._drain)
        elif self._manager._core.is_running:
            await self._manager._core.drain(self._drain, False)
