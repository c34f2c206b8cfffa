"""The build steps of the image without docker: the page, the wheel, an environment with it alone.

It compiles, so `make image-steps` alone runs it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from files import copies, instructions
from support.paths import ROOT

pytestmark = [
    pytest.mark.skipif("IMAGE_STEPS" not in os.environ, reason="`make image-steps` runs it"),
    pytest.mark.timeout(3600),
]


def step(stage: str, start: str) -> str:
    """Return the command of a stage that begins so, without what docker mounts."""
    commands = [found.value for found in instructions() if found[:2] == (stage, "RUN")]
    bare = [re.sub(r"--mount=\S+ +", "", command) for command in commands]
    (only,) = [command for command in bare if command.startswith(start)]
    return only


def run(command: str, folder: Path, **variables: str) -> None:
    subprocess.run(command, shell=True, cwd=folder, check=True, env={**os.environ, **variables})


def copied(stage: str, folder: Path) -> Path:
    """Return a folder with what a stage copies from the repository."""
    for sources, destination in copies(stage):
        for source in sources:
            if (ROOT / source).is_dir():
                built = shutil.ignore_patterns("*.so", "index.html", "__pycache__")
                shutil.copytree(ROOT / source, folder / destination, ignore=built)
            else:
                (folder / destination).mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, folder / destination)
    return folder


def test_the_page_the_wheel_and_the_package_are_made(tmp_path):
    page = copied("page", tmp_path / "graphiql")
    run(step("page", "npm"), page)
    run(step("page", "node"), page)
    source = copied("wheel", tmp_path / "src")
    shutil.copy(page / "index.html", source / "fraiseql_subs/graphiql")
    build = step("wheel", "/opt/build/bin/pip")
    build = build.replace("/opt/build/bin/pip", f"{Path(sys.executable).parent}/pip")
    build = build.replace("/wheels", str(tmp_path / "wheels"))
    profile = f"--profile {os.environ.get('IMAGE_PROFILE', 'release')}"
    target = str(ROOT / "target")
    run(build, source, CARGO_TARGET_DIR=target, MATURIN_PEP517_ARGS=profile)
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv/bin"
    install = step("runtime", "pip install").replace("/wheels/", f"{tmp_path}/wheels/")
    alone = {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
    run(install, tmp_path, **alone)
    (tmp_path / "app.py").write_text(
        "from fraiseql_subs import SubscriptionManager, passthrough\n"
        'manager = SubscriptionManager([passthrough("orders", str, channel="orders")])\n'
        "assert manager.has_page\n"
    )
    command = [str(binaries / "fraiseql-subs"), "schema", "app:manager"]
    printed = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, **alone}
    )
    assert printed.returncode == 0, printed.stderr
    assert "orders: String" in printed.stdout
