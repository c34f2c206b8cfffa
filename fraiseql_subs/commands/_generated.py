"""Files that a command writes, or compares with what it would write.

Not here: what is in them.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from pathlib import Path

import click

from ._status import FAILURE


def compare(path: Path, text: str, what: str, advice: str) -> int:
    """Print how a file differs; return the exit status.

    Args:
        path: The file.
        text: What it should have.
        what: What it is not, if it differs.
        advice: The command that writes it.
    """
    if not show_difference(read(path), text, str(path), what.rpartition(" ")[2]):
        return 0
    click.echo(f"{path} is not {what}; to write it: {advice}", err=True)
    return FAILURE


def read(path: Path) -> str:
    """Return the text of a file to compare."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"--check: {path} cannot be read: {_why(error)}") from None


def show_difference(before: str, after: str, name: str, other: str) -> bool:
    """Print how a text differs from another one; return whether it does."""
    # Editors and git may have changed the ends of lines.
    old, new = before.splitlines(), after.splitlines()
    if old == new:
        return False
    click.echo("\n".join(difflib.unified_diff(old, new, name, other, lineterm="")))
    return True


def write(path: Path, text: str) -> None:
    """Write a file as a whole, or not at all."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
            os.chmod(name, mode)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise click.ClickException(f"--output: {path} cannot be written: {_why(error)}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _why(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"
