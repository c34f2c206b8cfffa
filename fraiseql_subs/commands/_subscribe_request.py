"""The operation that `fraiseql-subs subscribe` sends.

Not here: how it is sent, and the command line.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Result: TypeAlias = dict[str, Any]
"""What a server sends for one event: `data`, `errors`, `extensions`."""

_TOKEN = re.compile(
    r'"""(?:\\"""|(?!""").)*"""|"(?:\\.|[^"\\\n\r])*"|#[^\n\r]*|[_A-Za-z][_0-9A-Za-z]*|[^\s,]',
    re.DOTALL,
)
_OPERATIONS = ("query", "mutation", "subscription")


class ConnectionLost(Exception):
    """The connection cannot be made or has ended; another attempt may succeed.

    Attributes:
        retry_after: How long the server asks clients to wait (seconds).
    """

    def __init__(self, problem: str, *, retry_after: float = 0.0) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class ServerRefusal(Exception):
    """The server refuses the client, or cannot be understood; another attempt is no use."""


@dataclass(frozen=True)
class SentOperation:
    """The members of a request.

    Attributes:
        document: The GraphQL document.
        variables: Values of its variables.
        name: The operation to run, if the document has several.
    """

    document: str
    variables: dict[str, Any] | None = None
    name: str | None = None

    @property
    def is_subscription(self) -> bool:
        """Whether it may be sent again, and resumes."""
        kinds = {kind for kind, name in operations(self.document) if self.name in (None, name)}
        return kinds == {"subscription"}

    def payload(self, resume: dict[str, Any] | None) -> dict[str, Any]:
        """Return the request, which asks for ids, and to resume after one of them.

        Args:
            resume: The extension `resume`; None: without it.
        """
        members = {
            "query": self.document,
            "variables": self.variables,
            "operationName": self.name,
            "extensions": None if resume is None else {"resume": resume},
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True)
class Attempt:
    """One connection.

    Attributes:
        payload: The request.
        is_subscription: Whether its response is a stream.
        connected: Is called with the protocol when the server has accepted the client.
    """

    payload: dict[str, Any]
    is_subscription: bool
    connected: Callable[[str], None]


Transport: TypeAlias = Callable[[Attempt], AsyncGenerator[Result, None]]
"""Yields the results of an operation until it is complete.

It raises `ConnectionLost` or `ServerRefusal`.
"""


def operations(document: str) -> list[tuple[str, str | None]]:
    """Return the kind and the name of each operation of a document; it need not be valid."""
    found: list[tuple[str, str | None]] = []
    depth = 0
    is_defined = False
    is_named = True
    for token in _TOKEN.findall(document):
        if token[0] in '"#':
            continue
        if token in "{([":
            if depth == 0 and token == "{" and not is_defined:
                found.append(("query", None))
            is_defined = True
            depth += 1
        elif token in "})]":
            depth -= 1
            # Variables and arguments of directives precede the fields.
            is_defined = depth > 0 or token != "}"
        elif depth == 0 and not is_defined:
            is_defined = True
            if token in _OPERATIONS:
                found.append((token, None))
                is_named = False
                continue
        elif depth == 0 and not is_named and (token[0] == "_" or token[0].isalpha()):
            found[-1] = (found[-1][0], token)
        is_named = True
    return found


def resume_of(result: Result) -> dict[str, Any]:
    """Return the extension `resume` of a result, {} if it has none."""
    extensions = result.get("extensions")
    resume = extensions.get("resume") if isinstance(extensions, dict) else None
    return resume if isinstance(resume, dict) else {}


def is_notice(result: Result) -> bool:
    """Whether it is no event's, and says where the subscription stands."""
    has_nothing = result.get("data") is None and not result.get("errors")
    return has_nothing and "missed" in resume_of(result)
