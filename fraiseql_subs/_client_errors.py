"""Decides which part of an exception the client receives.

Clients receive the `GraphQLError` of this package and of graphql-core. Any other exception is a
fault of the application. Its text may be confidential, so the client receives "Internal server
error", and the exception is logged.
"""

from __future__ import annotations

import re
import sys
from types import TracebackType
from typing import Any

from ._core import INTERNAL_ERROR
from .errors import GraphQLError

# Modules of graphql-core that complete values: their errors quote the values.
_COMPLETION = ("graphql.execution", "graphql.type")
# The module that reads the values of arguments.
_ARGUMENTS = "graphql.execution.values"
# Suffixes of the kinds of nodes with which clients write values and declare variables.
_INPUT = ("_value", "variable", "variable_definition", "argument", "object_field")
# Exceptions that functions raise for a value that they cannot parse.
_REFUSALS = (ValueError, TypeError, ArithmeticError, LookupError, GraphQLError)
_QUOTED_VALUE = re.compile(r": | but got| with value")
# A type name that a function of the application returned, and that the schema does not have.
_QUOTED_TYPE = re.compile(r"(was resolved to a type) '.*'", re.DOTALL)
_NULL = re.compile(r"Cannot return null for non-nullable field \w+\.\w+\.")


def client_error(exception: BaseException) -> dict[str, Any] | None:
    """Return the GraphQL error that the client receives for an exception; None: it is masked.

    graphql-core wraps the exception of a resolver in its own `GraphQLError`; the wrapped exception
    decides.

    Returns:
        `message`, and `locations`, `path` and `extensions` where they are known.
    """
    if isinstance(exception, GraphQLError):
        error: dict[str, Any] = {"message": str(getattr(exception, "message", exception))}
        if extensions := getattr(exception, "extensions", None):
            error["extensions"] = extensions
        return error
    if not _is_core_error(exception):
        return None
    if is_of_input(exception):
        return formatted(exception)
    cause = original(exception)
    if _is_core_error(cause):
        error = formatted(exception)
        if _is_of_completion(cause.__traceback__):
            message = _QUOTED_VALUE.split(error["message"], maxsplit=1)[0]
            error["message"] = _QUOTED_TYPE.sub(r"\1", message)
        return error
    if isinstance(cause, GraphQLError) or _is_null_in_non_null(cause):
        return formatted(exception)
    return None


def fault_of(exception: BaseException) -> BaseException | None:
    """Return the exception to log for an error that a client receives; None: none.

    Logged are exceptions that were not raised for the client, and values that do not fit the
    schema.
    """
    cause = original(exception)
    if isinstance(cause, GraphQLError) or is_of_input(exception):
        return None
    if _is_core_error(cause) and not _is_of_completion(cause.__traceback__):
        return None
    return cause


def is_of_input(exception: Any) -> bool:
    """Whether graphql-core refuses a value that the client wrote, in its document or a variable.

    A scalar refuses a value with one of `_REFUSALS`. Any other exception is a fault of the scalar.
    """
    if not _is_core_error(exception):
        return False
    cause = original(exception)
    if not (_is_core_error(cause) or isinstance(cause, _REFUSALS)):
        return False
    # Errors of resolvers, and of their values, have field nodes.
    nodes: list[Any] = list(getattr(exception, "nodes", None) or ())
    is_at_input = bool(nodes) and getattr(nodes[0], "kind", "").endswith(_INPUT)
    return is_at_input or _ARGUMENTS in _modules(cause.__traceback__)


def masked_error(exception: BaseException) -> dict[str, Any]:
    """Return the GraphQL error that hides an exception, with its path and locations."""
    error: dict[str, Any] = {"message": INTERNAL_ERROR}
    if _is_core_error(exception):
        known = formatted(exception)
        error.update((key, known[key]) for key in ("locations", "path") if key in known)
    return error


def original(exception: BaseException) -> BaseException:
    """Return the original exception inside the errors that graphql-core wrapped around it."""
    while _is_core_error(exception):
        inner = getattr(exception, "original_error", None)
        if not isinstance(inner, BaseException) or inner is exception:
            break
        exception = inner
    return exception


def _is_core_error(exception: object) -> bool:
    """Whether this is a `GraphQLError` of graphql-core, which need not be installed."""
    core = getattr(sys.modules.get("graphql"), "GraphQLError", None)
    return isinstance(core, type) and isinstance(exception, core)


def formatted(error: Any) -> dict[str, Any]:
    """Return an error of graphql-core in the form that clients receive, unmasked."""
    # A method in graphql-core 3.0 and 3.1.
    formatted = error.formatted
    return dict(formatted() if callable(formatted) else formatted)


def _is_of_completion(traceback: TracebackType | None) -> bool:
    """Whether graphql-core itself raised the exception because a value does not fit the schema."""
    modules = _modules(traceback)
    return bool(modules) and modules[-1].startswith(_COMPLETION)


def _modules(traceback: TracebackType | None) -> list[str]:
    """Return the names of the modules in a traceback, the one that raised last."""
    modules: list[str] = []
    while traceback is not None:
        modules.append(str(traceback.tb_frame.f_globals.get("__name__", "")))
        traceback = traceback.tb_next
    return modules


def _is_null_in_non_null(exception: BaseException) -> bool:
    """Whether this error says that a non-null field is null, which reveals only the schema."""
    return type(exception) is TypeError and _NULL.fullmatch(str(exception)) is not None
