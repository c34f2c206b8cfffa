"""The manifests: Kubernetes accepts them, they fit together, and they fit the image."""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections.abc import AsyncIterator

import httpx
import kubernetes_validate
import pytest
from files import KUBERNETES, RESERVE, document, environment, of_image
from shop import Shop
from support import PATIENCE, eventually
from support.paths import ROOT

from fraiseql_subs import SubscriptionManager, subscription
from fraiseql_subs.commands.serve import command as serve

FILES = sorted(path.name for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml")
VERSIONS = ["1.30", "1.34"]

DEPLOYMENT = document(KUBERNETES / "deployment.yaml")
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
SETTINGS = document(KUBERNETES / "configmap.yaml")["data"]
KUSTOMIZATION = document(KUBERNETES / "kustomization.yaml")
PROBES = ("startup", "liveness", "readiness")
PATHS = {name: CONTAINER[f"{name}Probe"]["httpGet"]["path"] for name in PROBES}


@subscription
async def endless() -> AsyncIterator[int]:
    yield 1
    await asyncio.Event().wait()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", FILES)
def test_kubernetes_accepts_it(name, version):
    kubernetes_validate.validate(document(KUBERNETES / name), version, strict=True)


def test_a_manifest_that_is_wrong_is_not_accepted():
    wrong = document(KUBERNETES / "deployment.yaml")
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 60
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_all_of_them_are_applied():
    assert sorted(KUSTOMIZATION["resources"]) == FILES
    assert [image["name"] for image in KUSTOMIZATION["images"]] == [CONTAINER["image"]]


def test_names_and_labels_lead_to_the_pods():
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    name = DEPLOYMENT["metadata"]["name"]
    service = document(KUBERNETES / "service.yaml")
    (spread,) = POD["topologySpreadConstraints"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert spread["labelSelector"]["matchLabels"] == labels
    assert document(KUBERNETES / "pdb.yaml")["spec"]["selector"]["matchLabels"] == labels
    scaled = document(KUBERNETES / "hpa.yaml")["spec"]["scaleTargetRef"]
    assert scaled == {"apiVersion": DEPLOYMENT["apiVersion"], "kind": "Deployment", "name": name}
    # It would undo what the autoscaler does at each `kubectl apply`.
    assert "replicas" not in DEPLOYMENT["spec"]
    (rule,) = document(KUBERNETES / "ingress.yaml")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    assert path["backend"]["service"]["port"]["name"] == service["spec"]["ports"][0]["name"]
    assert path["path"] == "/graphql"
    assert rule["host"] in SETTINGS["HOSTS"].split()
    references = [next(iter(source.values()))["name"] for source in CONTAINER["envFrom"]]
    assert document(KUBERNETES / "configmap.yaml")["metadata"]["name"] in references


def test_ports_are_that_of_the_image():
    (port,) = CONTAINER["ports"]
    (service,) = document(KUBERNETES / "service.yaml")["spec"]["ports"]
    annotations = DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]
    assert str(port["containerPort"]) == of_image("EXPOSE")
    assert annotations["prometheus.io/port"] == of_image("EXPOSE")
    assert service["targetPort"] == port["name"]
    probes = [CONTAINER[f"{name}Probe"]["httpGet"]["port"] for name in PROBES]
    assert set(probes) == {port["name"]}


def test_settings_are_options_of_serve():
    variables = {option.envvar for option in serve.params}
    own = {name for name in {**SETTINGS, **environment()} if name.startswith("FRAISEQL_SUBS_")}
    assert len(own) > 3
    assert own <= variables


def test_the_pod_has_the_time_to_drain():
    (_, pause) = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    needed = float(pause) + float(SETTINGS["FRAISEQL_SUBS_DRAIN"]) + RESERVE
    assert POD["terminationGracePeriodSeconds"] >= needed


def test_the_pod_has_no_rights():
    assert POD["securityContext"]["runAsNonRoot"] is True
    ids = (POD["securityContext"]["runAsUser"], POD["securityContext"]["runAsGroup"])
    assert ":".join(map(str, ids)) == of_image("USER")
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is False


async def test_probes_are_answered_by_the_address_of_the_pod(tmp_path):
    annotations = DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]
    async with Shop.open(tmp_path) as shop, shop.node() as node:
        for path in (*PATHS.values(), annotations["prometheus.io/path"]):
            assert await node.status(path) == 200


async def test_in_a_drain_a_node_lives_and_is_not_ready(serve, connect):
    manager = SubscriptionManager([endless])
    server = await serve(manager)
    client = await connect(server.url)
    await client.receive_data(await client.subscribe("subscription { endless }"))
    closing = asyncio.create_task(manager.close(drain=PATIENCE))
    async with httpx.AsyncClient(base_url=server.http_url.removesuffix(server.path)) as probe:

        async def is_unready() -> bool:
            return (await probe.get(PATHS["readiness"])).status_code == 503

        await eventually(is_unready, "the node is not ready")
        assert (await probe.get(PATHS["liveness"])).status_code == 200
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing


def test_a_pod_starts_within_the_time_of_its_probe():
    probe = CONTAINER["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 60
    (interval,) = re.findall(r"--start-period=(\d+)s", of_image("HEALTHCHECK"))
    assert int(interval) <= 60


def test_manifests_of_the_documents_are_accepted():
    text = (ROOT / "docs/how-to/deploy.md").read_text()
    blocks = [textwrap.dedent(code) for code in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert blocks
    for block in blocks:
        for version in VERSIONS:
            kubernetes_validate.validate(document(block), version, strict=True)


async def test_the_metric_of_the_documents_is_there():
    text = (ROOT / "docs/how-to/deploy.md").read_text()
    (name,) = re.findall(r"metric: \{name: (\w+)\}", text)
    async with SubscriptionManager([endless]) as manager:
        assert f"# TYPE {name} gauge" in manager.prometheus()
