"""Reads the files of `deploy`: YAML, a Dockerfile, a unit of systemd, durations."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from support.paths import ROOT

DEPLOY = ROOT / "deploy"
DOCKER = DEPLOY / "docker"
KUBERNETES = DEPLOY / "kubernetes"

RESERVE = 5.0
"""What a program may take beyond its drain to end (seconds)."""


def document(text: str | Path) -> dict[str, Any]:
    """Return the document of a text or a file; a key that is there twice is an error."""
    (only,) = YAML(typ="safe", pure=True).load_all(text)
    assert isinstance(only, dict)
    return only


class Instruction(NamedTuple):
    """A line of a Dockerfile.

    Attributes:
        stage: The name of its stage.
        keyword: Such as `COPY`.
        value: What follows, in one line.
    """

    stage: str
    keyword: str
    value: str


def instructions() -> list[Instruction]:
    """Return the instructions of the Dockerfile, but for those that begin a stage."""
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    found, stage = [], ""
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        keyword, _, value = line.partition(" ")
        if keyword == "FROM":
            stage = value.split()[-1]
        elif keyword:
            found.append(Instruction(stage, keyword, value))
    return found


def of_image(keyword: str) -> str:
    """Return the last value of an instruction in the stages of the image."""
    return [
        found.value
        for found in instructions()
        if found.stage in ("runtime", "shop") and found.keyword == keyword
    ][-1]


def exec_form(value: str) -> list[str]:
    """Return the words of a command that is written as a list, after its options."""
    words = json.loads(value[value.index("[") :])
    assert isinstance(words, list)
    return words


def environment() -> dict[str, str]:
    """Return the variables that the image sets."""
    return dict(word.split("=", 1) for word in shlex.split(of_image("ENV")))


def copies(stage: str) -> list[tuple[list[str], str]]:
    """Return what is copied from the context into a stage: the sources, and the destination."""
    found = []
    for line in instructions():
        if (line.stage, line.keyword) == (stage, "COPY") and "--from" not in line.value:
            *sources, destination = line.value.split()
            found.append((sources, destination))
    return found


def seconds(text: str) -> float:
    """Return a duration such as `20s` or `1m` in seconds."""
    match = re.fullmatch(r"(\d+)(s|m|h)?", text)
    assert match, text
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2] or "s"]


def unit() -> dict[str, list[str]]:
    """Return the settings of the unit, those of all its sections: by name, in their order."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd/shop.service").read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found
