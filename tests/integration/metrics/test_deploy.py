"""The dashboard and the alert rules name metrics and labels that exist; `promtool` takes both."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser

from fraiseql_subs import SubscriptionManager, passthrough

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES = DEPLOY / "prometheus/rules.yml"
DASHBOARD = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
LABELS = {"job", "instance", "le", "field", "protocol", "engine", "reason"}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)


def expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


async def series() -> set[str]:
    """Return the names of all series that there can be."""
    async with SubscriptionManager([passthrough("feed", int, channel="feed")]) as manager:
        families = list(parser.text_string_to_metric_families(manager.openmetrics()))
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    return {family.name + suffix for family in families for suffix in suffixes[family.type]}


@pytest.mark.parametrize(
    "text", [RULES.read_text(), json.dumps(DASHBOARD)], ids=["rules", "dashboard"]
)
async def test_what_is_named_exists(text):
    named = set(re.findall(r"fraiseql_subs_\w+", text))
    assert named
    assert named <= await series()
    grouped = {
        label for labels in re.findall(r"by \(([^)]*)\)", text) for label in labels.split(",")
    }
    assert {label.strip() for label in grouped} <= LABELS


@needs_promtool
def test_rules_are_accepted_and_alert_when_they_should():
    directory = RULES.parent
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]):
        checked = subprocess.run(
            ["promtool", *command], cwd=directory, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_promtool
def test_prometheus_can_read_every_expression_of_the_dashboard(tmp_path):
    assert expressions()
    rules = [
        {"record": f"panel:{n}", "expr": expression.replace("$__rate_interval", "5m")}
        for n, expression in enumerate(expressions())
    ]
    # YAML contains JSON.
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture
async def text() -> str:
    async with SubscriptionManager([passthrough("feed", int, channel="feed")]) as manager:
        return manager.prometheus()


@needs_promtool
def test_promtool_finds_no_fault_in_the_metrics(text):
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
