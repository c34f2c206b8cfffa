"""How `fraiseql-subs serve` serves by other processes: `--processes` and `--reload`.

Not here: what starts and watches them (`processes`), and what they do (`serve`).
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from .._program import say
from .._settings import DEFAULT_HOST, DEFAULT_PORT, check_address, check_drain
from ..config import Drain
from ..errors import ConfigurationError
from ..manager import SubscriptionManager
from ..processes.hangups import Hangups
from ..processes.sockets import Sockets, open_sockets
from ..processes.supervisor import supervise
from ._options import option_text
from ._serve_log import ServeLog
from ._target import app_folder

MAX_PROCESSES = 256
"""The most processes that share a port (count)."""

SETTINGS = {
    "host": "--host",
    "port": "--port",
    "unix": "--unix",
    "path": "--path",
    "tls": "--tls-cert",
    "TLS.cert": "--tls-cert",
    "TLS.key": "--tls-key",
    "workers": "--workers",
    "drain": "--drain",
    "Drain.seconds": "--drain",
    "Drain.ready_delay": "--ready-delay",
    "Drain.closes_per_second": "--closes-per-second",
    "trusted_proxies": "--trusted-proxy",
    "proxy_protocol": "--proxy-protocol",
    "root_path": "--root-path",
    "publish_key": "--publish-key-file",
    "publish_path": "--publish-path",
}
"""The option of each setting of a server."""


def drain_of(options: dict[str, Any]) -> Drain:
    """Return how the options say to drain.

    Raises:
        ConfigurationError: A value is out of its range.
    """
    return replace(
        check_drain(options["drain"]),
        ready_delay=options["ready_delay"],
        closes_per_second=options["closes_per_second"],
    )


def check_engine(manager: SubscriptionManager, count: int) -> None:
    """Refuse several processes on the memory bus.

    Raises:
        click.UsageError: The manager has no engine.
    """
    if not manager.has_engine:
        raise click.UsageError(
            f"--processes {count}: without an engine an event reaches only the clients of the"
            ' process that publishes it: write SubscriptionManager(..., bus="redis://127.0.0.1:6379"'
            "), or the URL of NATS or PostgreSQL"
        )


def serve_by_processes(address: dict[str, Any], options: dict[str, Any], log: ServeLog) -> int:
    """Serve by other processes with this command line; return the exit status.

    Args:
        address: Host and port, or the unix socket.
        options: All options.
        log: What this process writes.

    Raises:
        click.UsageError: The options are invalid.
    """
    _check(options)
    # As early as it can be: SIGHUP would end this process.
    hangups = Hangups() if not options["reload"] else None
    folder = app_folder(options["app_dir"])
    host, port = address.get("host", DEFAULT_HOST), address.get("port", DEFAULT_PORT)
    unix = address.get("unix")
    try:
        has_tls = options["tls_cert"] is not None
        check_address(host, port, unix, has_tls=has_tls, reuse_port=False)
        drain_of(options)
    except ConfigurationError as error:
        raise click.UsageError(option_text(error, SETTINGS)) from None
    log.configure()
    try:
        with open_sockets(host, port, unix, options["processes"]) as sockets:
            return asyncio.run(_serving(sockets, folder, options, hangups))
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None


def _check(options: dict[str, Any]) -> None:
    name = "--reload" if options["reload"] else "--processes"
    if options["reload"] and options["processes"] > 1:
        raise click.UsageError("--reload and --processes: reloading serves by one process")
    if os.name == "nt":
        raise click.UsageError(f"{name} needs Linux or macOS: on Windows serve without it")
    if options["reload"]:
        try:
            importlib.import_module("watchfiles")
        except ImportError:
            text = "--reload needs watchfiles: pip install 'fraiseql-subs[cli]'"
            raise click.ClickException(text) from None


def _serving(
    sockets: Sockets, folder: Path, options: dict[str, Any], hangups: Hangups | None
) -> Coroutine[Any, Any, int]:
    drain = drain_of(options).longest
    if hangups is not None:
        return supervise(
            sockets,
            options["processes"],
            drain=drain,
            start_timeout=options["start_timeout"],
            announce=announce_server,
            hangups=hangups,
        )
    # Needs watchfiles.
    from ..processes.reloader import serve_and_reload

    return serve_and_reload(sockets, folder, drain=drain, announce=announce_server)


def announce_server(text: str) -> None:
    """Print where clients are served; the text is empty where the log says it."""
    if text:
        say(text, is_logged=False)
