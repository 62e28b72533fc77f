"""What needs a person is sent to the blocks that a recipe names, and to nobody else: by Prefect's own matching, words
and webhook. `test_deploy` has a real server send them."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.blocks.webhook import Webhook
from prefect.exceptions import ObjectNotFound
from prefect.server.events.actions import CallWebhook
from prefect.server.events.jinja_filters import all_filters
from prefect.server.events.schemas.automations import EventTrigger
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.schemas.responses import FlowRunResponse
from prefect.server.schemas.states import State, StateType
from prefect.server.utilities.user_templates import register_user_template_filters, render_user_template_sync

from hone.configs.recipe import Recipe, parse_recipe
from hone.flows.triggers import set_notifications
from hone.tasks.errors import PreflightError

DEPLOYMENT = str(uuid4())


class Server:
    """Prefect's automations, and its blocks: two webhooks, one that can notify and one that cannot."""

    BLOCKS = {
        ("webhook", "team"): [],
        ("webhook", "other"): [],
        ("slack-webhook", "team"): ["notify"],
        ("aws", "x"): [],
    }

    def __init__(self) -> None:
        self.automations: dict[UUID, Any] = {}

    def read_block_document_by_name(self, name: str, kind: str) -> SimpleNamespace:
        if (kind, name) not in self.BLOCKS:
            raise ObjectNotFound(Exception())
        schema = SimpleNamespace(capabilities=self.BLOCKS[kind, name])
        return SimpleNamespace(id=uuid4(), block_schema=schema)

    def read_automations(self) -> list[Any]:
        return [SimpleNamespace(id=key, **dict(one)) for key, one in self.automations.items()]

    def read_automations_by_name(self, name: str) -> list[Any]:
        return [one for one in self.read_automations() if one.name == name]

    def create_automation(self, automation: Any) -> None:
        self.automations[uuid4()] = automation

    def update_automation(self, key: UUID, automation: Any) -> None:
        self.automations[key] = automation

    def delete_automation(self, key: UUID) -> None:
        del self.automations[key]

    @property
    def names(self) -> list[str]:
        return sorted(one.name for one in self.automations.values())


def recipe(*notify: str, name: str = "tickets") -> Recipe:
    return parse_recipe(
        {"name": name, "data": {"train": "a.csv"}, "model": {"source": "a"}, "notify": list(notify)}
        | {"register": {"promote": "approval", "approval_hours": 24}}
    )


def event(state: str, deployment: str = DEPLOYMENT) -> ReceivedEvent:
    """What Prefect tells of a run of a deployment that has come to a state."""
    return ReceivedEvent(
        occurred=datetime.now(UTC),  # type: ignore[arg-type]
        id=uuid4(),
        event=f"prefect.flow-run.{state}",
        resource={"prefect.resource.id": f"prefect.flow-run.{uuid4()}"},  # type: ignore[arg-type]
        related=[  # type: ignore[list-item]
            {"prefect.resource.id": "prefect.flow.1", "prefect.resource.role": "flow"},
            {"prefect.resource.id": f"prefect.deployment.{deployment}", "prefect.resource.role": "deployment"},
        ],
    )


def trigger_of(server: Server) -> EventTrigger:
    """The only automation's, as the server reads it."""
    [automation] = server.automations.values()
    return EventTrigger.model_validate(automation.trigger.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("state", "told"),
    [("Suspended", True), ("Failed", True), ("Crashed", True), ("Completed", False), ("Running", False)],
)
def test_a_run_that_waits_was_not_accepted_or_died_is_told_and_no_other(state: str, told: bool) -> None:
    server = Server()
    set_notifications(server, recipe("webhook/team"), [DEPLOYMENT], [])
    assert trigger_of(server).covers(event(state)) == told
    assert not trigger_of(server).covers(event(state, deployment=str(uuid4())))


def test_a_block_that_the_recipe_names_no_more_hears_nothing_and_that_of_the_command_goes_on() -> None:
    server = Server()
    set_notifications(server, recipe("webhook/team", "slack-webhook/team"), [DEPLOYMENT], ["webhook/other"])
    set_notifications(server, recipe("webhook/team", name="mails"), [str(uuid4())], [])
    assert server.names == [
        "hone: mails tells webhook/team",
        "hone: tickets tells slack-webhook/team",
        "hone: tickets tells webhook/other",
        "hone: tickets tells webhook/team",
    ]
    set_notifications(server, recipe("slack-webhook/team"), [DEPLOYMENT], [])
    assert server.names == [
        "hone: mails tells webhook/team",
        "hone: tickets tells slack-webhook/team",
        "hone: tickets tells webhook/other",
    ]


@pytest.mark.parametrize(
    ("block", "message"),
    [("webhook/nobody", "Prefect has no block webhook/nobody"), ("aws/x", "the block aws/x cannot notify anybody")],
)
def test_a_block_that_is_not_there_or_cannot_notify_is_refused_and_nothing_is_made(block: str, message: str) -> None:
    server = Server()
    with pytest.raises(PreflightError, match=message):
        set_notifications(server, recipe("webhook/team", block), [DEPLOYMENT], [])
    assert server.names == []


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[str]]]:
    """A webhook's address, and what was posted to it."""
    bodies: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()


@pytest.mark.parametrize(
    ("state", "tags", "told"),
    [
        (
            State(type=StateType.PAUSED, name="Suspended", message=""),
            ["hone", "hone:waiting", "hone:accepted"],
            r"tickets (hone, hone:waiting, hone:accepted): waits for a person, for 24.0 hours from 20",
        ),
        (
            State(type=StateType.FAILED, name="Failed", message="REJECTED: size"),
            ["hone", "hone:rejected"],
            "tickets (hone, hone:rejected): REJECTED: size\n",
        ),
    ],
    ids=["waits", "rejected"],
)
def test_a_webhook_gets_the_run_its_tags_and_what_it_says_or_waits_for(
    inbox: tuple[str, list[str]], state: State, tags: list[str], told: str
) -> None:
    server, wanted, (url, bodies) = Server(), recipe("webhook/team"), inbox
    set_notifications(server, wanted, [DEPLOYMENT], [])
    [automation] = server.automations.values()
    [action] = automation.actions
    payload = CallWebhook.model_validate(action.model_dump(mode="json")).payload  # the server refuses a bad template
    parameters = {"recipe": wanted.model_dump(mode="json")}  # as a deployment hands them on
    run = FlowRunResponse(flow_id=uuid4(), name="tickets", tags=tags, parameters=parameters, state=state)
    register_user_template_filters(all_filters)
    text = render_user_template_sync(payload, {"flow_run": run})
    asyncio.run(Webhook(url=url).call(payload=text))
    [body] = bodies
    assert body.startswith(told)
    assert "None" not in body.splitlines()[0]
