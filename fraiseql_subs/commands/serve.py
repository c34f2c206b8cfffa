"""The command `fraiseql-subs serve`: serves the manager of a module.

Not here: how the manager is found (`_target`), how it serves (`_program`), and what starts several
processes (`_processes`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from .._program import Main, check_main, serve_with
from .._settings import PUBLISH_PATH
from ..config import DRAIN
from ..errors import ConfigurationError
from ..manager import SubscriptionManager
from ..processes.supervised import Supervised
from ..security import TLS
from ..server import Server
from ._options import option_text
from ._processes import (
    MAX_PROCESSES,
    SETTINGS,
    announce_server,
    check_engine,
    drain_of,
    serve_by_processes,
)
from ._publish_keys import KEY, read_publish_keys
from ._serve_log import ServeLog
from ._target import TargetError, find_attribute, load_manager, load_module
from ._traceback import told

_Function = TypeVar("_Function", bound=Callable[..., Any])

_LEVELS = ("debug", "info", "warning", "error")

_EPILOG = """\b
Examples:
  fraiseql-subs serve app:manager
  fraiseql-subs serve app:manager --host 0.0.0.0 --port 8443 --tls-cert cert.pem --tls-key key.pem
  fraiseql-subs serve app:create_manager --main app:publish --log-level debug
  fraiseql-subs serve app --unix /run/app.sock
  fraiseql-subs serve app:manager --processes 4
  fraiseql-subs serve app:manager --reload
  fraiseql-subs serve app:manager --publish-key-file /run/secrets/publish_key

The exit status is 0 after a drain (SIGTERM, Ctrl-C, or the end of --main), 1 if it cannot serve,
--main raises or a process had to be killed, 2 for an invalid command line.
A second signal ends the drain at once. SIGHUP replaces --processes one by one.
"""


def _option(name: str, **settings: Any) -> Callable[[_Function], _Function]:
    """Declare an option whose default may be an environment variable."""
    variable = "FRAISEQL_SUBS_" + name.removeprefix("--").upper().replace("-", "_")
    return click.option(name, envvar=variable, show_envvar=True, **settings)


@click.command("serve", short_help="Serve the manager of a module.", epilog=_EPILOG)
@click.argument("target")
@_option("--host", metavar="HOST", help="Name or address to bind (default: 127.0.0.1).")
@_option("--port", metavar="PORT", type=int, help="Port; 0 picks a free one (default: 8000).")
@_option("--unix", metavar="PATH", help="Unix socket to listen at, in place of host and port.")
@_option("--path", default="/graphql", show_default=True, help="Path of the GraphQL endpoint.")
@_option("--tls-cert", metavar="FILE", help="Certificate chain, PEM; with --tls-key.")
@_option("--tls-key", metavar="FILE", help="Private key, PEM.")
@_option("--workers", metavar="COUNT", type=int, help="Threads that host connections.")
@_option(
    "--processes",
    metavar="COUNT",
    type=click.IntRange(1, MAX_PROCESSES),
    default=1,
    show_default=True,
    help="Processes that share the port, and are replaced when they end; needs an engine.",
)
@_option(
    "--start-timeout",
    metavar="SECONDS",
    type=click.FloatRange(0, 86_400, min_open=True),
    default=300.0,
    show_default=True,
    help="Time that one of --processes has to begin to serve; then it is killed.",
)
@_option("--reload", is_flag=True, help="Start again when a file of the program changes.")
@_option(
    "--drain",
    metavar="SECONDS",
    type=float,
    default=DRAIN,
    show_default=True,
    help="Time that running operations have to end.",
)
@_option(
    "--ready-delay",
    metavar="SECONDS",
    type=float,
    default=0.0,
    show_default=True,
    help="Time before the drain in which /health/ready is 503 and clients are let in.",
)
@_option(
    "--closes-per-second",
    metavar="COUNT",
    type=float,
    help="Most connections that a process closes in one second while it drains (default: 20).",
)
@_option("--compression", is_flag=True, help="Compress results for WebSockets that offer it.")
@_option(
    "--trusted-proxy",
    metavar="NETWORK",
    multiple=True,
    help='Proxy whose X-Forwarded-For or Forwarded is believed: an address, a network, or "unix".',
)
@_option(
    "--publish-key-file",
    metavar="FILE",
    help="Keys with which programs publish by POST, one in each line; without it they are those of"
    f" the environment variable {KEY}.",
)
@_option("--publish-path", default=PUBLISH_PATH, show_default=True, help="Path of such a POST.")
@_option(
    "--proxy-protocol",
    is_flag=True,
    help="Each connection is a --trusted-proxy's, and begins with a header of the PROXY protocol.",
)
@_option(
    "--root-path",
    metavar="PATH",
    default="",
    help="Prefix under which proxies show the server, such as /shop.",
)
@_option("--main", metavar="MODULE:FUNCTION", help="Async function to run beside, to publish.")
@_option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How the log is written to stderr, unless the module configures logging.",
)
@_option(
    "--log-level",
    type=click.Choice(_LEVELS),
    default="info",
    show_default=True,
    help="Least level of the log, on stderr, unless the module configures logging.",
)
@_option(
    "--app-dir", metavar="FOLDER", default=".", help="Folder of the module (default: this one)."
)
@click.pass_context
def command(context: click.Context, /, target: str, **options: Any) -> int:
    """Serve the manager of a module until SIGTERM or Ctrl-C.

    TARGET is module:manager, the module and the name of its SubscriptionManager, or of a function
    that returns one; or a module that has one manager.
    """
    log = ServeLog(options)
    try:
        return _serve(context, target, options, log)
    except click.ClickException as error:
        if not log.is_json:
            raise
        # Who collects the log wants to read there why the program has ended.
        log.fail(error.format_message())
        context.exit(error.exit_code)


def _serve(context: click.Context, target: str, options: dict[str, Any], log: ServeLog) -> int:
    _check_tls(options)
    _check_proxies(options)
    address = _address(context, options)
    supervised = Supervised.of_environment()
    if supervised is not None:
        context.call_on_close(supervised.close)
    elif options["processes"] > 1 or options["reload"]:
        return serve_by_processes(address, options, log)
    manager = load_manager(target, options["app_dir"])
    if options["processes"] > 1:
        check_engine(manager, options["processes"])
    main = _main(options["main"], options["app_dir"])
    # What the module has configured stays.
    is_logged = log.configure()
    keys, source = read_publish_keys(options["publish_key_file"])
    try:
        if options["workers"] is not None:
            manager.workers = options["workers"]
        if supervised is not None:
            address = {"listener": supervised.listen()}
        server = _server(manager, address, keys, options)
    except ConfigurationError as error:
        text = option_text(error, {**SETTINGS, "publish_key": source})
        raise click.UsageError(text) from None
    # A traceback that shows variables must not show the keys.
    del keys
    return _run(
        server,
        main,
        supervised,
        drain=drain_of(options).longest,
        has_page=manager.has_page,
        is_logged=is_logged,
    )


def _check_tls(options: dict[str, Any]) -> None:
    if (options["tls_cert"] is None) != (options["tls_key"] is None):
        missing = "--tls-key" if options["tls_key"] is None else "--tls-cert"
        raise click.UsageError(f"{missing} is missing: TLS needs the certificate and its key")


def _check_proxies(options: dict[str, Any]) -> None:
    if options["proxy_protocol"] and not options["trusted_proxy"]:
        raise click.UsageError(
            "--trusted-proxy is missing: --proxy-protocol lets in the connections of those alone"
        )


def _address(context: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Return host and port, or the unix socket, as far as they are given."""
    given = {name: options[name] for name in ("host", "port") if options[name] is not None}
    if options["unix"] is None:
        return given
    by_line = [
        name for name in given if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if context.get_parameter_source("unix") is ParameterSource.COMMANDLINE or by_line == []:
        if by_line:
            text = f"--unix and --{by_line[0]}: a Unix socket has no {by_line[0]}; use one of them"
            raise click.UsageError(text)
        return {"unix": options["unix"]}
    # The command line counts more than the environment.
    return given


def _main(target: str | None, app_dir: str) -> Main | None:
    if target is None:
        return None
    module, name = load_module(target, app_dir)
    if not name:
        raise click.UsageError("--main: write module:function, such as app:publish")
    main: Main = find_attribute(module, name)
    try:
        check_main(main)
    except ConfigurationError as error:
        # It names the function by its representation, or `main` as what is called.
        text = str(error).replace(f"main={main!r}", target).replace("main is", f"{target} is", 1)
        raise click.UsageError(f"--main: {option_text(text, {})}") from None
    return main


def _server(
    manager: SubscriptionManager,
    address: dict[str, Any],
    keys: list[str] | None,
    options: dict[str, Any],
) -> Server:
    cert, key = options["tls_cert"], options["tls_key"]
    return manager.serve(
        **address,
        path=options["path"],
        tls=None if cert is None else TLS(cert=cert, key=key),
        drain=drain_of(options),
        compression=options["compression"],
        trusted_proxies=options["trusted_proxy"],
        publish_key=keys,
        publish_path=options["publish_path"],
        proxy_protocol=options["proxy_protocol"],
        root_path=options["root_path"],
    )


def _run(
    server: Server,
    main: Main | None,
    supervised: Supervised | None,
    *,
    drain: float,
    has_page: bool,
    is_logged: bool,
) -> int:
    has_served = False

    def announce(server: Server) -> None:
        nonlocal has_served
        has_served = True
        text = _announcement(server, has_page=has_page, is_logged=is_logged)
        if supervised is None:
            announce_server(text)
        else:
            supervised.follow(server, text, drain=drain)

    if supervised is not None and main is not None:
        main = functools.partial(supervised.run, main)
    try:
        # Ctrl-C before the server has started.
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve_with(server, main, announce))
    except Exception as error:
        if has_served:
            raise TargetError(told(error, "--main raises")) from None
        if isinstance(error, ConfigurationError):
            raise click.ClickException(option_text(error, SETTINGS)) from None
        raise
    return 0


def _announcement(server: Server, *, has_page: bool, is_logged: bool) -> str:
    """Return the line that says the URLs; on a terminal there is a page to open as well."""
    has_terminal = sys.stdout is not None and sys.stdout.isatty()
    if is_logged and not has_terminal:
        return ""
    text = f"serving GraphQL subscriptions on {server.url} and {server.http_url}"
    if server.publish_url is not None:
        text += f", programs publish to {server.publish_url}"
    if has_page and server.unix is None and has_terminal:
        text += f"\nopen {_page(server)} in a browser"
    return text


def _page(server: Server) -> str:
    """Return the URL of GraphiQL on this machine."""
    if ipaddress.ip_address(server.host).is_unspecified:
        return server.http_url.replace(f"//{server.host}:", "//127.0.0.1:").replace(
            f"//[{server.host}]:", "//[::1]:"
        )
    return server.http_url
