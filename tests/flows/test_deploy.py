"""`hone up` for real: its servers, the deployments, the run form in a browser, a run to its end, a run cancelled."""

import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from hone.configs.recipe import Recipe, RecipeError, load_recipe
from hone.flows.deploy import connected, load_recipes
from hone.flows.services.plan import Ports, Site
from hone.flows.services.records import orphans, read_records
from hone.flows.triggers import WAITS, end_orphans
from tests import tiny
from tests.flows import chromium, pages
from tests.flows.inbox import Inbox, notify
from tests.flows.running import Here, ask, free_ports, trainers
from tests.processes import below

pytestmark = pytest.mark.timeout(1800)
SECTIONS = [name for name in Recipe.model_json_schema()["properties"] if name not in ("name", "seed")]
ENDED = ("COMPLETED", "FAILED", "CRASHED")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("up")
    recipe = tiny.write_recipe(folder / "configs")
    text = recipe.read_text().replace(f"{folder}/configs/corpus", "configs/corpus")  # relative, as a person would
    text = re.sub("prune: .*", "prune: {method: none}", text)  # a training, an export and a model to time the fewer
    text += "retrain: {cron: 0 3 * * *, on_events: [hone.data.arrived]}\n"
    recipe.write_text(text.replace(str(folder / "configs" / "storage"), ".hone"))
    found = Here(folder, Site(folder / ".hone", Ports(*free_ports(3))))
    try:
        done = found.up()
        assert done.returncode == 0, done.stdout + done.stderr
        yield found
    finally:
        found.hone("down")


@pytest.fixture(scope="module")
def submitted(here: Here, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A flow run that a person started from the form, with 5 epochs and a cosine in place of 6 and a line; where there
    is no browser, as the form would."""
    deployment = here.deployment("optimize/tiny")
    if chromium.path():
        with chromium.browser(tmp_path_factory.mktemp("profile")) as page:
            pages.fill_in(page, here, deployment["id"])
            assert {url.split("/")[2] for url in page.requested if url.startswith("http")} == {
                here.site.prefect_url.removeprefix("http://")
            }
    else:
        chosen = deployment["parameters"]
        chosen["recipe"]["train"] |= {"epochs": 5, "decay": "cosine"}
        here.run(deployment["id"], chosen)
    wanted = {"deployments": {"id": {"any_": [deployment["id"]]}}}
    [run] = here.until(lambda: here.ask("POST", "/flow_runs/filter", wanted)[1], 30)
    return str(run["id"])


@pytest.fixture(scope="module")
def finished(here: Here, submitted: str) -> str:
    """The same, at its end."""
    here.until(lambda: here.state(submitted)["type"] in ("COMPLETED", "FAILED", "CRASHED"))
    return submitted


def test_recipes_of_one_name_are_refused_as_a_deployment_is_named_after_its_recipe(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tiny.write_recipe(tmp_path / name)
    with pytest.raises(RecipeError, match=r"b/recipe\.yaml: its name is 'tiny', as is that of .*a/recipe\.yaml"):
        load_recipes([tmp_path / "a" / "recipe.yaml", tmp_path / "b" / "recipe.yaml"])


def test_everything_is_healthy_and_listens_on_loopback_alone(here: Here) -> None:
    shown = here.hone("status")
    assert shown.returncode == 0, shown.stdout
    assert shown.stdout.count("healthy") == 4
    pids = {record.pid for record in read_records(here.site.services).values()}
    pids |= {process.pid for pid in pids for process, _command in below(pid)}
    listening = [c.laddr[0] for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid in pids]
    assert len(listening) >= 3
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_a_second_up_finds_it_running_and_starts_nothing(here: Here) -> None:
    before = read_records(here.site.services)
    done = here.up()
    assert (done.returncode, "all of it runs already" in done.stdout) == (0, True)
    other = here.hone("up", "--detach", "--prefect-port", "14203")
    assert (other.returncode, "all of it runs already, on the ports" in other.stderr) == (2, True)
    assert read_records(here.site.services) == before


def test_deploying_again_keeps_the_deployments_and_a_pause_and_takes_the_recipes_values(here: Here) -> None:
    retrain = here.deployment("retrain/tiny")
    path = f"/deployments/{retrain['id']}/schedules/{retrain['schedules'][0]['id']}"
    assert here.ask("PATCH", path, {"active": False})[0] == 204
    wanted = {"deployments": {}, "limit": 200}
    before = {found["id"] for found in here.ask("POST", "/deployments/filter", wanted)[1]}
    done = here.hone("deploy", f"--folder={here.site.folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    after = here.ask("POST", "/deployments/filter", wanted)[1]
    assert {found["id"] for found in after} == before
    assert {found["name"] for found in after} == {"tiny", "promote", "rollback"}
    [schedule] = here.deployment("retrain/tiny")["schedules"]
    assert schedule["active"] is False  # as a person left it
    recipe = load_recipe(here.folder / "configs" / "recipe.yaml")
    optimize = here.deployment("optimize/tiny")
    assert optimize["parameters"] == {"recipe": recipe.model_dump(mode="json")}
    assert optimize["work_pool_name"] == "hone"
    assert re.fullmatch(r"\d[\w.]*\+[0-9a-f]{16}", optimize["version"])
    assert "| Failed | `hone:rejected` |" in optimize["description"]
    assert optimize["global_concurrency_limit"]["limit"] == 1
    assert optimize["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert (
        optimize["global_concurrency_limit"]["id"] == here.deployment("retrain/tiny")["global_concurrency_limit"]["id"]
    )


def test_the_schedule_and_the_events_of_a_recipe_are_those_of_its_retrain_deployment(here: Here) -> None:
    assert here.deployment("optimize/tiny")["schedules"] == []
    [schedule] = here.deployment("retrain/tiny")["schedules"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("0 3 * * *", "UTC")
    found = {one["name"]: one for one in here.ask("POST", "/automations/filter", {})[1]}
    assert sorted(found) == ["hone: crashed where silent", "hone: retrain/tiny on hone.data.arrived"]
    watch = found["hone: crashed where silent"]["trigger"]
    assert watch["match_related"] == {"prefect.resource.id": "prefect.tag.hone", "prefect.resource.role": "tag"}
    assert watch["within"] == 90
    assert {"prefect.flow-run.Completed", "prefect.flow-run.Failed", WAITS} <= set(watch["expect"])


def test_what_other_people_have_on_the_server_stays_theirs_and_what_is_old_of_hone_is_renewed(here: Here) -> None:
    watch = next(one for one in here.ask("POST", "/automations/filter", {})[1] if one["name"].startswith("hone: crash"))
    old = {key: watch[key] for key in ("name", "description", "enabled", "actions")}
    old["trigger"] = {**watch["trigger"], "match_related": {}}
    assert here.ask("PUT", f"/automations/{watch['id']}", old)[0] == 204
    flow = here.ask("POST", "/flows/", {"name": "optimize"})[1]["id"]
    lapse = here.ask("POST", "/flows/", {"name": "lapse"})[1]["id"]
    theirs = {"flow_id": flow, "name": "theirs", "tags": ["team"], "work_pool_name": "hone"}
    assert here.ask("POST", "/deployments/", theirs)[0] in (200, 201)
    assert here.ask("POST", "/deployments/", {"flow_id": lapse, "name": "lapse", "tags": ["hone"]})[0] in (200, 201)
    recipe = here.folder / "configs" / "recipe.yaml"
    refused = here.hone("deploy", str(recipe), "--set", "name=theirs")
    assert refused.returncode == 2
    assert "not Hone's (they lack the tag hone): optimize/theirs: give the recipe another name" in refused.stderr
    foreign = here.ask("POST", "/flow_runs/", {"flow_id": flow, "state": {"type": "RUNNING"}, "tags": ["team"]})[1][
        "id"
    ]
    assert here.hone("deploy", f"--folder={here.site.folder}").returncode == 0
    renewed = here.ask("GET", f"/automations/{watch['id']}")[1]
    assert renewed["trigger"]["match_related"] == watch["trigger"]["match_related"]
    assert here.ask("GET", "/deployments/name/lapse/lapse")[0] == 404
    with connected(f"{here.site.prefect_url}/api") as client:
        assert end_orphans(client) == []
    assert here.state(foreign)["type"] == "RUNNING"
    assert here.ask("DELETE", f"/deployments/{here.deployment('optimize/theirs')['id']}")[0] == 204
    assert here.ask("DELETE", f"/flow_runs/{foreign}")[0] == 204


def test_the_form_has_the_sections_in_order_with_choices_bounds_and_descriptions(here: Here) -> None:
    types = here.deployment("optimize/tiny")["parameter_openapi_schema"]["definitions"]
    assert list(types["Recipe"]["properties"]) == ["name", "seed", *SECTIONS]
    assert [types["DataSettings"]["title"], types["TrainSettings"]["title"]] == ["data", "train"]
    train = types["TrainSettings"]["properties"]
    assert train["decay"]["enum"] == ["linear", "cosine", "constant"]
    assert (train["epochs"]["minimum"], train["epochs"]["maximum"]) == (0, 1000)
    undescribed = [
        f"{section}.{name}"
        for section, schema in types.items()
        for name, field in schema.get("properties", {}).items()
        if not field.get("description") and "$ref" not in json.dumps(field)
    ]
    assert undescribed == []


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("epochs", -1, "recipe.train.epochs"),
        ("decay", "square", "recipe.train.decay"),
        ("epoch", 2, "epoch"),
        ("batch_size", "many", "recipe.train.batch_size"),
        ("retrain.cron", "99 99 * * *", "recipe.retrain.cron"),
        ("gate.p95_cell", "1by32", "recipe.gate.p95_cell"),
    ],
)
def test_a_wrong_value_is_refused_before_the_run_is_submitted(here: Here, key: str, value: Any, reason: str) -> None:
    deployment = here.deployment("optimize/tiny")
    ours = {"deployments": {"id": {"any_": [deployment["id"]]}}}
    before = here.ask("POST", "/flow_runs/count", ours)[1]
    section, _, field = key.rpartition(".")
    deployment["parameters"]["recipe"][section or "train"][field] = value
    body = {"parameters": deployment["parameters"]}
    status, answer = here.ask("POST", f"/deployments/{deployment['id']}/create_flow_run", body)
    assert status == 409
    assert reason in answer
    assert here.ask("POST", "/flow_runs/count", ours)[1] == before


def test_what_a_person_fills_into_the_form_is_what_runs(here: Here, submitted: str) -> None:
    if not chromium.path():
        pytest.skip("no Chromium here: apt-get install chromium")
    run = here.ask("GET", f"/flow_runs/{submitted}")[1]
    expected = load_recipe(here.folder / "configs" / "recipe.yaml", ["train.epochs=5", "train.decay=cosine"])
    assert run["parameters"]["recipe"] == expected.model_dump(mode="json")


def test_the_run_ends_with_its_verdict_and_its_stages_are_tasks(here: Here, finished: str) -> None:
    state = here.state(finished)
    assert (state["type"], state["name"]) == ("COMPLETED", "Completed"), state["message"]
    assert state["message"].startswith("ACCEPTED")
    by_tag = {"flow_runs": {"tags": {"all_": ["hone", "hone:accepted"]}, "state": {"name": {"any_": ["Completed"]}}}}
    assert [run["id"] for run in here.ask("POST", "/flow_runs/filter", by_tag)[1]] == [finished]
    stages = ["data", "train", "distill", "prune", "quantize", "export", "evaluate", "gate", "register", "promote"]
    assert [name for name in here.tasks(finished) if name in stages] == stages
    assert (
        here.folder / "runs" / "tiny" / "latest" / "report.html"
    ).exists()  # in the folder where `hone up` was called
    assert here.champion() == "1"


def test_the_run_shows_progress_the_table_the_plots_and_the_ways_to_mlflow(here: Here, finished: str) -> None:
    found = here.artifacts(finished)
    for stage in ("train", "distill", "quantize", "export", "evaluate"):
        assert (found[f"{stage}-progress"]["type"], found[f"{stage}-progress"]["data"]) == ("progress", 100.0), stage
    assert found["tiny-report"]["data"].startswith("## ACCEPTED")
    for plot in ("accuracy-against-latency", "curves-train", "curves-quantize"):
        assert found[f"tiny-{plot}"]["type"] == "image"
        assert found[f"tiny-{plot}"]["data"].startswith("data:image/svg+xml;base64,")
    report = json.loads((here.folder / "runs" / "tiny" / "latest" / "report.json").read_text())
    link = f"/runs/{report['mlflow_run_id']}/artifacts/report.html)"
    assert link in found["tiny-report"]["description"]
    assert f"{here.site.mlflow_url}/#/experiments/" in found["tiny-mlflow-run"]["data"]
    assert f"/runs/{report['mlflow_run_id']})" in found["tiny-mlflow-run"]["data"]
    assert f"{here.site.mlflow_url}/#/models/tiny/versions/1" in found["tiny-registry-version"]["data"]
    query = f"{here.site.mlflow_url}/api/2.0/mlflow/runs/get?run_id={report['mlflow_run_id']}"
    tags = {tag["key"]: tag["value"] for tag in ask(query)[1]["run"]["data"]["tags"]}
    page = f"{here.site.prefect_url}/runs/flow-run/{finished}"
    links = (tags["hone.registered"], tags["hone.prefect_run"], tags["prefect.flow_run_id"])
    assert links == ("tiny/1", page, finished)
    assert f"[The run in Prefect]({page})" in tags["mlflow.note.content"]


def test_a_browser_shows_the_finished_run_and_its_artifacts(here: Here, finished: str, tmp_path: Path) -> None:
    if not chromium.path():
        pytest.skip("no Chromium here: apt-get install chromium")
    with chromium.browser(tmp_path) as page:
        page.open(f"{here.site.prefect_url}/runs/flow-run/{finished}")
        words = ["Completed", "hone:accepted", "Artifacts", "Task Runs"]
        page.wait(f"{words}.every(word => document.body?.innerText.includes(word))")
        page.press_until(
            "[...document.querySelectorAll('*')].filter(one => one.innerText?.trim() === 'Artifacts').at(-1)",
            "document.body.innerText.toLowerCase().includes('tiny-accuracy-against-latency')",
        )
        if pictures := os.environ.get("HONE_PICTURES"):
            time.sleep(2)
            page.picture(Path(pictures) / "run.png")
        report = here.artifacts(finished)["tiny-report"]["id"]
        page.open(f"{here.site.prefect_url}/artifacts/artifact/{report}")
        page.wait("['quantized', 'accuracy', 'speed-up'].every(word => document.body?.innerText.includes(word))")
        plot = here.artifacts(finished)["tiny-accuracy-against-latency"]["id"]
        page.open(f"{here.site.prefect_url}/artifacts/artifact/{plot}")
        page.wait("[...document.images].some(one => one.src.startsWith('data:image/svg') && one.naturalWidth > 100)")


def test_a_run_waits_for_a_person_through_a_restart_and_does_as_they_say_above_the_evidence(
    here: Here, finished: str, tmp_path: Path
) -> None:
    deployment = here.deployment("optimize/tiny")
    asked = here.ask("GET", f"/flow_runs/{finished}")[1]["parameters"]
    asked["recipe"]["register"]["promote"] = "approval"
    for stage in ("distill", "quantize"):
        asked["recipe"][stage]["method"] = "none"  # another model, the teacher, which takes little to be measured
    asked["recipe"]["evaluate"] |= {"rounds": 1, "cells": ["1x8"], "robustness": []}
    run = here.run(deployment["id"], asked)
    here.until(lambda: here.state(run)["type"] in ("PAUSED", *ENDED))
    assert here.state(run)["type"] == "PAUSED", here.state(run)["message"]
    assert here.champion() == "1"
    asked["recipe"]["train"]["epochs"] = 1000
    another = here.run(deployment["id"], asked)  # of the same model: it does not wait for a person's word
    here.until(lambda: "data" in here.tasks(another))
    assert here.hone("down").returncode == 0
    restarted = here.up()
    assert (restarted.returncode, "was running when its worker was stopped" in restarted.stdout) == (0, True)
    assert here.state(another)["type"] == "CRASHED"
    assert here.state(run)["name"] == "Suspended"
    if chromium.path():
        with chromium.browser(tmp_path) as page:
            pages.approve(page, here, run)
    else:
        word = {"decision": "approve", "who": "olga", "reason": "as good and faster"}
        assert here.ask("POST", f"/flow_runs/{run}/resume", {"run_input": word})[0] == 201
    here.until(lambda: here.state(run)["type"] in ("COMPLETED", "FAILED", "CRASHED"), 60)
    state = here.state(run)
    assert (state["name"], here.champion()) == ("Completed", "2"), state["message"]
    assert {"hone:accepted", "hone:approved"} <= set(here.ask("GET", f"/flow_runs/{run}")[1]["tags"])
    waiting = here.ask("POST", "/flow_runs/filter", {"flow_runs": {"tags": {"all_": ["hone:expiry"]}}})[1]
    assert waiting == []  # nothing is left to do at the deadline
    told = here.hone("history", "tiny").stdout
    assert "olga" in told
    assert "as good and faster" in told


def test_an_event_about_the_model_starts_retrain_which_finds_data_and_recipe_unchanged(
    here: Here, finished: str
) -> None:
    ran = {"flow_runs": {"tags": {"all_": ["hone:approved"]}}}  # the last that came to an end
    [last] = here.ask("POST", "/flow_runs/filter", ran)[1]
    retrain = here.deployment("retrain/tiny")
    asked = retrain["parameters"] | {"recipe": last["parameters"]["recipe"]}  # as a person edits it on its page
    assert here.ask("PATCH", f"/deployments/{retrain['id']}", {"parameters": asked})[0] == 204
    event = {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "hone.data.arrived",
        "resource": {"prefect.resource.id": "hone.model.tiny"},
    }
    assert here.ask("POST", "/events", [event])[0] == 204
    wanted = {
        "deployments": {"id": {"any_": [retrain["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}},
    }
    [run] = here.until(lambda: here.ask("POST", "/flow_runs/filter", wanted)[1], 120)
    assert (run["state"]["name"], run["created_by"]["type"]) == ("Completed", "AUTOMATION")
    assert run["state"]["message"].startswith("UNCHANGED: data and recipe are those of the last run")
    assert (run["name"], "hone:unchanged" in run["tags"]) == ("tiny: UNCHANGED", True)


def test_what_is_not_accepted_is_a_failed_run_with_its_own_tag_its_own_name_and_a_message_to_the_team(
    here: Here, finished: str
) -> None:
    """In one run each: a combination that no form can refuse, and a verdict that is not ACCEPTED."""
    with Inbox() as inbox:
        notify(here, inbox.url)
        deployment = here.deployment("optimize/tiny")
        asked = deployment["parameters"]
        asked["recipe"]["gate"] |= {"max_p95_ms": 1, "p95_cell": "7x7"}
        wrong = here.run(deployment["id"], asked)
        here.until(lambda: here.state(wrong)["type"] in ENDED, 60)
        state, run = here.state(wrong), here.ask("GET", f"/flow_runs/{wrong}")[1]
        assert (state["type"], state["name"]) == ("FAILED", "Failed")
        assert "gate.p95_cell is '7x7', which is not measured: use one of evaluate.cells" in state["message"]
        assert "hone:error" in run["tags"]
        assert not any("Traceback" in line for line in here.logs(wrong))

        asked = here.ask("GET", f"/flow_runs/{finished}")[1]["parameters"]
        asked["recipe"]["gate"]["max_size_bytes"] = 1
        body = {"parameters": asked, "name": "before-the-fair"}
        rejected = here.ask("POST", f"/deployments/{deployment['id']}/create_flow_run", body)[1]["id"]
        here.until(lambda: here.state(rejected)["type"] in ENDED)
        wanted = {"flow_runs": {"tags": {"all_": ["hone:rejected"]}, "state": {"type": {"any_": ["FAILED"]}}}}
        [run] = here.ask("POST", "/flow_runs/filter", wanted)[1]
        assert (run["id"], run["name"], run["state"]["name"]) == (rejected, "before-the-fair", "Failed")
        assert run["state"]["message"].startswith("REJECTED")
        lines = here.logs(rejected)
        for told in ("train: cached", "nothing it depends on has changed", "gate: ran", "REJECTED: "):
            assert any(told in line for line in lines), told
        for parts in (("gate.p95_cell is '7x7'",), ("before-the-fair", "REJECTED")):  # in the order that Prefect sends
            here.until(lambda parts=parts: any(all(part in said for part in parts) for said in inbox.bodies), 120)


def test_cancelling_stops_the_workers_in_30_seconds_leaves_the_champion_and_lets_the_next_run_reuse_what_was_done(
    here: Here, finished: str
) -> None:
    deployment, before = here.deployment("optimize/tiny"), here.champion()
    long = deployment["parameters"]
    long["recipe"]["train"]["epochs"] = 1000
    run = here.run(deployment["id"], long)
    here.until(lambda: here.artifacts(run).get("train-progress") and trainers(here))
    assert here.ask("POST", f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})[0] == 201
    here.until(lambda: not trainers(here), 30)
    here.until(lambda: here.state(run)["type"] == "CANCELLED", 60)
    assert here.champion() == before
    assert [name for name in here.tasks(run) if name in ("data", "train", "distill")] == ["data", "train"]
    stages = here.folder / ".hone" / "stages"
    assert len([one for one in (stages / "data").iterdir() if one.is_dir()]) == 1  # made by the first run, used by this


def test_after_a_kill_status_names_what_is_gone_and_down_leaves_nothing(here: Here) -> None:
    psutil.Process(read_records(here.site.services)["mlflow"].pid).kill()
    here.until(lambda: "mlflow   not running" in here.hone("status").stdout, 30)
    assert here.hone("status").returncode == 1
    done = here.hone("down")
    assert (done.returncode, done.stdout.strip()) == (0, "stopped prefect, ray, worker")
    assert orphans(here.site.services) == []
    assert not any(str(here.site.services) in " ".join(one.info["cmdline"] or []) for one in _everything())


def _everything() -> list[psutil.Process]:
    return list(psutil.process_iter(["cmdline"]))
