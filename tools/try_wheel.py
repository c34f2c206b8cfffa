"""Installs a wheel into a new environment, and runs the first tutorial there. Argument: the wheel.

The environment is of the interpreter that runs this, and knows nothing of the repository.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
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
        self.run("python", "-m", "pip", "install", "--quiet", f"{wheel}[cli]", CLIENT)

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
    def running(self, program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Run a program until the block ends."""
        process = subprocess.Popen(
            [str(self.binaries / program), *arguments],
            cwd=self.folder,
            env={**self.variables, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def program(name: str) -> str:
    """Read a program of the tutorial, by its mark."""
    mark = rf"<!-- (?:file|client): {re.escape(name)} -->\n(?:<!-- [^\n]* -->\n)*"
    found = re.search(rf"^{mark}```\w+\n(.*?)^```$", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{TUTORIAL} has no {name}"
    return found[1]


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
        for file in ("shop.py", "client.py"):
            code = program(file).replace("8000", str(port))
            (environment.folder / file).write_text(code)
        command = shlex.split(program("subscribe.sh").replace("8000", str(port)))
        lines = []
        with environment.running("python", "shop.py") as server:
            wait_until_open(port, server)
            for client in (["python", "client.py"], command):
                with environment.running(*client) as process:
                    assert process.stdout is not None
                    lines.append(process.stdout.readline())
        if not ("orderUpdated" in lines[0] and lines[1]):
            sys.exit(f"the clients of the tutorial have printed {lines}")
        print(f"fraiseql-subs {version}, installed from {wheel.name}, runs the tutorial: {lines}")


if __name__ == "__main__":
    main()
