"""Serves until the program is asked to end, with `main` of `SubscriptionManager.run` beside it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from ._callables import check_callable
from ._records import records
from ._service_manager import tell_ready, tell_stopping
from .errors import ConfigurationError

if TYPE_CHECKING:
    from .server import Server

_log = logging.getLogger("fraiseql_subs.manager")

_LAST_STEP = 1.0
"""Seconds for which a `main` that ignored its first cancellation may run after the second."""

Main: TypeAlias = Callable[[], Awaitable[object]] | Coroutine[Any, Any, object]
"""The type of `main`: an async function without parameters, or its coroutine."""


def announce(server: Server) -> None:
    """Print where a server listens, unless the log says it."""
    say(f"serving GraphQL subscriptions on {server.url}", is_logged=is_listening_logged())


def is_listening_logged() -> bool:
    """Whether the program has configured logging so that `server.listening` is written."""
    logger = logging.getLogger("fraiseql_subs.server")
    return logger.hasHandlers() and logger.isEnabledFor(logging.INFO)


def say(text: str, *, is_logged: bool) -> None:
    """Print a line for people: on a terminal, or where the log does not say it."""
    if sys.stdout is None or (is_logged and not sys.stdout.isatty()):
        return
    # A server goes on without a reader.
    with contextlib.suppress(OSError):
        print(text, flush=True)


async def serve_with(
    server: Server, main: Main | None, listening: Callable[[Server], object]
) -> None:
    """Serve until a signal, `server.close()` or the end of `main`; then drain.

    Args:
        server: The server; it is entered here.
        main: What runs beside it; None: nothing.
        listening: Called once it listens.

    Raises:
        Exception: The exception of `main`, after the drain.
    """
    program: asyncio.Task[object] | None = None
    try:
        async with server:
            listening(server)
            tell_ready(f"serving on {server.url}")
            if main is not None:
                program = asyncio.ensure_future(begin(main))
                program.add_done_callback(lambda _: server.close())
            try:
                await server.wait_closed()
            finally:
                tell_stopping()
                if program is not None:
                    await server.end_program(program)
    finally:
        if program is None and asyncio.iscoroutine(main):
            main.close()
    if program is None:
        return
    if not program.done():
        await give_up(program)
    elif not program.cancelled():
        program.result()


async def give_up(program: asyncio.Task[object]) -> None:
    """End a `main` that ignores its cancellation: asyncio would wait for it forever."""
    program.cancel()
    await asyncio.wait([program], timeout=_LAST_STEP)
    if program.done():
        return
    text = "main has not ended since it was cancelled: it is ended where it stands"
    records.write(_log, logging.WARNING, text, event="main.ended")
    coroutine: Any = program.get_coro()
    with contextlib.suppress(RuntimeError):
        coroutine.close()
    program.cancel()
    await asyncio.wait([program], timeout=_LAST_STEP)
    if program.done() and not program.cancelled():
        # Retrieves the error that the coroutine is closed, so that asyncio does not log it.
        program.exception()


def check_main(main: object) -> None:
    """Refuse a `main` that cannot run.

    Raises:
        ConfigurationError: It is neither awaitable nor an async function without parameters.
    """
    if main is None or inspect.isawaitable(main):
        return
    if not (callable(main) and _is_async(main)):
        raise _not_awaitable(main)
    check_callable("main", main)


def begin(main: Main) -> Awaitable[object]:
    """Start `main`.

    Raises:
        ConfigurationError: It cannot be awaited.
    """
    started: Any = main() if callable(main) and not inspect.iscoroutine(main) else main
    if not inspect.isawaitable(started):
        raise _not_awaitable(main)
    return started


def _is_async(function: Callable[..., object]) -> bool:
    """Whether a call returns a coroutine; checked without calling it."""
    forms = (function, inspect.unwrap(function), type(function).__call__)
    return any(inspect.iscoroutinefunction(form) for form in forms)


def _not_awaitable(main: object) -> ConfigurationError:
    return ConfigurationError(
        f"main={main!r} cannot be awaited: pass an async function without parameters, or its"
        " coroutine; a plain function would block the event loop that serves clients"
    )
