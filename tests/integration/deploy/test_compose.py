"""The files of docker compose: they fit together, and their commands do what they should."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from compose_spec import PyCompose
from files import DEPLOY, DOCKER, RESERVE, document, of_image, seconds
from shop import COMPOSE, Shop
from support import eventually
from support.redis_server import free_port

SERVICES = COMPOSE["services"]
COMMAND = ["docker", "compose"]


def has_compose() -> bool:
    """Whether it is there; it reads files without docker itself."""
    if shutil.which(COMMAND[0]) is None:
        return False
    return subprocess.run([*COMMAND, "version"], capture_output=True).returncode == 0


def check(compose: dict[str, Any]) -> None:
    """Refuse what the Compose Specification does not accept."""
    PyCompose.from_json(json.dumps(compose))


def test_it_is_what_the_specification_accepts():
    check(COMPOSE)


def test_the_specification_does_not_accept_everything():
    node = {**SERVICES["node"], "health_check": {}}
    with pytest.raises(ValueError, match="health_check"):
        check({**COMPOSE, "services": {"node": node}})


@pytest.mark.skipif(not has_compose(), reason="docker compose is not installed")
def test_it_is_what_compose_accepts():
    command = [*COMMAND, "--file", str(DOCKER / "compose.yaml"), "config", "--quiet"]
    read = subprocess.run(command, capture_output=True, text=True)
    assert (read.returncode, read.stdout + read.stderr) == (0, "")


def test_what_it_mounts_and_builds_is_there():
    mounts = [
        mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", [])
    ]
    files = [(source, mode) for source, _, *mode in mounts if source.startswith(".")]
    assert len(files) == 7
    for source, mode in files:
        assert (DOCKER / source).is_file(), source
        assert mode == ["ro"]
    named = {source for source, *_ in mounts if not source.startswith(".")}
    assert named == COMPOSE["volumes"].keys()
    build = SERVICES["node"]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).samefile(DOCKER / "Dockerfile")


def test_each_service_waits_for_what_it_can_wait_for():
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            if condition == "service_healthy":
                has_check = "healthcheck" in SERVICES[other] or "build" in SERVICES[other]
                assert has_check, (name, other)
            else:
                assert condition == "service_completed_successfully"
                assert "restart" not in SERVICES[other]


def test_addresses_are_names_of_services():
    texts = json.dumps(SERVICES) + (DOCKER / "prometheus.yml").read_text()
    texts += (DOCKER / "grafana/datasource.yml").read_text()
    hosts = set(re.findall(r"(?:redis|postgresql|http)://(?:\w+:\w+@)?([\w.]+)", texts))
    assert hosts - {"127.0.0.1"} == {"redis", "postgres", "prometheus"}
    assert hosts - {"127.0.0.1"} <= SERVICES.keys()


def test_ports_are_open_to_this_machine_alone():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports and all(port["host_ip"] == "127.0.0.1" for port in ports)
    (node,) = SERVICES["node"]["ports"]
    first, last = node["published"].split("-")
    assert int(last) - int(first) + 1 == SERVICES["node"]["deploy"]["replicas"]
    assert str(node["target"]) == of_image("EXPOSE")


def test_a_node_has_the_time_to_drain():
    drain = float(SERVICES["node"]["environment"]["FRAISEQL_SUBS_DRAIN"])
    assert seconds(SERVICES["node"]["stop_grace_period"]) >= drain + RESERVE


async def test_an_order_that_changes_reaches_the_clients_of_both_nodes(tmp_path):
    async with Shop.open(tmp_path) as shop, shop.node() as one, shop.node() as other:
        program, *arguments = SERVICES["changes"]["command"]
        assert "--file=/changes.sql" in arguments
        arguments = [part.replace("/changes.sql", "app/changes.sql") for part in arguments]
        changing = asyncio.create_task(shop.finish(program, *shop.placed(*arguments)))
        received = await asyncio.gather(one.orders(2), other.orders(2))
        changing.cancel()
        await asyncio.wait([changing])
        for orders in received:
            assert [order["item"] for order in orders] == ["tea", "tea"]
            assert orders[0]["paid"] is not orders[1]["paid"]


@pytest.fixture
def prometheus(tmp_path: Path) -> Path:
    """The folder of its configuration, as compose mounts it."""
    for mount in SERVICES["prometheus"]["volumes"]:
        source, target, *_ = mount.split(":")
        if target.startswith("/etc/prometheus/"):
            shutil.copy(DOCKER / source, tmp_path / Path(target).name)
    return tmp_path


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_accepts_its_configuration(prometheus):
    command = ["promtool", "check", "config", str(prometheus / "prometheus.yml")]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "1 rule files found" in checked.stdout


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
async def test_prometheus_reads_the_metrics_of_a_node(prometheus):
    """By its address, as each replica is found; the name of the service is not resolved here."""
    async with Shop.open(prometheus) as shop, shop.node() as node:
        file = prometheus / "prometheus.yml"
        target = f"    static_configs: [{{targets: ['{node.url.removeprefix('http://')}']}}]\n"
        text, count = re.subn(r"    dns_sd_configs:\n(?:      .*\n)+", target, file.read_text())
        assert count == 1
        file.write_text(text.replace("scrape_interval: 10s", "scrape_interval: 1s"))
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            *("prometheus", f"--config.file={file}", f"--storage.tsdb.path={prometheus}/data"),
            f"--web.listen-address=127.0.0.1:{port}",
            stderr=subprocess.DEVNULL,
        )

        async def value(query: str) -> list[str]:
            async with httpx.AsyncClient() as client:
                url = f"http://127.0.0.1:{port}/api/v1/query"
                answer = (await client.get(url, params={"query": query})).json()
            return [result["value"][1] for result in answer["data"]["result"]]

        try:
            await eventually(lambda: value("up{job='shop'} == 1"), "the node is scraped")
            assert await value("fraiseql_subs_bus_is_live{engine='redis'}") == ["1"]
        finally:
            process.terminate()
            await process.wait()


def test_grafana_finds_its_data_and_its_dashboard():
    (source,) = document(DOCKER / "grafana/datasource.yml")["datasources"]
    dashboard = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    (variable,) = [v for v in dashboard["templating"]["list"] if v["type"] == "datasource"]
    assert source["type"] == variable["query"]
    assert source["isDefault"] is True
    (provider,) = document(DOCKER / "grafana/dashboards.yml")["providers"]
    targets = [mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in targets
    assert str(Path(home).parent) == provider["options"]["path"]
