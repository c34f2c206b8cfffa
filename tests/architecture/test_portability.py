"""What only Unix has is used where it is asked for: the package compiles and imports elsewhere.

Rust: behind `#[cfg(unix)]`, the name of a system, or in a file that has a counterpart. Python: not
while a module is imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT

UNIX = re.compile(
    r"std::os::(?:unix|fd|linux)|rustix::|\bUnix(?:Stream|Listener|Datagram)\b|tokio::signal::unix"
    r"|\.listen_uds\(|Host::Unix|set_reuse_port|as_pathname|host_path\("
)
GUARD = re.compile(r'#\[cfg\((?:unix|test|(?:all\()?target_os = "linux".*)\)\]')
COUNTERPART = re.compile(r'#\[cfg_attr\(not\(unix\), path = "(\w+)\.rs"\)\]\n(?:pub )?mod (\w+);')

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
MODULES = {"fcntl", "grp", "posix", "pwd", "resource", "termios", "tty"}
NAMES = {
    *("AF_UNIX", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SO_REUSEPORT", "TCP_USER_TIMEOUT"),
    *("fork", "geteuid", "getuid", "register_at_fork", "sched_getaffinity", "send_fds"),
}


def has_counterpart(file: Path) -> bool:
    """Whether another file stands for this one where Unix is not."""
    texts = (path.read_text() for path in file.parent.glob("*.rs"))
    pairs = [pair for text in texts for pair in COUNTERPART.findall(text)]
    return any(name == file.stem and file.with_stem(other).exists() for other, name in pairs)


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def is_guarded(lines: list[str], at: int) -> bool:
    """Whether a line, or what it is in, has an attribute for systems with it."""
    depth, number = indent(lines[at]) + 1, at
    while number >= 0:
        line = lines[number]
        if line.strip() and indent(line) < depth and not line.lstrip().startswith(("}", ")")):
            depth = indent(line)
            above = number - 1
            while above >= 0 and lines[above].lstrip().startswith(("#[", "///")):
                if GUARD.search(lines[above]):
                    return True
                above -= 1
        number -= 1
    return False


def unguarded(text: str) -> list[str]:
    """Find the lines that use what only Unix has."""
    lines = text.split("\n")
    found = (number for number, line in enumerate(lines) if UNIX.search(line.partition("//")[0]))
    return [lines[number].strip() for number in found if not is_guarded(lines, number)]


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, id=str(file.relative_to(ROOT)))
        for file in sorted((ROOT / "rust").glob("*/src/**/*.rs"))
        if UNIX.search(file.read_text()) and file.name != "tests.rs"
    ],
)
def test_rust_uses_what_only_unix_has_behind_an_attribute(file):
    assert has_counterpart(file) or unguarded(file.read_text()) == []


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Return the parts of a node that are run where it stands: of a function, all but its body.

    Annotations are not: each module has `from __future__ import annotations`.
    """
    for field, value in ast.iter_fields(tree):
        is_later = isinstance(tree, FUNCTIONS) and field in ("body", "returns")
        if is_later or field == "annotation":
            continue
        values = value if isinstance(value, list) else [value]
        yield from (it for it in values if isinstance(it, ast.AST))


def imported_with(tree: ast.AST) -> list[str]:
    """Find what the import of a module runs that only Unix has."""
    found = []
    for node in at_import(tree):
        # `hasattr(os, "fork")` asks before.
        if isinstance(node, ast.If) and "hasattr" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name in MODULES]
        elif isinstance(node, ast.ImportFrom):
            names = {name.name for name in node.names}
            found += [*({node.module or ""} & MODULES), *(names & NAMES)]
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            found.append(node.attr)
        found += imported_with(node)
    return found


def test_each_module_postpones_its_annotations():
    texts = {path: path.read_text() for path in (ROOT / "fraiseql_subs").rglob("*.py")}
    future = "from __future__ import annotations"
    defining = {path: text for path, text in texts.items() if "def " in text}
    assert [str(path) for path, text in defining.items() if future not in text] == []


def test_no_module_needs_unix_to_be_imported():
    trees = {path: ast.parse(path.read_text()) for path in (ROOT / "fraiseql_subs").rglob("*.py")}
    found = {str(path): imported_with(tree) for path, tree in trees.items()}
    assert {path: names for path, names in found.items() if names} == {}


def test_uses_in_rust_are_found():
    text = """\
use std::os::fd::OwnedFd;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
fn f() {
    match g() {
        // UnixListener
        #[cfg(unix)]
        A(b) => {
            UnixStream::pair()
        }
        B => socket.set_reuse_port(true),
    }
}
#[cfg(unix)]
mod system {
    fn f() {
        rustix::time()
    }
}
"""
    assert unguarded(text) == ["use std::os::fd::OwnedFd;", "B => socket.set_reuse_port(true),"]


def test_uses_in_python_are_found():
    text = """\
import fcntl, os
from signal import SIGHUP
if hasattr(os, "fork"):
    os.register_at_fork()
class A:
    kind = socket.AF_UNIX
    def f(self):
        os.fork()
@handles(signal.SIGUSR1)
def f(x: socket.AF_UNIX = signal.SIGKILL, *, y=lambda a=signal.SIGUSR2: os.fork()) -> pwd.fork:
    import grp
    @handles(signal.SIGHUP)
    async def g(z=os.getuid()): ...
"""
    found = imported_with(ast.parse(text))
    assert sorted(found) == ["AF_UNIX", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "fcntl"]
