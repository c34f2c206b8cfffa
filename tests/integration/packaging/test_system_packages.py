"""What make does for a package of the system that is missing."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.paths import ROOT


def programs(folder: Path, **scripts: str) -> Path:
    """Make a folder with these programs alone, and what the script needs."""
    for name, text in scripts.items():
        program = folder / name.replace("_", "-")
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    for name in ("sh", "env"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    return folder


def install(path: Path) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(ROOT / "tools/system_packages.sh"), "the tests of X", "x-server"]
    return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True)


def test_a_system_without_apt_is_told_what_to_install(tmp_path):
    done = install(programs(tmp_path, id="echo 0"))
    assert done.returncode == 1
    assert "Missing on this system: x-server, for the tests of X" in done.stderr


def test_root_installs_after_a_word(tmp_path):
    done = install(programs(tmp_path, id="echo 0", apt_get='echo "apt-get $*" >&2'))
    assert done.returncode == 0
    said, update, installed = done.stderr.splitlines()
    assert said == "Installing packages of the system, for the tests of X: x-server"
    assert update == "apt-get update -qq"
    assert installed.startswith("apt-get install ")
    assert installed.endswith(" x-server")


def test_another_user_installs_by_sudo(tmp_path):
    apt = {"apt_get": 'echo "apt-get $*" >&2', "sudo": 'echo "sudo $1" >&2; "$@"'}
    done = install(programs(tmp_path, id="echo 1000", **apt))
    assert done.returncode == 0
    assert "packages of the system by sudo" in done.stderr
    assert done.stderr.count("sudo apt-get") == 1
    assert done.stderr.count("sudo env") == 1


def test_a_user_who_may_not_is_told_the_command(tmp_path):
    done = install(programs(tmp_path, id="echo 1000", apt_get="exit 9"))
    assert done.returncode == 1
    assert "run as root: apt-get install x-server" in done.stderr
