"""The Compose file and the image are sound before anybody has Docker: schema, secrets, users, limits, health, ports."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.wiring import INFRA, SECRETS, UnsetVariableError, load_compose

GIVEN = {name: f"secret{number}" for number, name in enumerate(SECRETS)}
COMPOSE = load_compose(GIVEN)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LASTING = {name: service for name, service in SERVICES.items() if service["restart"] != "no"}
BIN = Path(sys.executable).parent

each_service = pytest.mark.parametrize("name", SERVICES)


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_the_file_is_what_the_compose_specification_allows(name: str, tmp_path: Path) -> None:
    rendered = tmp_path / name
    rendered.write_text(yaml.safe_dump(load_compose(GIVEN, name)))
    check = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", rendered]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(
    subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0
    if shutil.which("docker")
    else True,
    reason="docker compose is not installed",
)
def test_docker_compose_renders_it() -> None:
    command = ["docker", "compose", "-f", INFRA / "compose.yaml", "-f", INFRA / "compose.gpu.yaml", "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=GIVEN | {"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_starts_without_every_secret(secret: str) -> None:
    with pytest.raises(UnsetVariableError, match=f"set {secret}"):
        load_compose(GIVEN | {secret: ""})


def test_the_example_names_every_secret_and_gives_none() -> None:
    lines = (INFRA / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [f"{name}=" for name in SECRETS]


@each_service
def test_a_service_is_nobody_special_and_gains_nothing(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] not in ("", "root", "0", "0:0")
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@each_service
def test_a_service_cannot_take_the_whole_machine(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[mg]", limits["memory"])


@pytest.mark.parametrize("name", LASTING)
def test_a_service_that_stays_says_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@each_service
def test_a_service_waits_for_what_it_needs_to_be_well(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        lasting = needed in LASTING
        assert how["condition"] == ("service_healthy" if lasting else "service_completed_successfully")


@each_service
def test_nothing_is_heard_beyond_loopback(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
    assert "network_mode" not in SERVICES[name]


def test_only_whoever_needs_the_stores_can_reach_them() -> None:
    assert COMPOSE["networks"] == {"stores": {"internal": True}, "objects": {"internal": True}, "cluster": {}}
    inside = {
        network: {name for name, service in SERVICES.items() if network in service["networks"]}
        for network in ("stores", "objects")
    }
    assert inside["stores"] == {"postgres", "prepare", "prefect-server", "mlflow"}
    assert inside["objects"] == {"s3", "prepare", "mlflow", "prefect-worker", "ray-head", "ray-worker"}


def test_a_ray_node_has_no_disk_in_common_with_the_worker_and_the_keys_of_the_store() -> None:
    for name in ("ray-head", "ray-worker"):
        assert not SERVICES[name].get("volumes")
        assert {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(SERVICES[name]["environment"])


def test_what_has_to_survive_lies_in_named_volumes() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"]) == {"postgres", "s3", "hone"}
    shared = {name for name, service in SERVICES.items() if "hone:/var/lib/hone" in service.get("volumes", [])}
    assert shared == {"prefect-worker"}


def test_secrets_are_on_no_command_line() -> None:
    said = [text for service in SERVICES.values() for text in map(str, service.get("command", []))]
    assert said
    assert not [text for text in said if any(secret in text for secret in GIVEN.values())]
