"""Finds text that cannot be sent: a lone surrogate cannot be encoded as UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ._core import LONE_SURROGATE
from .errors import FraiseQLSubsError

__all__ = ["LONE_SURROGATE", "has_utf8", "naming_lone_surrogates"]


def has_utf8(text: str) -> bool:
    """Whether a text can be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def naming_lone_surrogates(refusal: type[FraiseQLSubsError]) -> Iterator[None]:
    """Raise an error that names the text that the core refused."""
    try:
        yield
    except (UnicodeEncodeError, TypeError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, UnicodeEncodeError):
            # The core's error names the class and the member that it read.
            cause = cause.__cause__
        if cause is None:
            raise
        raise refusal(f"{cause.object!r}: {LONE_SURROGATE}") from None
