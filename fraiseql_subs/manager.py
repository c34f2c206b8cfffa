"""The manager: an application creates it, starts it, publishes to it and closes it.

Not here: rules of the protocol and of security, which are in the compiled core.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import logging
import os
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, TypeVar, overload

from typing_extensions import Self

from . import decorators
from ._building import Declarations, build
from ._bus import MEMORY, BusOptions, OnUnavailable
from ._core import Core
from ._core_handle import CoreHandle
from ._declared import Declared
from ._listeners import check_listener
from ._loading import refuse_while_loading
from ._measuring import Measuring
from ._membership import Membership, check_node_name, check_unready_after
from ._ownership import Entered, Ownership
from ._placement import Placement
from ._program import Main, announce, check_main, serve_with
from ._publishing import Publishing
from ._records import records
from ._reporting import MetricsHook, check_metrics, reporting
from ._settings import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    PUBLISH_PATH,
    check_address,
    check_drain,
    check_flag,
    check_history,
    check_workers,
    items,
)
from ._site import Site
from .config import (
    DEFAULT_DRAIN,
    DEFAULT_HISTORY,
    DRAIN,
    KEEPALIVE_PATIENCE,
    TRANSPORTS,
    Drain,
    History,
    Identity,
    Limits,
    Transport,
    check_transports,
)
from .definition import Definition
from .delegate import ContextGetter, Delegate
from .engines import Nats, Postgres, Redis
from .errors import ConfigurationError
from .executor import Executor
from .given_schema import read_schema
from .graphiql import read_page
from .response_stream import ResponseStream
from .schema.enums import check_enums, enum_table
from .schema.markers import Scalar, check_scalars
from .security import TLS, Security
from .server import Server, refuse_running_loop
from .tracing import Tracing, check_tracing
from .trusted import TrustedDocuments, read_trusted_documents

_log = logging.getLogger("fraiseql_subs.manager")

_Function = TypeVar("_Function", bound=Callable[..., Any])


class SubscriptionManager(Publishing, Membership, Placement, Declared, Measuring):
    """Serves declared subscriptions to sockets and in process, and accepts events for them.

    Args:
        subscriptions: Decorated functions, passthroughs, or modules that contain some.
        schema: None: built from the type hints of the subscriptions. Or SDL, as text or as the
            path of a file. Or a schema of Strawberry, Ariadne or graphql-core: its own executor
            runs its queries, its mutations, and the subscriptions that are not in `subscriptions`.
        bus: What carries events between processes. `"memory://"`: there is one process. A URL of
            Redis or Valkey, `"redis://..."`, `"rediss://..."` (TLS) or `"redis+sentinel://..."`:
            events reach the subscribers of every process with the same URL. A URL of NATS,
            `"nats://..."` or `"tls://..."`: the same over NATS. A URL of PostgreSQL,
            `"postgresql://..."`: events are part of transactions, and may be published by SQL.
            `Redis(...)`, `Nats(...)` and `Postgres(...)`: the same, with what a URL cannot say.
        sources: Databases whose events enter the bus through one of the nodes: what is published in
            them by SQL, and changes of their tables. The bus is a Redis or NATS with history.
        on_unavailable: What publishing does while the engine cannot be reached. `"wait"`: it waits
            up to `publish_timeout`. `"fail"`: it raises at once. `"queue"`: it is done at once,
            and the event is sent within 60 s or lost; 16,384 events and 16 MiB are queued at most.
        publish_timeout: Time that `publish` waits for the engine's answer (seconds).
        node_name: What other processes show this one as, at most 128 bytes; None: host and process.
        unready_after: Time without the engine after which `/health/ready` and `is_ready()` say that
            clients should be sent elsewhere (seconds); None: never. Clients stay connected.
        metrics: Function that is called with what was counted since its last call, a list of
            `MetricSample`, on a thread of its own: at each interval, and when the manager ends.
        metrics_interval: Time between two such calls (seconds).
        tracing: Whether spans of OpenTelemetry are made, if the program has set a tracer provider
            when the manager starts; `Tracing(...)`: how.
        security: Checks that clients have to pass; None: every client may connect, from any page.
        limits: Bounds of queues, messages and documents.
        history: Events that are kept for clients that reconnect; None: none.
        workers: Threads that host connections (count); None: one for each core, at most 4.
        debug: Whether clients receive the text of a resolver's exception. Not for production.
        introspection: Whether clients may ask for the schema.
        trusted_documents: None: any document is served, and clients may send the hash of one that
            they have sent before (automatic persisted queries). Or the only documents that are
            served: a mapping of ids to texts, or the path of a JSON file with such an object or of
            an Apollo manifest.
        context_getter: Function, async or not, that takes a `Context` and returns the context value
            for the executor of `schema`; None: the context value is the `Context`.
        root_value: Root value for that executor: the first parameter of resolvers of root fields;
            or a function, async or not, that takes a `Context` and returns it.
        transports: Enabled transports: the subprotocols `"graphql-transport-ws"` and
            `"graphql-ws"`, operations by `"get"` and by `"post"`, and subscriptions over HTTP as
            `"sse"` and `"multipart"`. Clients that use another one are refused with close code
            4406, or status 405 or 406.
        graphiql: Whether to serve GraphiQL to browsers, a page to try operations in.
        scalars: Custom scalars of a schema in SDL; scalars in type hints need not be repeated.
        enums: Enum classes of a schema in SDL, so that their members can be published. Classes in
            type hints need not be repeated; schemas of Strawberry, Ariadne and graphql-core contain
            theirs.

    Raises:
        SchemaError: The subscriptions do not fit each other or the schema.
        ConfigurationError: An argument is out of its range.
    """

    def __init__(
        self,
        subscriptions: Iterable[Callable[..., Any] | Definition | ModuleType] = (),
        schema: str | Path | object | None = None,
        bus: str | Redis | Nats | Postgres = MEMORY,
        security: Security | None = None,
        limits: Limits | None = None,
        history: History | None = DEFAULT_HISTORY,
        workers: int | None = None,
        debug: bool = False,
        *,
        introspection: bool = True,
        trusted_documents: TrustedDocuments | None = None,
        context_getter: ContextGetter | None = None,
        root_value: Any = None,
        transports: Collection[Transport] = TRANSPORTS,
        scalars: Iterable[Scalar] = (),
        enums: Iterable[type[enum.Enum]] = (),
        graphiql: bool = True,
        on_unavailable: OnUnavailable = "wait",
        publish_timeout: float = 5.0,
        node_name: str | None = None,
        unready_after: float | None = None,
        sources: Sequence[Postgres] = (),
        metrics: MetricsHook | None = None,
        metrics_interval: float = 10.0,
        tracing: bool | Tracing = True,
    ) -> None:
        bus_options = BusOptions(bus, on_unavailable, publish_timeout, sources)
        for name, value, kind in (("security", security, Security), ("limits", limits, Limits)):
            if not (value is None or isinstance(value, kind)):
                raise ConfigurationError(f"{name}={value!r}: pass {kind.__name__}(...), or None")
        check_history(history)
        if workers is None:
            workers = min(os.cpu_count() or 1, 4)
        check_workers(workers)
        check_flag("debug", debug)
        check_flag("introspection", introspection)
        check_flag("graphiql", graphiql)
        check_node_name(node_name)
        check_unready_after(unready_after)
        check_metrics(metrics, metrics_interval)
        self._declarations = Declarations(
            read_schema(schema, context_getter, root_value, debug=debug),
            decorators.collect(subscriptions),
            check_scalars(items("scalars", scalars, 'scalars=[Scalar("Base64")]')),
            [enum_table(cls) for cls in check_enums(items("enums", enums, "enums=[Status]"))],
        )
        security, limits = security or Security(), limits or Limits()
        if limits.is_keepalive_slow:
            records.write(
                _log,
                logging.WARNING,
                "Limits.keepalive is %g s: clients of the older graphql-ws subprotocol are sent no"
                " `ka`, as they disconnect when one is not followed by the next within %g s; set"
                " less than that if there are such clients",
                limits.keepalive,
                KEEPALIVE_PATIENCE,
                event="keepalive.slow",
            )
        self._options = {
            "limits": limits,
            "bus": bus_options,
            "history": history,
            "security": security,
            "trusted_documents": read_trusted_documents(trusted_documents),
            "introspection": introspection,
            "transports": check_transports(transports),
            "debug": debug,
            "page": read_page() if graphiql else None,
            "workers": workers,
            "node_name": node_name,
            "unready_after": unready_after,
            "report": reporting(metrics, metrics_interval),
            "tracing": check_tracing(tracing),
        }
        self._handle = CoreHandle(
            self._declared(),
            is_open=security.is_open,
            is_isolated=security.tenant is not None,
            has_transactions=bus_options.has_transactions,
            max_message_bytes=limits.max_message_bytes,
            request_timeout=limits.request_timeout,
        )
        self._entered = Entered()
        self._executor = Executor(self._handle)
        if self._declarations.definitions or isinstance(self._declarations.schema, Delegate):
            # Builds the core now, so that a faulty declaration raises here and not at the first
            # client.
            _ = self._core

    def _declared(self) -> Callable[[], Core]:
        """Return a function that builds the core and does not refer to the manager."""
        return partial(build, self._declarations, self._options)

    @property
    def _core(self) -> Core:
        return self._handle.core

    @overload
    def subscription(self, fn: _Function, /) -> _Function: ...

    @overload
    def subscription(
        self, fn: None = None, /, **options: Any
    ) -> Callable[[_Function], _Function]: ...

    def subscription(self, fn: Any = None, /, **options: Any) -> Any:
        """Declare and register a subscription; takes the options of `subscription`."""

        def register(function: _Function) -> _Function:
            if self._handle.is_running:
                name = getattr(function, "__name__", repr(function))
                raise ConfigurationError(
                    f"{name} is declared after the manager was started: declare subscriptions first"
                )
            decorated = decorators.subscription(**options)(function)
            definitions = decorators.collect([*self._declarations.definitions, decorated])
            self._declarations = dataclasses.replace(self._declarations, definitions=definitions)
            self._handle.build_with(self._declared())
            return decorated

        return register if fn is None else register(fn)

    def sdl(self) -> str:
        """Return the served schema, as SDL."""
        return self._core.sdl

    def validate(self, document: str) -> None:
        """Check a document as that of a client, without running it; the manager need not run.

        Syntax, the schema, and `Limits` of documents are checked, but neither variables nor
        permissions. Documents that are not in `trusted_documents` are checked too.

        Args:
            document: GraphQL text.

        Raises:
            ValidationError: A client would be refused; `errors` has `locations`.
        """
        self.summarize(document)

    @property
    def executor(self) -> Executor:
        """The low-level interface, for use with your own transport."""
        return self._executor

    async def start(self) -> None:
        """Start the actors on the running event loop, also after `close`.

        Serving, publishing and subscribing start a manager that was never started; `start` does so
        earlier, or again. Starting twice is allowed. When the event loop that a manager was started
        on ends, the manager stops, and its next use starts it on the loop of the caller.

        Raises:
            ConfigurationError: It runs on an event loop of another thread.
        """
        self._core.start()

    async def close(self, *, drain: float | Drain = DRAIN) -> None:
        """Refuse new clients, finish running operations, close all connections and stop.

        Queries, mutations and source streams have `drain` seconds to end. Subscriptions receive the
        events that were published before. Then, or after `drain` seconds, WebSockets are closed
        with 1001 and streams over HTTP end without `complete`, so that clients reconnect to the
        next server; many connections are closed one after the other, first those whose clients are
        behind or far away. Events are accepted until the last connection is closed. In-process
        subscriptions end: their iteration stops after the events that were published before.

        Returns when all threads have ended. Closing twice is allowed, also concurrently: both calls
        wait for the same end, and the drain that is over first ends it. While the drain waits for
        operations, a record of level INFO has their number.

        Args:
            drain: Time that running operations have to end (seconds, at least 0); or `Drain(...)`,
                which also sets how clients are sent away.

        Raises:
            ConfigurationError: `drain` is not such a time; nothing was closed.
        """
        await self._handle.close(check_drain(drain))

    async def __aenter__(self) -> Self:
        """Start the manager unless it is running.

        Blocks may be nested, in called functions or in other tasks: the last one to leave closes
        the manager, and only if one of them had started it.
        """
        self._entered.add(Ownership.enter(self._handle))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ownership = self._entered.take()
        if ownership is None:
            return await self.close()
        await ownership.leave(DEFAULT_DRAIN)

    def serve(
        self,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        *,
        path: str = "/graphql",
        tls: TLS | None = None,
        drain: float | Drain = DRAIN,
        unix: str | Path | None = None,
        reuse_port: bool = False,
        publish_key: str | Collection[str] | None = None,
        publish_path: str = PUBLISH_PATH,
        compression: bool = False,
        trusted_proxies: Collection[str] = (),
        proxy_protocol: bool = False,
        root_path: str = "",
        listener: socket.socket | None = None,
    ) -> Server:
        """Serve WebSocket and HTTP clients: `async with manager.serve(...) as server`.

        The server also serves `/health`, `/health/live`, `/health/ready` and `/metrics`.

        Args:
            host: Name or address to bind.
            port: Port to bind; 0 picks a free one, which is `server.port`.
            path: Path of the GraphQL endpoint; literal, not a pattern, and none of the paths above.
            tls: Certificate and key; None: no TLS.
            drain: Time that running operations have to end at shutdown (seconds), or `Drain(...)`;
                see `close`.
            unix: Path of a unix socket to listen at, instead of host and port, which must not be
                passed then; it is removed at the end.
            reuse_port: Whether other processes may listen on the same port, so that the system
                distributes clients among them (`SO_REUSEPORT`).
            publish_key: Key with which programs publish by `POST` at `publish_path`, as
                `authorization: Bearer <key>`; or several, of which each is valid. At least 16
                characters. None: nothing is published over HTTP.
            publish_path: Path at which they publish, as `path`; another one.
            compression: Whether messages of WebSockets are compressed for clients that offer
                permessage-deflate: results of 1 to 256 KiB, once for all their receivers. On an
                encrypted connection, the sizes of compressed results may reveal a secret to an
                observer who can put text of their own into the same results.
            trusted_proxies: Proxies whose `X-Forwarded-For` and `X-Forwarded-Host`, or `Forwarded`
                (RFC 7239), are believed: their addresses or networks, such as `["10.0.0.0/8"]`, or
                "unix" for those that connect to a unix socket. Rates, `remote_address`, the list
                of connections and the log then have the address of the client, and `hosts` and
                `origins` look at the host that it has asked for. Behind a proxy that sets one of
                the two headers, have it remove the other: if they differ, neither is believed.
            proxy_protocol: Whether each connection begins with a header of the PROXY protocol,
                version 1 or 2, which then tells the address of the client. Connections that are not
                of `trusted_proxies`, or have no such header, are closed.
            root_path: Prefix under which proxies show the server, such as "/shop". All paths are
                served with and without it, and URLs of the server have it.
            listener: A socket that listens, of TCP or a Unix socket, which another part of the
                program or another program has opened, in place of `host`, `port` and `unix`. It is
                copied, and stays open, but no longer blocks: all who have it share that.

        Raises:
            ConfigurationError: An argument is out of its range. When entered: the address cannot be
                bound, or certificate and key cannot be used.
        """
        site = Site.read(
            path,
            root_path,
            publish_key,
            publish_path,
            compression=compression,
            trusted_proxies=trusted_proxies,
            proxy_protocol=proxy_protocol,
        )
        how_to_drain = check_drain(drain)
        if not (tls is None or isinstance(tls, TLS)):
            # The error does not contain the value: it may be a secret.
            kind = type(tls).__name__
            raise ConfigurationError(f"tls is of type {kind}: pass TLS(cert=..., key=...), or None")
        check_listener(listener)
        check_address(
            host,
            port,
            unix,
            has_tls=tls is not None,
            reuse_port=reuse_port,
            has_listener=listener is not None,
        )
        return Server(
            self._handle,
            host,
            port,
            site,
            how_to_drain,
            tls,
            unix=unix,
            reuse_port=reuse_port,
            listener=listener,
        )

    def run(
        self,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        *,
        path: str = "/graphql",
        tls: TLS | None = None,
        drain: float | Drain = DRAIN,
        unix: str | Path | None = None,
        reuse_port: bool = False,
        publish_key: str | Collection[str] | None = None,
        publish_path: str = PUBLISH_PATH,
        compression: bool = False,
        trusted_proxies: Collection[str] = (),
        proxy_protocol: bool = False,
        root_path: str = "",
        listener: socket.socket | None = None,
        main: Main | None = None,
    ) -> None:
        """Serve until SIGTERM or Ctrl-C, then drain; a blocking call, for scripts.

        Takes the arguments of `serve`. `main` runs while the server serves, for example to publish
        events: an async function without parameters, or its coroutine; None: the server runs alone.
        At shutdown `main` is cancelled first and has half of `drain` to clean up, so that events
        that it still publishes reach the clients; the server has the rest of `drain`. When `main`
        returns, the server ends too.

        Raises:
            ConfigurationError: As for `serve`; or `main` is not an async function; or an event loop
                already runs on this thread: use `serve` there.
            Exception: The exception of `main`, after the drain.
        """
        refuse_running_loop(main)
        try:
            refuse_while_loading("run()")
            check_main(main)
            server = self.serve(
                host,
                port,
                path=path,
                tls=tls,
                drain=drain,
                unix=unix,
                reuse_port=reuse_port,
                publish_key=publish_key,
                publish_path=publish_path,
                compression=compression,
                trusted_proxies=trusted_proxies,
                proxy_protocol=proxy_protocol,
                root_path=root_path,
                listener=listener,
            )
        except ConfigurationError:
            if asyncio.iscoroutine(main):
                main.close()
            raise
        # A traceback that shows variables must not show the key.
        del publish_key
        # Ctrl-C before the server has started.
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve_with(server, main, announce))

    def subscribe(
        self,
        document: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        context: Any = None,
        *,
        identity: Identity | Mapping[str, Any] | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> ResponseStream:
        """Subscribe in process: `async for result in manager.subscribe(...)`.

        Args:
            document: GraphQL document.
            variables: Its variables; None: none.
            operation_name: Name of the operation in the document; None if it has only one.
            context: Value that resolvers find as `context.value`.
            identity: Identity of the subscriber; without one, rules of `Security` that need an
                identity deny.
            extensions: Extensions of the request. With `{"resume": {}}`, results contain their ids
                in `extensions["resume"]["id"]`. `{"resume": {"after": id}}` continues after such an
                id, or after the `event_id` of a receipt.

        Raises:
            ValidationError: At the first iteration: document or variables are refused. Later: a
                source stream, `context_getter` or `root_value` raised; that exception is the
                `__cause__`.
            ManagerClosed: The manager is closed.
        """
        return ResponseStream(
            self._handle.subscribe(
                document,
                variables,
                operation_name,
                context,
                identity=identity,
                extensions=extensions,
            )
        )
