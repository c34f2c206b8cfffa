"""Tells an exception of a user's module by the lines of that code."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[1])
_SKIPPED = ("<frozen importlib", "<frozen runpy")


def told(error: BaseException, what: str) -> str:
    """Return what an error says, with its traceback.

    Frames of the command and of the import system are left out.

    Args:
        error: What was raised.
        what: What failed, as the first line says it.
    """
    summary = traceback.TracebackException.from_exception(error)
    _prune(summary)
    return f"{what}:\n{''.join(summary.format()).rstrip()}"


def _prune(summary: traceback.TracebackException) -> None:
    seen: set[int] = set()
    waiting = [summary]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        one.stack[:] = [frame for frame in one.stack if _is_of_user(frame.filename)]
        others = [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]
        waiting += [other for other in others if other is not None]


def _is_of_user(filename: str) -> bool:
    return not filename.startswith((*_SKIPPED, _PACKAGE, importlib.__file__))
