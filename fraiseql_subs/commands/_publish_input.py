"""What `fraiseql-subs publish` reads: stdin, and the data of events as JSON.

Not here: the command line (`publish`).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from codecs import BOM_UTF8
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError
from typing import Any, NoReturn, TypeAlias

from .._core import Event
from ..errors import PublishError

MAX_LINE = 16 * 1024 * 1024
"""The longest line, and the longest input that is one event (bytes)."""

_CHUNK = 64 * 1024
_CHUNKS = 16
_MAX_DIGITS = 20

_Read: TypeAlias = "list[bytes] | InputError | None"


class InputError(Exception):
    """What is read cannot be published.

    Attributes:
        is_of_next_line: Whether it concerns the line after those that were read.
    """

    def __init__(self, problem: str, *, is_of_next_line: bool = False) -> None:
        super().__init__(problem)
        self.is_of_next_line = is_of_next_line


def data_of(text: bytes) -> Any:
    """Return the data of an event, which can be published.

    Raises:
        InputError: The text is not JSON in UTF-8, or publishing would refuse it.
    """
    try:
        data = json.loads(text.decode(), parse_constant=_refuse_constant, parse_int=_integer)
        # Checks the data as publishing does, so that an error is told of this event alone.
        Event(data)
    except RecursionError:
        raise InputError("it is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"it is not JSON ({error})") from None
    except PublishError as error:
        raise InputError(str(error)) from None
    return data


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _integer(digits: str) -> int:
    # Python needs very long for many digits, or refuses them.
    if len(digits) > _MAX_DIGITS:
        raise InputError("an integer past 64 bits would lose digits: send it as a string")
    return int(digits)


async def whole_stdin() -> bytes:
    """Return all of stdin.

    Raises:
        InputError: It cannot be read, or has more than `MAX_LINE` bytes.
    """
    parts: list[bytes] = []
    async for lines in _chunks_of_stdin(is_whole=True):
        parts += lines
    return b"".join(parts)


async def lines_of_stdin() -> AsyncIterator[list[bytes]]:
    """Yield the lines of stdin, those that are read together at once.

    Raises:
        InputError: It cannot be read, or a line has more than `MAX_LINE` bytes.
    """
    async for lines in _chunks_of_stdin(is_whole=False):
        yield lines


async def _chunks_of_stdin(*, is_whole: bool) -> AsyncIterator[list[bytes]]:
    if sys.stdin is None:
        raise InputError("stdin is closed: pass the command an input", is_of_next_line=True)
    reader = _Reader(is_whole=is_whole)
    # Not the executor of the loop, which waits for its threads: this one may wait for input.
    threading.Thread(target=reader.run, daemon=True).start()
    while (read := await reader.queue.get()) is not None:
        if isinstance(read, InputError):
            raise read
        yield read


class _Reader:
    """Reads stdin on a thread of its own."""

    def __init__(self, *, is_whole: bool) -> None:
        self.queue: asyncio.Queue[_Read] = asyncio.Queue(_CHUNKS)
        self._loop = asyncio.get_running_loop()
        self._is_whole = is_whole

    def run(self) -> None:
        """Read to the end; not by `sys.stdin`, whose lock would hold up the program's end."""
        try:
            try:
                self._read()
            except OSError as error:
                problem = f"stdin cannot be read: {error.strerror or error}"
                self._put(InputError(problem, is_of_next_line=True))
            self._put(None)
        except (RuntimeError, CancelledError):
            # The loop has ended.
            return

    def _read(self) -> None:
        parts: list[bytes] = []
        size, is_first = 0, True
        while chunk := os.read(0, _CHUNK):
            if is_first:
                chunk, is_first = chunk.removeprefix(BOM_UTF8), False
            *ends, rest = [chunk] if self._is_whole else chunk.split(b"\n")
            if ends:
                self._put([b"".join([*parts, ends[0]]), *ends[1:]])
                parts, size = [], 0
            parts.append(rest)
            size += len(rest)
            if size > MAX_LINE:
                problem = f"it has more than {MAX_LINE} bytes: publish less, or a reference to it"
                return self._put(InputError(problem, is_of_next_line=True))
        if size:
            self._put([b"".join(parts)])

    def _put(self, read: _Read) -> None:
        putting = self.queue.put(read)
        try:
            asyncio.run_coroutine_threadsafe(putting, self._loop).result()
        except RuntimeError:
            putting.close()
            raise
