"""What becomes of a command whose output cannot be written: a full disk, a closed pipe.

Not here: what is printed.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable
from typing import TextIO

from ._status import FAILURE

_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of files that are written; subcommands handle those of files that they name."""


def checking_output(run: Callable[[], int]) -> int:
    """Run a command; return its exit status, which is `FAILURE` if its output cannot be written."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What is printed may have characters that the terminal has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    status, failure = FAILURE, None
    try:
        status = run()
    except OSError as error:
        failure = error
    of_stdout, of_stderr = _unwritten(sys.stdout), _unwritten(sys.stderr)
    if failure is not None and of_stdout is None and of_stderr is None:
        # A long text does not stay in the buffer of a stream.
        if failure.errno not in _OF_OUTPUT:
            raise failure
        of_stdout = failure
    if of_stdout is not None:
        _complain(of_stdout)
    return status or int(of_stdout is not None or of_stderr is not None)


def _unwritten(stream: TextIO | None) -> OSError | None:
    """Write what a stream holds; return why that fails. Then it takes and drops all.

    The interpreter writes it as well, at its end.
    """
    if stream is None or stream.closed:
        return None
    try:
        stream.flush()
    except OSError as error:
        with contextlib.suppress(OSError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)
        return error
    return None


def _complain(failure: OSError) -> None:
    # `head` ends a command by closing the pipe.
    if failure.errno == errno.EPIPE or sys.stderr is None:
        return
    with contextlib.suppress(OSError):
        text = f"fraiseql-subs: stdout cannot be written: {failure.strerror}"
        print(text, file=sys.stderr, flush=True)
