"""The drains and the waits that the documents name are those of the files."""

from __future__ import annotations

import re

import pytest
from files import DOCKER, KUBERNETES, document, environment, seconds, unit
from support.paths import ROOT

from fraiseql_subs.config import DRAIN

VARIABLE = "FRAISEQL_SUBS_DRAIN"
PAGE = (ROOT / "docs/how-to/deploy.md").read_text()

POD = document(KUBERNETES / "deployment.yaml")["spec"]["template"]["spec"]
NODE = document(DOCKER / "compose.yaml")["services"]["node"]
TIMES = {
    "compose": (NODE["environment"][VARIABLE], seconds(NODE["stop_grace_period"])),
    "Kubernetes": (
        document(KUBERNETES / "configmap.yaml")["data"][VARIABLE],
        POD["terminationGracePeriodSeconds"],
    ),
    "systemd": (
        re.findall(rf"{VARIABLE}=(\d+)", unit()["Environment"][0])[0],
        seconds(unit()["TimeoutStopSec"][0]),
    ),
}


@pytest.mark.parametrize("name", TIMES)
def test_each_row_has_the_times_of_the_file(name):
    (row,) = re.findall(rf"^\| {name} \| `{VARIABLE}`.*$", PAGE, re.MULTILINE)
    drain, wait = TIMES[name]
    assert f"`{VARIABLE}`, {drain} s" in row
    assert f", {wait:g} s; without it" in row


def test_docker_alone_has_the_default():
    """The image sets none, so the drain is that of the command."""
    assert VARIABLE not in environment()
    (row,) = re.findall(r"^\| `docker run`.*$", PAGE, re.MULTILINE)
    assert f"`{VARIABLE}`, {DRAIN:g} s" in row


def test_the_course_of_an_end_in_kubernetes_has_the_times_of_the_files():
    (_, pause) = POD["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    drain, wait = TIMES["Kubernetes"]
    assert f"after `preStop`, {pause} s" in PAGE
    for time in (f"{pause} s", f"at most {int(pause) + int(drain)} s", f"{wait} s"):
        assert re.search(rf"^\| {time} \| ", PAGE, re.MULTILINE), time
