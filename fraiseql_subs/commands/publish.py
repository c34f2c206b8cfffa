"""The command `fraiseql-subs publish`: publishes events from a shell.

Not here: where events go (`_publish_targets`), and how their data are read (`_publish_input`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from .._settings import is_header_text
from .._texts import has_utf8
from ..config import DEFAULT_HISTORY, History
from ..errors import ConfigurationError
from ..security import TenantIsolation
from ._options import option_text
from ._publish_input import InputError, data_of, lines_of_stdin, whole_stdin
from ._publish_keys import KEY
from ._publish_targets import EngineTarget, Event, EventAnswer, HttpTarget, Target
from ._publish_trace import CallersTrace
from ._status import INTERRUPTED

TO = "FRAISEQL_SUBS_PUBLISH_TO"
"""Environment variable with the default of `--to`, which may have a password."""

HTTP = ("http://", "https://")
"""How URLs of endpoints begin; others are those of engines."""

_OF_SERVERS = ("isolated", "history_events", "history_seconds")
"""Options that say how servers are configured."""

_HISTORY = {"History.events": "--history-events", "History.seconds": "--history-seconds"}

BATCH = 500
"""Events that are sent together (count)."""

BATCH_BYTES = 256 * 1024
"""Lines that are sent together (bytes); one that is longer is sent alone."""

_EPILOG = f"""\b
Examples:
  fraiseql-subs publish orders '{{"id": 7}}' --to redis://127.0.0.1:6379
  fraiseql-subs publish orders '{{"id": 7}}' --to http://127.0.0.1:8000/publish
  fraiseql-subs publish orders '{{"id": 7}}' --target app:manager
  fraiseql-subs publish orders - --lines --to redis://127.0.0.1:6379 <orders.ndjson

The exit status is 0 if all events were published, 1 if one was not, 2 for an invalid command line.
A URL of an engine may have a password: set {TO} in place of --to.
The key for a URL of HTTP is read from {KEY}.
"""


@dataclass(frozen=True)
class _Options:
    """The command line; see the options of `command`."""

    channel: str
    data: str
    to: str | None
    target: str | None
    app_dir: str
    key_env: str
    event_type: str | None
    tenant: str | None
    isolated: bool
    event_id: str | None
    lines: bool
    history_events: int
    history_seconds: float
    timeout: float
    json: bool


@click.command("publish", short_help="Publish events to running servers.", epilog=_EPILOG)
@click.argument("channel")
@click.argument("data")
@click.option(
    "--to",
    metavar="URL",
    help="The engine of the servers, such as redis://host:6379 or nats://host:4222; or the endpoint"
    f" of one of them, http://host:8000/publish (default: ${TO}).",
)
@click.option(
    "--target",
    metavar="MODULE:MANAGER",
    help="The manager of a module, in place of --to: its engine, with its history and tenants.",
)
@click.option(
    "--app-dir", metavar="FOLDER", default=".", help="Folder of the module (default: this one)."
)
@click.option(
    "--key-env",
    metavar="NAME",
    default=KEY,
    show_default=True,
    help="Environment variable with the key for a URL of HTTP.",
)
@click.option("--event-type", metavar="TYPE", help="Type of the events.")
@click.option(
    "--tenant", metavar="ID", help="Tenant of the events; the servers have TenantIsolation."
)
@click.option(
    "--isolated",
    is_flag=True,
    help="The servers have TenantIsolation: the tenant is in the data as `tenant_id`.",
)
@click.option(
    "--event-id",
    metavar="ID",
    help="Id of the event; with Redis, JetStream or an outbox the same again is one event.",
)
@click.option("--lines", is_flag=True, help="Each line of stdin is the data of an event.")
@click.option(
    "--history-events",
    metavar="COUNT",
    type=int,
    default=DEFAULT_HISTORY.events,
    show_default=True,
    help="Events of History of the servers.",
)
@click.option(
    "--history-seconds",
    metavar="SECONDS",
    type=float,
    default=DEFAULT_HISTORY.seconds,
    show_default=True,
    help="Seconds of History of the servers.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=float,
    default=10.0,
    show_default=True,
    help="Time to wait for an answer.",
)
@click.option("--json", is_flag=True, help="Print a JSON object for each event, also for errors.")
@click.pass_context
def command(context: click.Context, /, **options: Any) -> int:
    """Publish events to the clients of running servers.

    CHANNEL is the channel of the events. DATA is the data of the event, as JSON; - reads it from
    stdin, and negative numbers are written after --.
    """
    if options["target"] is not None:
        _refuse_given(context, ("to", "key_env", *_OF_SERVERS), "the manager of --target says it")
    else:
        _refuse_given(context, ("app_dir",), "there is no module without --target")
        url = options["to"] or os.environ.get(TO, "")
        if url.startswith(HTTP):
            _refuse_given(context, _OF_SERVERS, "the server at the URL says it")
        elif url:
            _refuse_given(context, ("key_env",), "only a URL of HTTP needs a key")
    return _run(_Options(**options))


def _refuse_given(context: click.Context, names: Iterable[str], reason: str) -> None:
    """Refuse options that would have no effect."""
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option}: {reason}: leave it out")


def _run(options: _Options) -> int:
    _check(options)
    # The outcome of each event is printed, so the log need not say what the engine does. A module
    # that configures logging is heard.
    logging.getLogger("fraiseql_subs").addHandler(logging.NullHandler())
    trace = CallersTrace.of_environment()
    publication = _Publication(options, _target(options, trace))
    if trace is not None:
        trace.enter()
    try:
        return asyncio.run(publication.run())
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            _complain(f"stopped: {publication.published} events were published")
        return INTERRUPTED


def _check(options: _Options) -> None:
    if not options.channel:
        raise click.UsageError("the channel is empty: name one, such as orders")
    if options.lines and options.data != "-":
        raise click.UsageError("--lines reads stdin: write - in place of the data")
    if options.lines and options.event_id is not None:
        raise click.UsageError("--event-id is the id of one event, and --lines reads several")
    texts = {
        "the channel": options.channel,
        "--event-type": options.event_type,
        "--tenant": options.tenant,
        "--event-id": options.event_id,
        "--to": options.to or os.environ.get(TO),
    }
    for name, text in texts.items():
        if not has_utf8(text or ""):
            raise click.UsageError(f"{name} is not UTF-8: write it in UTF-8")
    if not 0 < options.timeout <= 3600:
        raise click.UsageError("--timeout: write seconds above 0, at most 3600")


def _target(options: _Options, trace: CallersTrace | None) -> Target:
    if options.target is not None:
        return _target_of_manager(options.target, options, trace)
    url = options.to or os.environ.get(TO)
    if not url:
        raise click.UsageError(
            f"--to is missing: write redis://host:6379 or http://host:8000/publish, or set {TO}"
        )
    if url.startswith(HTTP):
        key = os.environ.get(options.key_env)
        if not key:
            raise click.UsageError(
                f"the environment variable {options.key_env} is not set: it has the key of the"
                " server, serve(publish_key=...) or fraiseql-subs serve --publish-key-file"
            )
        if not is_header_text(key):
            raise click.UsageError(
                f"the environment variable {options.key_env} is no key: it has characters such as"
                " white space or the end of a line; remove them"
            )
        target = HttpTarget.read(url, key, options.timeout, trace)
        if target is None:
            raise click.UsageError("--to: the URL is wrong: write http://host:8000/publish")
        return target
    if url.startswith("memory:"):
        raise click.UsageError(
            "--to: memory:// reaches no other process: write the endpoint of the server,"
            " http://host:8000/publish, and start it with a key, such as by fraiseql-subs serve"
            " --publish-key-file"
        )
    try:
        history = History(events=options.history_events, seconds=options.history_seconds)
    except ConfigurationError as error:
        raise click.UsageError(option_text(error, _HISTORY)) from None
    is_isolated = options.isolated or options.tenant is not None
    tenant = TenantIsolation() if is_isolated else None
    try:
        return EngineTarget(url, history, tenant, timeout=options.timeout, trace=trace)
    except ConfigurationError as error:
        # What a manager may have as its bus is not all that events can be sent to.
        text = str(error).removeprefix("bus: ").replace("memory://", "http://, https://")
        raise click.UsageError(f"--to: {text}") from None


def _target_of_manager(target: str, options: _Options, trace: CallersTrace | None) -> Target:
    """Return the engine of the manager of a module."""
    # It imports what serves, which other targets do not need.
    from ._target import load_manager

    manager = load_manager(target, options.app_dir)
    if not manager.has_engine:
        raise click.UsageError(
            f"--target: {target} has the bus memory://, which reaches no other process: write the"
            " endpoint of the server, --to http://host:8000/publish, and start it with a key, such"
            " as by fraiseql-subs serve --publish-key-file, or give the manager an engine, such as"
            ' bus="redis://127.0.0.1:6379"'
        )
    tenant = manager.tenant_isolation
    if options.tenant is not None and tenant is None:
        raise click.UsageError(
            f"--tenant: {target} has no TenantIsolation, so all subscribers would receive the"
            " event: leave it out, or pass Security(tenant=TenantIsolation()) to the manager"
        )
    bus = manager.bus_options.bus
    return EngineTarget(bus, manager.history, tenant, timeout=options.timeout, trace=trace)


class _Publication:
    """One run of the command."""

    def __init__(self, options: _Options, target: Target) -> None:
        self._options = options
        self._target = target
        self.published = 0

    async def run(self) -> int:
        """Publish all events; return the exit status."""
        if self._options.lines:
            async with self._target:
                return 0 if await self._publish_lines() else 1
        try:
            event = self._event(await self._text())
        except InputError as error:
            is_argument = self._options.data != "-"
            example = """; a text has quotes of its own, as in '"paid"'""" if is_argument else ""
            raise click.UsageError(f"the data cannot be published: {error}{example}") from None
        async with self._target:
            return 0 if await self._publish([(None, event)]) else 1

    async def _text(self) -> bytes:
        if self._options.data == "-":
            return await whole_stdin()
        # The bytes of the argument, also where they are not UTF-8.
        return os.fsencode(self._options.data)

    def _event(self, text: bytes) -> Event:
        options = self._options
        event = {
            "channel": options.channel,
            "data": data_of(text),
            "event_type": options.event_type,
            "tenant_id": options.tenant,
            "event_id": options.event_id,
        }
        return {name: value for name, value in event.items() if name == "data" or value is not None}

    async def _publish_lines(self) -> bool:
        """Publish the lines of stdin; stop at the first that is not published."""
        number = 0
        batch: list[tuple[int | None, Event]] = []
        try:
            async for lines in lines_of_stdin():
                size = 0
                for line in lines:
                    number += 1
                    if not line.strip():
                        continue
                    if batch and (len(batch) == BATCH or size + len(line) > BATCH_BYTES):
                        if not await self._publish(batch):
                            return False
                        batch, size = [], 0
                    batch.append((number, self._event(line)))
                    size += len(line)
                if not await self._publish(batch):
                    return False
                batch = []
        except InputError as error:
            if await self._publish(batch):
                number += error.is_of_next_line
                self._tell(number, EventAnswer.failed(str(error)))
            return False
        return True

    async def _publish(self, batch: list[tuple[int | None, Event]]) -> bool:
        """Publish events, and print what became of them; return whether all are published."""
        if not batch:
            return True
        answers = await self._target.publish([event for _, event in batch])
        for (number, _), answer in zip(batch, answers, strict=True):
            self._tell(number, answer)
        return all(answer.is_published for answer in answers)

    def _tell(self, number: int | None, answer: EventAnswer) -> None:
        self.published += answer.is_published
        if self._options.json:
            place = {} if number is None else {"line": number}
            _print(json.dumps({**place, **answer.told}))
        elif answer.is_published:
            _print(answer.text)
        else:
            place_text = "" if number is None else f"line {number}: "
            _complain(f"fraiseql-subs publish: {place_text}{answer.text}")


def _print(text: str) -> None:
    print(text, flush=True)


def _complain(text: str) -> None:
    # Without stderr `print` would write to stdout.
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)
