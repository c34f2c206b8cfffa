"""Trusted documents: an allow-list of documents, which clients name by id, hash or text.

This module reads the formats of the list. Not here: the decision, which the core makes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from .errors import ConfigurationError

TrustedDocuments: TypeAlias = Mapping[str, str] | str | Path
"""A mapping of ids to texts, or the path of a JSON file with such an object or an Apollo
manifest.
"""


def read_trusted_documents(source: TrustedDocuments | None) -> list[tuple[str, str]] | None:
    """Read the documents as pairs of id and text; None: any document is served.

    Raises:
        ConfigurationError: The file cannot be read, or contains no documents.
    """
    if source is None:
        return None
    if isinstance(source, Mapping):
        return _pairs(source, "trusted_documents")
    if not isinstance(source, str | Path) or not str(source):
        raise ConfigurationError(
            f"trusted_documents is {source!r}: pass an object of texts by id, such as"
            ' {"Ticks": "subscription Ticks { tick }"}, or the path of a JSON file'
        )
    where = f"trusted_documents={str(source)!r}"
    try:
        manifest = json.loads(Path(source).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{where} cannot be read ({error.strerror}): pass the path of a JSON file"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{where} is not JSON ({error}): pass a JSON file") from error
    if isinstance(manifest, dict) and isinstance(manifest.get("operations"), list):
        manifest = _apollo(manifest["operations"], where)
    return _pairs(manifest, where)


def _apollo(operations: list[Any], where: str) -> dict[str, Any]:
    try:
        return {operation["id"]: operation["body"] for operation in operations}
    except (KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{where}: an entry of `operations` lacks `id` or `body`: pass a manifest of format "
            '"apollo-persisted-query-manifest", or an object of texts by id'
        ) from error


def _pairs(documents: Any, where: str) -> list[tuple[str, str]]:
    if not isinstance(documents, Mapping):
        raise ConfigurationError(f"{where} holds no documents: pass an object of texts by id")
    for id, text in documents.items():
        if not isinstance(id, str) or not isinstance(text, str):
            raise ConfigurationError(
                f"{where}: the entry {id!r} is not a text: write the text of a document for each id"
            )
    return list(documents.items())
