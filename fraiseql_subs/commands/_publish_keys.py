"""The keys with which programs publish to `fraiseql-subs serve`: from a file, or a variable.

Not on the command line, which other users of the machine can read. Not here: what a key is.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

KEY = "FRAISEQL_SUBS_PUBLISH_KEY"
"""Environment variable with the key; for `serve` also with several, separated by spaces."""

FILE = "--publish-key-file"


def read_publish_keys(file: str | None) -> tuple[list[str] | None, str]:
    """Return the keys, None without any, and where they are from.

    Args:
        file: `--publish-key-file`, with a key in each line; None: those of the variable.

    Raises:
        click.ClickException: The file cannot be read, or has no key.
    """
    if file is None:
        return os.environ.get(KEY, "").split() or None, KEY
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.ClickException(f"{FILE}: {file} is not UTF-8") from None
    except OSError as error:
        raise click.ClickException(f"{FILE}: {file} cannot be read: {error.strerror}") from None
    keys = [line.strip() for line in text.splitlines() if line.strip()]
    if not keys:
        raise click.ClickException(f"{FILE}: {file} has no key: write one in a line of its own")
    return keys, FILE
