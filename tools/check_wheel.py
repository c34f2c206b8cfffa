"""Checks what a wheel contains, and what it must not contain. Argument: the wheel.

`--any-build` leaves out what holds for releases alone: the size, and that no trace of the machine
that has built it is inside.
"""

from __future__ import annotations

import email
import os
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

MAX_BYTES = 8_000_000

DATA = [
    "fraiseql_subs/_core.pyi",
    "fraiseql_subs/py.typed",
    "fraiseql_subs/graphiql/index.html",
]
LICENCES = ["LICENSE-APACHE", "LICENSE-MIT", "THIRD-PARTY-LICENSES.txt"]
FIELDS = [
    "Author",
    "Classifier",
    "Description-Content-Type",
    "Keywords",
    "License-Expression",
    "Project-URL",
    "Requires-Python",
    "Summary",
]

# Sections of ELF, and of DWARF in general.
DEBUG = [b".symtab\0", b".debug_info\0", b"__debug_info\0"]


def contents(wheel: zipfile.ZipFile) -> Iterator[str]:
    """Find what is missing, and what is there too many, in any build."""
    names = wheel.namelist()
    (info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
    package = {path for path in names if path.startswith("fraiseql_subs/")}
    for path in [*DATA, *(f"{info}/licenses/{name}" for name in LICENCES)]:
        if path not in names:
            yield f"{path} is missing"
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fraiseql_subs").rglob("*.py")}
    compiled = {path for path in package if path.startswith("fraiseql_subs/_core.")}
    for path in sorted(package ^ (sources | set(DATA) | compiled)):
        yield f"{path} is {'not expected' if path in package else 'missing'}"
    if len(compiled) != 2:
        yield f"there is not one compiled module: {sorted(compiled)}"
    for path in names:
        if not path.startswith(("fraiseql_subs/", f"{info}/")):
            yield f"{path} is not expected"
    metadata: Message = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    for field in FIELDS:
        if field not in metadata:
            yield f"METADATA has no {field}"
    if not str(metadata.get_payload()).startswith("# fraiseql-subs"):
        yield "METADATA has no description"


def traces(wheel: zipfile.ZipFile) -> Iterator[str]:
    """Find debug information, and folders of the machine that has built the wheel."""
    folders = {ROOT, Path.home(), Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))}
    for name in wheel.namelist():
        content = wheel.read(name)
        for folder in folders:
            at = content.find(str(folder).encode() + os.sep.encode())
            if at >= 0:
                found = content[at : at + 100].partition(b"\0")[0]
                yield f"{name} names a folder of this machine: {found!r}"
        if name.endswith((".so", ".pyd")):
            yield from (f"{name} has {part!r}" for part in DEBUG if part in content)


def main() -> None:
    """Print what is wrong, and end with status 1 if anything is."""
    *options, path = sys.argv[1:]
    with zipfile.ZipFile(path) as wheel:
        faults = list(contents(wheel))
        if "--any-build" not in options:
            size = Path(path).stat().st_size
            print(f"{path}: {size} bytes")
            if size > MAX_BYTES:
                faults.append(f"it has more than {MAX_BYTES} bytes")
            faults += traces(wheel)
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
