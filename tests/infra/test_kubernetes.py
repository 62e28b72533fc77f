"""The manifests are sound before anybody has a cluster: schema, users, limits, probes, secrets, references."""

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.infra.wiring import INFRA, SECRETS, load_compose

FOLDER = INFRA / "kubernetes"
VERSION = "1.33"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OBJECTS: list[dict[str, Any]] = [
    found for name in KUSTOMIZATION["resources"] for found in yaml.safe_load_all((FOLDER / name).read_text())
]
SETTINGS = dict(literal.split("=", 1) for literal in KUSTOMIZATION["configMapGenerator"][0]["literals"])
COMPOSE = load_compose(dict.fromkeys(SECRETS, "given"))["services"]


def title(found: dict[str, Any]) -> str:
    return f"{found['kind']}/{found['metadata']['name']}"


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The template of every pod, those that KubeRay will make among them."""
    for found in OBJECTS:
        spec = found.get("spec", {})
        if found["kind"] == "RayCluster":
            yield f"{title(found)}/head", spec["headGroupSpec"]["template"]
            for group in spec["workerGroupSpecs"]:
                yield f"{title(found)}/{group['groupName']}", group["template"]
        elif "template" in spec:
            yield title(found), spec["template"]


PODS = dict(pods())
CONTAINERS = {
    f"{pod}/{container['name']}": container
    for pod, template in PODS.items()
    for container in [*template["spec"]["containers"], *template["spec"].get("initContainers", [])]
}
LASTING = {
    f"{pod}/{container['name']}": container
    for pod, template in PODS.items()
    for container in template["spec"]["containers"]
}
each_pod = pytest.mark.parametrize("pod", PODS)
each_container = pytest.mark.parametrize("name", CONTAINERS)


@pytest.mark.parametrize("found", [o for o in OBJECTS if o["kind"] != "RayCluster"], ids=title)
def test_an_object_is_what_kubernetes_allows(found: dict[str, Any]) -> None:
    kubernetes_validate.validate(found, VERSION, strict=True)


@each_pod
def test_a_pod_is_what_kubernetes_allows_whoever_makes_it(pod: str) -> None:
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "made"}, "spec": PODS[pod]["spec"]}
    kubernetes_validate.validate(made, VERSION, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_renders_them_into_one_namespace() -> None:
    done = subprocess.run(["kubectl", "kustomize", FOLDER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rendered = list(yaml.safe_load_all(done.stdout))
    assert len(rendered) == len(OBJECTS) + 1  # and the config map
    assert {found["metadata"].get("namespace", "hone") for found in rendered} == {"hone"}


def test_every_manifest_is_rendered() -> None:
    assert {path.name for path in FOLDER.glob("*.yaml")} == {*KUSTOMIZATION["resources"], "kustomization.yaml"}


@each_pod
def test_a_pod_is_nobody_special_as_the_namespace_demands(pod: str) -> None:
    security = PODS[pod]["spec"]["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert PODS[pod]["spec"]["automountServiceAccountToken"] is False


@each_container
def test_a_container_gains_nothing_and_has_limits(name: str) -> None:
    container = CONTAINERS[name]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert set(container["resources"]["limits"]) == set(container["resources"]["requests"]) == {"cpu", "memory"}


@pytest.mark.parametrize("name", LASTING)
def test_a_container_that_stays_says_whether_it_is_ready_and_alive(name: str) -> None:
    assert {"readinessProbe", "livenessProbe"} <= set(LASTING[name])


@each_container
def test_a_secret_comes_from_the_secret_that_the_example_describes(name: str) -> None:
    for variable in CONTAINERS[name].get("env", []):
        if "valueFrom" in variable:
            reference = variable["valueFrom"]["secretKeyRef"]
            assert reference["name"] == "hone"
            assert reference["key"] in SECRETS
        else:
            assert not variable["name"].endswith(("PASSWORD", "TOKEN", "KEY"))


@each_container
def test_a_variable_stands_before_whatever_names_it(name: str) -> None:
    container = CONTAINERS[name]
    known = set(SETTINGS) if container.get("envFrom") else set()
    for variable in container.get("env", []):
        assert names_in(variable.get("value", "")) <= known
        known.add(variable["name"])
    for text in [*container.get("command", []), *container.get("args", [])]:
        assert names_in(text) <= known


def names_in(text: str) -> set[str]:
    """Those of `$(NAME)`."""
    return {part.split(")")[0] for part in text.split("$(")[1:]}


def test_every_service_finds_a_pod_and_every_address_a_service() -> None:
    services = [found for found in OBJECTS if found["kind"] == "Service"]
    labels = [template.get("metadata", {}).get("labels", {}) for template in PODS.values()]
    assert all(service["spec"]["selector"] in labels for service in services)
    heard = {
        f"{service['metadata']['name']}:{port['port']}" for service in services for port in service["spec"]["ports"]
    }
    [ray] = [found for found in OBJECTS if found["kind"] == "RayCluster"]
    heard.add(f"{ray['spec']['headGroupSpec']['headService']['metadata']['name']}:6379")
    called = {name: SETTINGS[name] for name in ("POSTGRES_HOST", "RAY_ADDRESS")} | {
        name: SETTINGS[name].split("//")[1].split("/")[0]
        for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL")
    }
    assert set(called.values()) <= heard


def test_the_servers_are_started_as_the_compose_file_starts_them() -> None:
    wanted = {
        "Deployment/prefect-server/server": "prefect-server",
        "Deployment/prefect-server/prepare": "prepare",
        "Deployment/mlflow/server": "mlflow",
        "Deployment/prefect-worker/worker": "prefect-worker",
        "StatefulSet/s3/s3": "s3",
    }
    for name, service in wanted.items():
        container = CONTAINERS[name]
        said = [text.replace("$(HONE_BUCKET)", "hone") for text in container.get("command") or container["args"]]
        assert said == COMPOSE[service]["command"], name


def test_the_ray_nodes_reach_the_store_that_all_others_reach() -> None:
    for name in ("RayCluster/hone/head/ray-head", "RayCluster/hone/cpu/ray-worker"):
        values = {variable["name"]: variable.get("value") for variable in CONTAINERS[name]["env"]}
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(values)
        for setting in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
            assert values[setting] == SETTINGS[setting]


def test_the_cluster_runs_the_ray_that_is_locked() -> None:
    lock = (INFRA / "requirements.lock").read_text().splitlines()
    [ray] = [found for found in OBJECTS if found["kind"] == "RayCluster"]
    assert f"ray=={ray['spec']['rayVersion']}" in lock
