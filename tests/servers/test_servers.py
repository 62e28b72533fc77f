"""What the Compose file wires, run for real without containers: PostgreSQL and an S3 store behind Prefect and MLflow, a
Ray head and a second node, a Prefect worker, and one run through all of it. `make test-servers`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.processes import below, training_workers
from tests.servers.services import SECRET, Services, missing

WANTED = missing()
pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(bool(WANTED), reason="to install: " + "; ".join(WANTED)),
]
SETTINGS = {
    "compute": "{workers: 2, cpus_per_worker: 1, memory_per_worker: 0.25, storage: s3://hone/stages}",
    "prune": "{method: none}",  # a training as the others, and a model more to export and to measure
}


@dataclass
class Done:
    """One run through all services, and what was seen of it."""

    services: Services
    folder: Path
    flow_run: Any
    trained_on: set[str] = field(default_factory=set)
    """The Ray nodes that had training workers, by the name of their service."""


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    folder = Path(tempfile.mkdtemp(prefix="hs-"))  # short, for sockets; open, for PostgreSQL's user
    folder.chmod(0o755)
    started = Services(folder)
    try:
        started.start_postgres()
        started.start_s3()
        started.prepare()
        started.start_prefect()
        started.start_mlflow()
        started.start_ray()
        started.wait_until_well()
        started.start_worker()
        started.wait_for_worker()
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def done(services: Services) -> Done:
    recipe = tiny.write_recipe(services.worker / "team")
    text = recipe.read_text()
    for section, settings in SETTINGS.items():
        text = re.sub(f"{section}: .*", f"{section}: {settings}", text)
    recipe.write_text(text)
    deploy(services, recipe)
    found = Done(services, recipe.parent, None)
    with client(services) as prefect:
        flow_run = prefect.create_flow_run_from_deployment(prefect.read_deployment_by_name("optimize/tiny").id)
        deadline = time.monotonic() + 1500
        while not (flow_run.state and flow_run.state.is_final()):
            assert time.monotonic() < deadline, services.log("prefect-worker")
            found.trained_on |= {
                name for name in ("ray-head", "ray-worker", "prefect-worker") if trains(services, name)
            }
            time.sleep(0.5)
            flow_run = prefect.read_flow_run(flow_run.id)
    found.flow_run = flow_run
    assert flow_run.state.is_completed(), services.log("prefect-worker")
    return found


def client(services: Services) -> Any:
    from prefect.client.orchestration import SyncPrefectClient

    password = f"admin:{SECRET['PREFECT_PASSWORD']}"
    return SyncPrefectClient(f"{services.address('prefect-server')}/api", auth_string=password)


def deploy(services: Services, recipe: Path) -> None:
    command = [sys.executable, "-m", "hone", "deploy", str(recipe), "--directory", str(recipe.parent)]
    environment = services.environment("prefect-worker")
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


def trains(services: Services, name: str) -> bool:
    """Whether a training worker runs on the Ray node of a service."""
    return bool(training_workers(services.running[name].pid))


def rows(services: Services, database: str, query: str) -> list[tuple[Any, ...]]:
    import psycopg

    with psycopg.connect(
        host="127.0.0.1",
        port=services.ports["postgres"],
        user="hone",
        password=SECRET["POSTGRES_PASSWORD"],
        dbname=database,
    ) as connection:
        return connection.execute(query).fetchall()


def store(services: Services, key: str, secret: str) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=services.address("s3"),
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


def status(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_flow_run_ends_with_the_verdict_and_prefect_keeps_it_in_postgresql(done: Done) -> None:
    assert (done.flow_run.state_type.value, done.flow_run.state_name) == ("COMPLETED", "Completed")
    assert done.flow_run.name == "tiny: ACCEPTED"
    kept = rows(done.services, "prefect", f"SELECT state_name, name FROM flow_run WHERE id = '{done.flow_run.id}'")
    assert kept == [("Completed", "tiny: ACCEPTED")]


def test_the_trainings_ran_on_the_node_that_has_the_cores(done: Done) -> None:
    assert done.trained_on == {"ray-worker"}


def test_mlflow_keeps_the_run_the_version_and_its_aliases_in_postgresql(done: Done) -> None:
    tagged = rows(done.services, "mlflow", "SELECT value FROM tags WHERE key = 'prefect.flow_run_id'")
    assert tagged == [(str(done.flow_run.id),)]
    verdict = rows(done.services, "mlflow", "SELECT value FROM tags WHERE key = 'hone.verdict'")
    assert ("ACCEPTED",) in verdict
    assert rows(done.services, "mlflow", "SELECT version FROM model_versions WHERE name = 'tiny'") == [(1,)]
    aliases = rows(done.services, "mlflow", "SELECT alias FROM registered_model_aliases WHERE name = 'tiny'")
    assert ("champion",) in aliases
    assert not list(done.folder.rglob("mlflow.db"))


def keys(services: Services) -> list[str]:
    """Of all objects in the bucket."""
    pages = store(services, SECRET["S3_ACCESS_KEY"], SECRET["S3_SECRET_KEY"]).get_paginator("list_objects_v2")
    found = [item["Key"] for page in pages.paginate(Bucket="hone") for item in page["Contents"]]
    return [key for key in found if not key.endswith("/")]


def test_artifacts_and_stages_lie_in_the_s3_store(done: Done) -> None:
    found = keys(done.services)
    assert {key.split("/")[0] for key in found} == {"mlflow", "stages"}
    names = {Path(key).name for key in found if key.startswith("mlflow/")}
    assert {"report.json", "report.html", "model.onnx", "MLmodel"} <= names
    assert not list(done.folder.rglob("MLmodel"))
    made = {key.split("/")[2] for key in found if key.startswith("stages/stages/") and Path(key).name == "result.json"}
    assert {"data", "train", "distill", "quantize", "export", "evaluate", "gate"} <= made
    assert not [key for key in found if ".partial/" in key or "/ray-" in key]  # gone once a stage is finished


def test_the_trainings_needed_nothing_of_the_workers_disk(done: Done) -> None:
    there = done.services.folder / "ray-worker" / "mirror" / "hone" / "stages"
    fetched = {path.relative_to(there).parts[1] for path in there.glob("stages/*/*/*") if path.is_dir()}
    assert {"data", "train"} <= fetched  # what they learn from, and the model they begin with
    assert list(there.glob("stages/train/*.partial/scratch/encoder/config.json"))  # a copy of the recipe's own folder
    assert list(there.glob("teacher_outputs/*/logits.npy"))
    assert list(there.glob("tokenized/*/ids.npy"))


def test_the_cluster_keeps_no_process_of_a_run_that_has_ended(done: Done) -> None:
    """Ray Train's helper among them, which outlives a controller that is killed."""
    running = done.services.running
    commands = [command for name in ("ray-head", "ray-worker") for _, command in below(running[name].pid)]
    assert commands
    assert not [line for line in commands if "RayTrainWorker" in line or "PlacementGroupCleaner" in line]


def test_another_worker_finds_every_stage_finished(done: Done) -> None:
    """As after the loss of the first one's disk, but for the recipe and its data."""
    shutil.rmtree(done.services.worker / "mirror")
    with client(done.services) as prefect:
        flow_run = prefect.create_flow_run_from_deployment(prefect.read_deployment_by_name("optimize/tiny").id)
        begun = time.monotonic()
        while not (flow_run.state and flow_run.state.is_final()):
            assert time.monotonic() - begun < 900, done.services.log("prefect-worker")
            time.sleep(0.5)
            flow_run = prefect.read_flow_run(flow_run.id)
    assert (flow_run.state_name, flow_run.name) == ("Completed", "tiny: ACCEPTED"), done.services.log("prefect-worker")
    report = json.loads((done.folder / "runs" / "tiny" / "latest" / "report.json").read_text())
    ran = [stage["name"] for stage in report["stages"] if stage["status"] == "ran"]
    assert not set(ran) & {"data", "train", "distill", "quantize", "export", "evaluate"}


def test_the_champion_is_served_through_mlflow_to_whoever_has_no_key_of_the_store(done: Done) -> None:
    program = (
        "import mlflow; "
        "print(mlflow.pyfunc.load_model('models:/tiny@champion').predict(['the film is superb', 'a dull story']))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment["MLFLOW_TRACKING_URI"] = done.services.address("mlflow")
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=400, check=True
    )
    assert answer.stdout.index("good") < answer.stdout.index("bad")


def test_nobody_gets_in_without_the_secrets(services: Services) -> None:
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        store(services, "someone", "else").list_buckets()
    assert status(f"{services.address('prefect-server')}/api/flows/count") == 401
    assert status(f"{services.address('mlflow')}/ajax-api/2.0/mlflow/experiments/search", Host="evil.example") == 403
    environment = services.environment("prefect-worker") | {"RAY_AUTH_TOKEN": "another"}
    program = "import ray; ray.init(log_to_driver=False)"
    refused = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode != 0
    assert "InvalidAuthToken" in refused.stderr


def test_what_the_cluster_lacks_fails_the_flow_run_within_a_minute(done: Done) -> None:
    recipe = done.folder / "larger.yaml"
    recipe.write_text(
        (done.folder / "recipe.yaml")
        .read_text()
        .replace("name: tiny\nseed: 3", "name: larger\nseed: 4")  # another seed: finished trainings need no cluster
        .replace("memory_per_worker: 0.25", "memory_per_worker: 60000")
    )
    deploy(done.services, recipe)
    with client(done.services) as prefect:
        flow_run = prefect.create_flow_run_from_deployment(prefect.read_deployment_by_name("optimize/larger").id)
        deadline = time.monotonic() + 60
        while not (flow_run.state and flow_run.state.is_final()):
            assert time.monotonic() < deadline, done.services.log("prefect-worker")
            time.sleep(0.5)
            flow_run = prefect.read_flow_run(flow_run.id)
    assert flow_run.state.is_failed()
    assert "2 workers of 1 CPUs and 0 GPUs and 60000 GiB of memory each, and the cluster has 3 node(s)" in (
        flow_run.state.message
    )


def test_the_worker_ends_with_its_ray_node_so_that_whoever_restarts_it_gets_both(services: Services) -> None:
    worker = services.running["prefect-worker"]
    started = [(child, command.split()) for child, command in below(worker.pid) if child.ppid() == worker.pid]
    [node] = [child for child, words in started if "ray" in Path(words[1]).name]
    node.kill()
    assert worker.wait(40) == 1
