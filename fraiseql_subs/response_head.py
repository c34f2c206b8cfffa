"""Status, headers and cookies that resolvers set for the HTTP response with their result."""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Literal

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")

# Headers of the message itself, which the server sets.
_OF_THE_SERVER = frozenset({"connection", "content-length", "content-type", "transfer-encoding"})

SameSite = Literal["strict", "lax", "none"]


class ResponseHeaders(MutableMapping[str, str]):
    """Headers by name, in upper or lower case. `append` adds a header several times."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: list[tuple[str, str]] = []

    def __getitem__(self, name: str) -> str:
        """Return the first value of a header."""
        name = name.lower()
        for known, value in self._items:
            if known == name:
                return value
        raise KeyError(name)

    def __setitem__(self, name: str, value: str) -> None:
        """Set a header, replacing all headers with its name.

        Raises:
            ValueError: The name or the value cannot be sent, or the header is the server's own.
        """
        item = _checked(name, value)
        self._items = [known for known in self._items if known[0] != item[0]]
        self._items.append(item)

    def __delitem__(self, name: str) -> None:
        kept = [known for known in self._items if known[0] != name.lower()]
        if len(kept) == len(self._items):
            raise KeyError(name)
        self._items = kept

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._items))

    def __len__(self) -> int:
        return len(dict(self._items))

    def append(self, name: str, value: str) -> None:
        """Add a header, keeping those with the same name.

        Raises:
            ValueError: The name or the value cannot be sent, or the header is the server's own.
        """
        self._items.append(_checked(name, value))

    def multi_items(self) -> list[tuple[str, str]]:
        """Return all headers, names in lower case, in the order in which they were set."""
        return list(self._items)


class ResponseHead:
    """The head of the HTTP response to a query or mutation: `context.response`.

    It has no effect over WebSocket, in process, and on event streams and multipart subscriptions,
    whose head is sent before the first resolver runs.

    Attributes:
        headers: Headers in addition to those of the server; names in upper or lower case.
    """

    __slots__ = ("_status", "headers")

    def __init__(self) -> None:
        self.headers = ResponseHeaders()
        self._status: int | None = None

    @property
    def status(self) -> int | None:
        """Status code; None: the default.

        Raises:
            ValueError: When set: it is not a code from 200 to 599 that allows a body.
        """
        return self._status

    @status.setter
    def status(self, status: int | None) -> None:
        is_code = isinstance(status, int) and 200 <= status <= 599
        if status is not None and (not is_code or status in (204, 205, 304)):
            raise ValueError(f"status={status!r}: use 200 to 599, a code that has a body, or None")
        self._status = None if status is None else int(status)

    @property
    def status_code(self) -> int | None:
        """The same as `status`, under the name that Starlette and Django use."""
        return self._status

    @status_code.setter
    def status_code(self, status: int | None) -> None:
        self.status = status

    def set_cookie(
        self,
        key: str,
        value: str = "",
        *,
        max_age: int | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: SameSite | None = "lax",
    ) -> None:
        """Set a cookie.

        Args:
            key: Name of the cookie.
            value: Its value.
            max_age: Lifetime (seconds); None: until the browser ends.
            path: The cookie is sent to this path and paths below it; None: the path of the request.
            domain: The cookie is sent to this domain and its subdomains; None: only to the host of
                the request.
            secure: Whether it is sent only over TLS.
            httponly: Whether scripts cannot read it.
            samesite: Whether it is sent with requests from other sites; None: the browser decides.

        Raises:
            ValueError: The name or a value cannot be sent.
        """
        try:
            cookie: SimpleCookie = SimpleCookie({key: value})
        except CookieError as error:
            raise ValueError(f"cookie {key!r}: {error}: use letters, digits and hyphens") from error
        attributes = {"max-age": max_age, "path": path, "domain": domain, "samesite": samesite}
        for name, attribute in attributes.items():
            if attribute is not None:
                cookie[key][name] = str(attribute)
        cookie[key]["secure"] = secure
        cookie[key]["httponly"] = httponly
        self.headers.append("set-cookie", cookie[key].OutputString())

    def delete_cookie(self, key: str, *, path: str | None = "/", domain: str | None = None) -> None:
        """Delete a cookie that was set with this path and domain."""
        self.set_cookie(key, max_age=0, path=path, domain=domain)


def _checked(name: str, value: str) -> tuple[str, str]:
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ValueError(f"header {name!r}: use a name of letters, digits and hyphens")
    if not (isinstance(value, str) and _VALUE.fullmatch(value)):
        raise ValueError(
            f"header {name}: the value {value!r} cannot be sent: pass a string of one line, in"
            " ASCII; urllib.parse.quote() encodes others"
        )
    if name.lower() in _OF_THE_SERVER:
        raise ValueError(f"header {name} describes the message, which the server writes: leave it")
    return name.lower(), value.strip()
