"""Installs a wheel into a new environment, and runs the first tutorial there. Argument: the wheel.

The environment is of the interpreter that runs this, and knows nothing of the repository.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "docs/tutorials/first-subscription.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What the tutorial installs for its client.
CLIENT = "gql[websockets]>=4.0"
PATIENCE = 120.0


class Environment:
    """A new environment with the wheel, and a folder for programs."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        self.binaries = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.run("python", "-m", "pip", "install", "--quiet", str(wheel), CLIENT)

    def run(self, program: str, *arguments: str) -> str:
        """Run a program to its end, and return what it prints."""
        command = [str(self.binaries / program), *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.variables,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        ).stdout

    @contextlib.contextmanager
    def running(self, program: str) -> Iterator[subprocess.Popen[str]]:
        """Run a Python program until the block ends."""
        process = subprocess.Popen(
            [str(self.binaries / "python"), "-u", program],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def programs() -> dict[str, str]:
    """Read the programs of the tutorial, each known by what it alone does."""
    blocks = BLOCK.findall(TUTORIAL.read_text())
    marks = {
        "shop.py": "manager.run(",
        "client.py": "WebsocketsTransport(",
        "in_process.py": "manager.subscribe(",
    }
    found = {}
    for name, mark in marks.items():
        (found[name],) = (block for block in blocks if mark in block)
    return found


def wait_until_open(port: int, server: subprocess.Popen[str]) -> None:
    """Wait until a server listens."""
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.05)
    sys.exit("shop.py does not serve")


def main() -> None:
    """Do it."""
    wheel = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        environment = Environment(Path(name), wheel)
        version = environment.run(
            "python", "-c", "import fraiseql_subs; print(fraiseql_subs.__version__)"
        ).strip()
        told = environment.run("fraiseql-subs", "--version")
        if version not in wheel.name or version not in told:
            sys.exit(f"{wheel.name} has __version__ {version}, and says {told!r}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for file, code in programs().items():
            (environment.folder / file).write_text(code.replace("8000", str(port)))
        environment.run("python", "in_process.py")
        with environment.running("shop.py") as server:
            wait_until_open(port, server)
            with environment.running("client.py") as client:
                assert client.stdout is not None
                line = client.stdout.readline()
        if "orderUpdated" not in line:
            sys.exit(f"the client of the tutorial has printed {line!r}")
        print(f"fraiseql-subs {version}, installed from {wheel.name}, runs the tutorial: {line}")


if __name__ == "__main__":
    main()
