"""The command `fraiseql-subs`: its version, its help, its exit status, completion by shells."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import PATIENCE
from support.programs import ENVIRONMENT

import fraiseql_subs

COMMAND = (sys.executable, "-m", "fraiseql_subs")


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the command; return its exit status, its output and its errors."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def test_the_version_is_that_of_the_package():
    version = fraiseql_subs.__version__
    assert run("--version") == (0, f"fraiseql-subs {version}\n", "")


def commands() -> list[str]:
    """The subcommands, as the help lists them."""
    _, help_text, _ = run("--help")
    lines = help_text.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    return [line.split()[0] for line in lines if line[2] != " "]


def test_each_subcommand_has_help_with_examples():
    names = commands()
    assert {"publish", "postgres", "load", "completion"} <= set(names)
    for name in names:
        status, text, err = run(name, "--help")
        assert (status, err) == (0, ""), name
        assert f"fraiseql-subs {name}" in text, name
        assert "examples:" in text.lower() or name == "load", name


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["no-such"], "No such command 'no-such'"),
        (["publish"], "Missing argument 'CHANNEL'"),
        (["publish", "orders", "1", "--no-such"], "--no-such"),
        (["publish", "orders", "1", "--timeout", "soon"], "'soon' is not a valid float"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
    ],
)
def test_an_invalid_command_line_is_named(arguments, part):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert part in err.replace("Invalid value for '--timeout': ", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_asks_the_command(shell):
    status, script, err = run("completion", shell)
    assert (status, err) == (0, "")
    assert f"_FRAISEQL_SUBS_COMPLETE={shell}_complete" in script


def test_bash_completes_subcommands_and_options(tmp_path: Path):
    bash = shutil.which("bash")
    assert bash is not None, "bash is needed"
    directory = tmp_path / "bin"
    directory.mkdir()
    program = directory / "fraiseql-subs"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fraiseql_subs "$@"\n')
    program.chmod(0o755)
    _, script, _ = run("completion", "bash")
    source = f"""{script}
    COMP_WORDS=(fraiseql-subs pub) COMP_CWORD=1
    _fraiseql_subs_completion fraiseql-subs
    echo "${{COMPREPLY[@]}}"
    COMPREPLY=() COMP_WORDS=(fraiseql-subs publish --li) COMP_CWORD=2
    _fraiseql_subs_completion fraiseql-subs
    echo "${{COMPREPLY[@]}}"
    """
    path = f"{directory}:{ENVIRONMENT.get('PATH', '/usr/bin:/bin')}"
    done = subprocess.run(
        [bash, "-c", source],
        env={**ENVIRONMENT, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout.split() == ["publish", "--lines"], done.stderr
