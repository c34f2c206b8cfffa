"""Tells what documents ask for: their sizes beside the limits, and what their clients need.

Not here: how it is counted, which the core does; documents that are refused (`_documents`).
"""

from __future__ import annotations

from typing import Any

from .._summary import DocumentSummary, NeededPermissions, OperationSummary
from ..config import Limits

_COUNTS = {
    "depth": "max_depth",
    "fields": "max_complexity",
    "aliases": "max_aliases",
    "directives": "max_directives",
}
"""What is counted of an operation, and the limit of it."""


def text_of_summary(name: str, summary: DocumentSummary, limits: Limits) -> str:
    """Return what a document asks for, in lines."""
    tokens = _of("tokens", summary["tokens"], limits.max_tokens)
    lines = [f"{name}: {tokens}, {summary['bytes']} bytes"]
    for operation in summary["operations"]:
        counts = [
            _of(what, _count(operation, what), getattr(limits, limit))
            for what, limit in _COUNTS.items()
        ]
        title = f"{operation['kind']} {operation['name'] or ''}".rstrip()
        roots = f"root fields {operation['root_fields']}"
        lines.append(f"  {title}: {', '.join([*counts, roots])}")
        lines += [f"    needs {_needed(each)}" for each in operation["permissions"]]
        lines += [
            f"    needs the client's own value as the argument {argument}"
            for argument in operation["scope"]
        ]
    return "\n".join(lines)


def json_of_summary(name: str, summary: DocumentSummary) -> dict[str, Any]:
    """Return what a document asks for, as an object of JSON."""
    return {"file": name, **summary}


def json_of_limits(limits: Limits) -> dict[str, int | None]:
    """Return the limits of documents, null where there is none."""
    return {limit: getattr(limits, limit) for limit in ("max_tokens", *_COUNTS.values())}


def _of(what: str, count: int, limit: int | None) -> str:
    return f"{what} {count}" if limit is None else f"{what} {count} of {limit}"


def _count(operation: OperationSummary, what: str) -> int:
    count: int = operation[what]  # type: ignore[literal-required]
    return count


def _needed(needed: NeededPermissions) -> str:
    groups = [" and ".join(group) or "an identity" for group in needed["any_of"]]
    return f"{' or '.join(groups) or 'what no client has'} for {needed['field']}"
