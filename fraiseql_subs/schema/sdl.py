"""Loads schemas in SDL."""

from __future__ import annotations

from pathlib import Path

from fraiseql_subs.errors import SchemaError

_SUFFIXES = (".graphql", ".graphqls", ".gql")


def load_sdl(schema: str | Path) -> str:
    """Return the SDL text of a schema.

    Args:
        schema: SDL, recognised by a brace or a line break; or a file of SDL in UTF-8: a `Path`, or
            a file name that ends with `.graphql`, `.graphqls` or `.gql`.

    Raises:
        SchemaError: The file cannot be read, or the text is neither SDL nor such a name.
    """
    if isinstance(schema, str):
        if "{" in schema or "\n" in schema:
            return schema
        if not schema.endswith(_SUFFIXES):
            raise SchemaError(
                f"schema {schema!r} is neither SDL nor a file name: pass the text of a schema, a "
                f"Path, or a name that ends with {', '.join(_SUFFIXES)}"
            )
    try:
        return Path(schema).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaError(f"schema file {str(schema)!r} cannot be read: {error}") from error
