"""A finalized plan on its way into Ed-Fi: real PostgreSQL here, the twin over a socket there, and what goes wrong."""

import asyncio
import hashlib
import io
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote_plus

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.edfi.server import EdfiSettings
from connectors.edfi.twin import Extension, refusals, twin
from gateway import clock, delivery, dispatch, jobs, planning, sync
from gateway.cli import main
from gateway.errors import ConfigError, Refused
from gateway.settings import Settings
from gateway.store import blackouts, consents, deliveries, ledger, reading, registers, runs
from gateway.store import plans as stored
from gateway.store.consents import Given
from gateway.store.database import Store
from gateway.store.ledger import Claim
from gateway.store.plans import StoredVersion
from gateway.store.registers import Actor
from gateway.store.runs import Fenced
from synthetic import build
from tests.serving import serve
from tests.turning import carried_out, taken

STANDARDS = ("4.0", "5.0")
DISTRICT = build(schools=1, students=24, seed=11)
COUNSELOR = Actor("Ottoline Farrow", "educator")
WRITTEN = ("programs", "studentProgramAssociations", "interventions", "studentInterventionAssociations")
NEED = "Loses the thread of long texts."


class Gate:
    """What stands before the twin: while told so, it refuses the writes of a resource as the server would, or does
    them and never says so; and it tells another order of dependencies. `seen` is every request as it came,
    with its headers."""

    def __init__(self, app: ASGIApp, *, modern: bool) -> None:
        self._app = app
        self._modern = modern
        self.closed = ""
        self.refusal: refusals.Refusal | None = None
        self.order: list[str] = []
        self.silent = ""
        self.swallowed = 0
        self.seen: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else ""
        if scope["type"] == "http":
            receive = await self._read(scope, receive)
        if self.order and scope["type"] == "http" and scope["path"].endswith("/dependencies"):
            told = [{"resource": f"/ed-fi/{name}", "order": n} for n, name in enumerate(self.order)]
            await JSONResponse(told)(scope, receive, send)
        elif self.closed and path.endswith(f"/{self.closed}"):
            refusal = self.refusal or refusals.denied_action("Read Only", "create", self.closed)
            await refusals.render(refusal, modern=self._modern, correlation=None)(scope, receive, send)
        elif self.silent and (path.endswith(f"/{self.silent}") or self._merges(scope)):
            await self._app(scope, receive, self._swallow)
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            await self._app(scope, receive, send)

    def _merges(self, scope: Scope) -> bool:
        return bool(scope["type"] == "http" and scope["method"] == "PUT" and f"/{self.silent}/" in scope["path"])

    async def _read(self, scope: Scope, receive: Receive) -> Receive:
        message = await receive()
        whole = b"" if message["type"] == "http.disconnect" else message.get("body", b"")
        place = f"{scope['path']}?{unquote_plus(scope['query_string'].decode())}"
        self.seen.append(f"{scope['method']} {place} {whole!r} {scope['headers']}")
        left = [message]

        async def again() -> Message:
            return left.pop() if left else await receive()

        return again

    async def _swallow(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] in (200, 201, 204)
            self.swallowed += 1


@dataclass
class There:
    """The twin, looked at by somebody who is not the gateway."""

    url: str
    gate: Gate
    base: str = ""
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.base = self.base or self.url
        # There is nothing to encrypt on loopback, and reading the system's certificates takes long.
        urls = httpx.get(f"{self.base}/", verify=False).json()["urls"]
        grant = {"grant_type": "client_credentials"}
        token = httpx.post(urls["oauth"], data=grant, auth=("demo-key", "demo-secret"), verify=False).json()
        self.http = httpx.Client(
            base_url=urls["dataManagementApi"].rstrip("/") + "/ed-fi",
            headers={"Authorization": f"Bearer {token['access_token']}"},
            verify=False,
            # On a busy machine the server hangs up on a connection that rests, just when it is used again.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def all(self, resource: str) -> list[dict[str, Any]]:
        found = [without_bookkeeping(row) for row in self.http.get(resource, params={"limit": 500}).json()]
        return sorted(found, key=lambda row: json.dumps(row, sort_keys=True))

    def held(self) -> dict[str, list[dict[str, Any]]]:
        return {resource: self.all(resource) for resource in WRITTEN}

    def faults(self, *faults: dict[str, Any]) -> None:
        assert httpx.put(f"{self.url}/_twin/faults", json=faults, verify=False).status_code == 204

    def forget(self) -> None:
        """Begin a new log."""
        assert httpx.delete(f"{self.url}/_twin/log", verify=False).status_code == 204

    def asked(self) -> list[tuple[str, str, int | None]]:
        """Every request for data since, as (method, resource, status)."""
        log = httpx.get(f"{self.url}/_twin/log", verify=False).json()
        return [
            (entry["method"], entry["path"].rpartition("/ed-fi/")[2], entry["status"])
            for entry in log
            if "/ed-fi/" in entry["path"]
        ]

    def wrote(self) -> list[tuple[str, int | None]]:
        """Every write since, as (resource, status)."""
        return [(resource, status) for method, resource, status in self.asked() if method == "POST"]


def without_bookkeeping(value: Any) -> Any:
    """A record as it was written: without what a server adds."""
    if isinstance(value, dict):
        added = ("id", "link", "_etag", "_lastModifiedDate")
        return {name: without_bookkeeping(part) for name, part in value.items() if name not in added}
    return [without_bookkeeping(part) for part in value] if isinstance(value, list) else value


@contextmanager
def an_ods(standard: str, extension: Extension | None = None) -> Iterator[There]:
    """A server of a data standard, in its usual release or in that behind the @."""
    standard, _, version = standard.partition("@")
    gate = Gate(twin(DISTRICT, standard=standard, version=version, extension=extension), modern=standard == "5.0")
    with serve(gate) as url:
        there = There(url, gate, f"{url}/api" if version == "8.0" else url)
        with there.http:
            yield there


@dataclass
class Here:
    """One district of the gateway that has pulled its Ed-Fi system, and one plan in it."""

    store: Store
    district: int
    there: There
    student: str
    teacher: str
    plan: str = ""

    async def consented(self, organization: str, paper: str, *sections: str) -> None:
        """The family lets an organization know of the student what it needs to give a support."""
        today = date.today()
        given = Given(
            self.student, "Nana", "guardian", f"organization:{organization}", sections, "service", True, today,
            today + timedelta(days=90), paper,
        )  # fmt: skip
        async with self.store.transaction(self.district) as c:
            await consents.add(self.store, c, self.district, given, COUNSELOR)

    async def edit(self, change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Change the plan as it stands."""
        async with self.store.transaction(self.district) as c:
            content = (await stored.load(c, self.plan)).content
        change(content)
        await planning.edit(self.store, self.district, self.plan, content, COUNSELOR)
        return content

    async def finalize(self) -> StoredVersion:
        """Put it before the family, hold the consultation today, finalize."""
        await planning.take(self.store, self.district, self.plan, "consult", COUNSELOR)
        async with self.store.transaction(self.district) as c:
            [*_, seen] = [e for e in await stored.events(c, self.plan) if e["act"] == "shown"]
        meeting = {
            "held_on": date.today().isoformat(),
            "participants": [{"who": {"name": "Imre Halloway", "side": "family"}, "role": "guardian"}],
            "outcome": "agreed",
            "shown_sha256": seen["detail"]["shown_sha256"],
        }
        await self.edit(lambda content: content.update(consultations=[meeting]))
        version = await planning.take(self.store, self.district, self.plan, "finalize", COUNSELOR)
        assert isinstance(version, StoredVersion)
        return version

    async def begin_delivery(self) -> int:
        number, _ = await delivery.request(self.store, self.district, self.plan, "ods", COUNSELOR)
        return number

    async def push(self) -> dict[str, Any]:
        """Deliver the newest version as the worker does; what became of it."""
        number = await self.begin_delivery()
        await dispatch.deliver_job(self.store, self.district, number)
        return await self.outcome(number)

    async def outcome(self, number: int) -> dict[str, Any]:
        async with self.store.transaction(self.district) as c:
            return await deliveries.status(c, number)

    async def profile(self, **choices: Any) -> None:
        found = await registers.connection(self.store, self.district, "ods")
        async with self.store.transaction(self.district) as c:
            await deliveries.set_profile(c, self.district, found.id, choices)

    async def command(self, settings: Settings, *arguments: str) -> tuple[int, str]:
        """What somebody types about this district: how it ends, and all that it says."""
        async with self.store.owner.begin() as c:
            name = await c.scalar(text("SELECT name FROM district WHERE id = :id"), {"id": self.district})
        environment = {"PLANBRIDGE_HOME": str(settings.home), "PLANBRIDGE_DISTRICT": str(name), "COLUMNS": "200"}
        if settings.database_url:
            environment["PLANBRIDGE_DATABASE_URL"] = str(settings.database_url.get_secret_value())

        def typed() -> tuple[int, str]:
            said = io.StringIO()
            with patch.dict(os.environ, environment), patch.object(sys, "argv", ["planbridge", *arguments]):
                with redirect_stdout(said), redirect_stderr(said):
                    try:
                        main()
                    except SystemExit as ended:
                        return int(ended.code or 0), said.getvalue()
            return 0, said.getvalue()

        return await asyncio.to_thread(typed)

    async def intended(self) -> dict[str, list[dict[str, Any]]]:
        """What the preview says the newest version would send."""
        made = await delivery.preview(self.store, self.district, self.plan, "ods")
        found = {resource: [d.body for d in made.documents if d.resource == resource] for resource in WRITTEN}
        return {name: sorted(rows, key=lambda row: json.dumps(row, sort_keys=True)) for name, rows in found.items()}


@pytest.fixture
def standard() -> str:
    return "5.0"


@pytest.fixture
def extension() -> Extension | None:
    """What the host has added to the core model."""
    return None


@pytest.fixture
async def here(store: Store, district: int, standard: str, extension: Extension | None) -> AsyncIterator[Here]:
    """A district that has pulled its Ed-Fi system, with a draft that may be finalized after a consultation."""
    with an_ods(standard, extension) as there:
        given = {
            "base_url": there.base,
            "key": "demo-key",
            "secret": "demo-secret",
            "private_addresses": ["127.0.0.1: a twin"],
        }
        settings = EdfiSettings.model_validate({**given, "education_organization_id": DISTRICT.number})
        plain = settings.model_dump(mode="json", exclude={"secret"})
        number = await registers.add_connection(
            store, district, "ods", "edfi", plain, {"secret": "demo-secret"}, COUNSELOR
        )
        run = await jobs.request_pull(store, district, number, COUNSELOR)
        assert await sync.run(store, district, run) is not None
        people = await reading.entities(store, district, "person")
        students = [one for one in people if one.get("population") == "student"]
        staff = [one for one in people if one.get("population") == "staff" and one.get("roles")]
        assert len(students) == len(DISTRICT.students)
        made = Here(store, district, there, students[0]["id"], staff[0]["id"])
        made.plan = await planning.begin(store, district, made.student, COUNSELOR)
        await made.edit(lambda content: content.update(body(made)))
        await made.consented("Town library", "signed form", "identity", "outside_supports")
        yield made


def body(here: Here) -> dict[str, Any]:
    today = date.today()
    later = (today + timedelta(days=90)).isoformat()
    return {
        "coordinator": here.teacher,
        "strengths": [{"statement": "Draws maps of everything."}],
        "needs": [{"domain": "academic", "statement": NEED, "evidence": [{"observation": "Read aloud in class."}]}],
        "goals": [
            {
                "domain": "academic",
                "statement": "Retells a chapter.",
                "addresses": ["need-1"],
                "baseline": {"measure": "retelling", "value": 1, "on": today.isoformat()},
                "targets": [{"measure": "retelling", "value": 4, "due_on": later}],
            }
        ],
        "supports": [
            {"name": "Reading group", "kind": "counseling", "duration_minutes": 30, **owned(here.teacher)},
            {"name": "Map club", "kind": "tutoring", "delivery_method": "small_group", **owned(here.teacher)},
            {
                "name": "Library evening",
                "kind": "mentoring",
                "setting": "community",
                **owned(LIBRARY),
                "consent": "signed form",
            },
        ],
    }


LIBRARY = {"name": "Town library", "side": "partner", "agreement": "volunteers 2026"}


def owned(owner: Any) -> dict[str, Any]:
    return {"owner": owner, "goals": ["goal-1"]}


def minutes(support: int, value: int) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content["supports"][support].update(duration_minutes=value)


# --- there and back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("standard", STANDARDS)
async def test_a_finalized_plan_is_what_the_destination_holds(here: Here) -> None:
    version = await here.finalize()
    intended = await here.intended()
    assert [len(intended[resource]) for resource in WRITTEN] == [1, 1, 2, 2]
    found = await here.push()
    assert (found["state"], found["version"], found["reason"]) == ("delivered", version.version, None)
    assert Counter(receipt["resource"] for receipt in found["receipts"]) == Counter(
        {resource: len(rows) for resource, rows in intended.items()}
    )
    assert all(receipt["delivered"] for receipt in found["receipts"])
    assert here.there.held() == intended
    for document, there in await delivery.read_back(here.store, here.district, here.plan, "ods"):
        assert there == document.body
    [student] = {row["studentReference"]["studentUniqueId"] for row in intended["studentProgramAssociations"]}
    assert student in {one.number for one in DISTRICT.students}
    assert {loss["pointer"] for loss in found["losses"]} >= {"/strengths/0", "/needs/0/statement", "/supports/2"}
    assert NEED not in json.dumps(here.there.held())


@pytest.mark.parametrize("standard", STANDARDS)
async def test_pushing_again_asks_nothing_of_the_destination(here: Here) -> None:
    await here.finalize()
    await here.push()
    here.there.forget()
    again = await here.push()
    assert here.there.asked() == []
    assert (again["state"], again["receipts"]) == ("delivered", [])


async def test_a_new_version_sends_only_what_changed(here: Here) -> None:
    first = await here.finalize()
    await here.push()
    await here.edit(minutes(0, 45))
    second = await here.finalize()
    assert (first.version, second.version) == (1, 2) and first.sha256 != second.sha256
    here.there.forget()
    found = await here.push()
    assert here.there.wrote() == [("interventions", 200), ("studentInterventionAssociations", 200)]
    assert [receipt["resource"] for receipt in found["receipts"]] == [
        "interventions",
        "studentInterventionAssociations",
    ]
    assert here.there.held() == await here.intended()
    assert {row.get("minDosage") for row in here.there.all("interventions")} == {45, None}


async def test_what_a_destination_chose_leaves_with_the_next_push(here: Here) -> None:
    await here.finalize()
    await here.push()
    await here.profile(include_need_statements=True)
    here.there.forget()
    await here.push()
    assert here.there.wrote() == [("studentInterventionAssociations", 200)] * 2
    assert {row["diagnosticStatement"] for row in here.there.all("studentInterventionAssociations")} == {NEED}


async def test_what_was_sent_is_ended_and_never_dropped_or_renamed(here: Here) -> None:
    await here.finalize()
    await here.push()
    new = {"name": "Choir", "kind": "enrichment_arts", **owned(here.teacher)}

    def replaced(content: dict[str, Any]) -> None:
        content["supports"][1:] = [new]
        content.pop("numbered")  # as somebody may who takes it for a detail

    with pytest.raises(Refused) as refused:
        await here.edit(replaced)
    assert (refused.value.code, refused.value.missing) == ("plan-already-known", ("/supports/1", "/supports/2"))

    def ended(content: dict[str, Any]) -> None:
        content["supports"][1] |= {"status": "stopped", "end_on": date.today().isoformat()}
        content["supports"].append(new)
        content.pop("numbered")

    before = {row["interventionIdentificationCode"]: row for row in here.there.all("interventions")}
    await here.edit(ended)
    await here.finalize()
    await here.push()
    after = {row["interventionIdentificationCode"]: row for row in here.there.all("interventions")}
    assert here.there.held() == await here.intended()
    assert len(after) == 3 and before.keys() < after.keys()
    [last] = [code for code in before if after[code] != before[code]]
    assert after[last] == before[last] | {"endDate": date.today().isoformat()}


async def test_a_plan_that_is_restated_without_ids_keeps_them(here: Here) -> None:
    await here.finalize()
    intended = await here.intended()
    start = {"student": here.student, "school": (await here.edit(len))["school"]}
    start["period_start"] = date.today().isoformat()
    start["next_review_on"] = (date.today() + timedelta(days=20)).isoformat()
    await planning.edit(here.store, here.district, here.plan, {**body(here), **start}, COUNSELOR)
    await here.finalize()
    assert await here.intended() == intended


# --- what goes wrong -----------------------------------------------------------------------------------------


async def test_what_has_its_turn_in_a_blackout_is_parked_and_not_sent(here: Here) -> None:
    await here.finalize()
    number = await here.begin_delivery()
    now, found = clock.now(), await registers.connection(here.store, here.district, "ods")
    lasting = now - timedelta(hours=1), now + timedelta(hours=1)
    made = await blackouts.add(here.store, here.district, found.id, *lasting, "State report.", COUNSELOR)
    here.there.forget()
    await dispatch.deliver_job(here.store, here.district, number)
    outcome = await here.outcome(number)
    assert outcome["state"] == "parked" and "[blackout]" in outcome["reason"]
    assert here.there.asked() == []
    await blackouts.end(here.store, here.district, made, COUNSELOR)
    assert (await here.push())["state"] == "delivered"


async def test_what_has_its_turn_while_its_destination_rests_is_parked_and_not_sent(here: Here) -> None:
    await here.finalize()
    number = await here.begin_delivery()
    found = await registers.connection(here.store, here.district, "ods")
    await registers.pause(here.store, here.district, found.id, "It moves to another server.", COUNSELOR)
    here.there.forget()
    await dispatch.deliver_job(here.store, here.district, number)
    outcome = await here.outcome(number)
    assert outcome["state"] == "parked" and "[connection-paused]" in outcome["reason"]
    assert here.there.asked() == []


async def test_refused_credentials_do_not_turn_a_pause_of_a_person_into_one_that_a_check_ends(here: Here) -> None:
    await here.finalize()
    number = await here.begin_delivery()
    found = await registers.connection(here.store, here.district, "ods")
    async with here.store.transaction(here.district) as c:
        run = await c.scalar(text("SELECT max(id) FROM run"))
    await registers.pause(here.store, here.district, found.id, "It moves to another server.", COUNSELOR)
    await runs.pause_connection(here.store, here.district, run, "The secret is refused.")
    await deliveries.pause_destination(here.store, here.district, number, "The secret is refused.")
    paused = await registers.connection(here.store, here.district, "ods")
    assert (paused.paused_code, paused.paused_because) == ("person", "It moves to another server.")
    await registers.resume(here.store, here.district, found.id, COUNSELOR)
    await runs.pause_connection(here.store, here.district, run, "The secret is refused.")
    assert (await registers.connection(here.store, here.district, "ods")).paused_code == "credentials"


@pytest.mark.parametrize("status", [500, 503])
async def test_an_outage_delivers_nothing_and_the_next_attempt_goes_on(here: Here, status: int) -> None:
    await here.finalize()
    number = await here.begin_delivery()
    here.there.faults({"kind": "status", "path": "/interventions", "status": status, "retry_after": 3600, "times": 99})
    await dispatch.deliver_job(here.store, here.district, number)
    waiting = await here.outcome(number)
    assert (waiting["state"], waiting["tries"]) == ("queued", 1)
    assert waiting["next_at"] - clock.now() > timedelta(minutes=59)
    told = {receipt["resource"]: receipt["delivered"] for receipt in waiting["receipts"]}
    assert told == {"programs": True, "studentProgramAssociations": True}
    here.there.faults()
    here.there.forget()
    await carried_out(here.store, here.district, number)
    assert (await here.outcome(number))["state"] == "delivered"
    assert [resource for resource, _ in here.there.wrote()] == [WRITTEN[2]] * 2 + [WRITTEN[3]] * 2
    assert here.there.held() == await here.intended()


async def test_a_short_outage_is_waited_out(here: Here) -> None:
    await here.finalize()
    here.there.faults({"kind": "status", "path": "/ed-fi/", "status": 503, "retry_after": 0, "times": 2})
    assert (await here.push())["state"] == "delivered"
    assert here.there.held() == await here.intended()


@pytest.mark.parametrize("standard", STANDARDS)
async def test_a_refusal_parks_the_delivery_and_a_later_push_ends_it(here: Here) -> None:
    await here.finalize()
    here.there.gate.closed = "interventions"
    parked = await here.push()
    assert parked["state"] == "parked"
    assert parked["reason"].startswith("2 records (interventions) were refused with 403: The key's claim set")
    [cause] = parked["causes"]
    assert (cause["status"], cause["resources"]) == (403, ["interventions"])
    assert (cause["refused"], cause["not_sent"]) == (2, 2)
    assert cause["message"].endswith("Ask the server's host to grant it to this key.")
    assert parked["reason"].count(cause["trace"]) == 1 and len(cause["trace"]) == 36
    async with here.store.transaction(here.district) as c:
        [everywhere] = await deliveries.causes(c)
    assert everywhere == cause | {"destination": "ods", "plans": 1, "trace": everywhere["trace"]}
    assert says_nothing_of(here, parked["reason"])
    told = {receipt["resource"]: (receipt["delivered"], receipt["status"]) for receipt in parked["receipts"]}
    assert told["interventions"] == (False, 403) and "studentInterventionAssociations" not in told
    assert here.there.all("interventions") == []
    here.there.gate.closed = ""
    here.there.forget()
    delivered = await here.push()
    assert (delivered["state"], delivered["causes"]) == ("delivered", [])
    async with here.store.transaction(here.district) as c:
        assert await deliveries.causes(c) == []
    assert {resource for resource, _ in here.there.wrote()} == set(WRITTEN[2:])
    assert here.there.held() == await here.intended()


@pytest.mark.parametrize("standard", STANDARDS)
async def test_what_refers_to_something_missing_waits_for_it(here: Here) -> None:
    await here.finalize()
    await here.profile(create_program=False)
    parked = await here.push()
    assert parked["state"] == "parked"
    assert "refused with 409" in parked["reason"] and "program is not known to the server" in parked["reason"]
    assert says_nothing_of(here, parked["reason"])
    assert not any(here.there.held().values())
    [wanted] = (await here.intended())["studentProgramAssociations"]
    key = wanted["programReference"]
    program = {
        "educationOrganizationReference": {"educationOrganizationId": key["educationOrganizationId"]},
        "programName": key["programName"],
        "programTypeDescriptor": key["programTypeDescriptor"],
    }
    assert here.there.http.post("programs", json=program).status_code == 201
    assert (await here.push())["state"] == "delivered"
    assert here.there.held() == await here.intended() | {"programs": [program]}


def says_nothing_of(here: Here, reason: str) -> bool:
    """Whether a reason names nobody and quotes nothing."""
    return not any(word in reason for word in (NEED, here.student, *(one.number for one in DISTRICT.students)))


async def cut_off(here: Here, resource: str) -> int:
    """A delivery whose sender dies after the destination has taken an object and before it hears so."""
    number = await here.begin_delivery()
    here.there.gate.silent, here.there.gate.swallowed = resource, 0
    sending = asyncio.create_task(dispatch.deliver_job(here.store, here.district, number))
    async with asyncio.timeout(30):
        while not here.there.gate.swallowed and not sending.done():  # noqa: ASYNC110 the gate is in another thread
            await asyncio.sleep(0.01)
    sending.cancel()
    with suppress(asyncio.CancelledError), patch("gateway.sending.LAST_ANSWER_SECONDS", 0.1):  # none will come
        await sending
    here.there.gate.silent = ""
    return number


@pytest.mark.parametrize("resource", WRITTEN)
async def test_who_dies_before_writing_it_down_makes_no_second_object(here: Here, resource: str) -> None:
    await here.finalize()
    number = await cut_off(here, resource)
    told = {receipt["resource"]: receipt["delivered"] for receipt in (await here.outcome(number))["receipts"]}
    assert told[resource] is False and len(here.there.all(resource)) == 1
    await dispatch.deliver_job(here.store, here.district, number)
    assert (await here.outcome(number))["state"] == "delivered"
    assert here.there.held() == await here.intended()


async def test_what_may_have_arrived_is_not_taken_for_what_was_delivered(here: Here) -> None:
    await here.finalize()
    await here.push()
    before = here.there.held()
    await here.edit(minutes(0, 45))
    await here.finalize()
    await cut_off(here, "interventions")
    assert here.there.held() != before
    await here.edit(minutes(0, 30))
    await here.finalize()
    assert (await here.push())["state"] == "delivered"
    assert here.there.held() == await here.intended() == before


async def test_an_attempt_that_was_taken_over_sends_nothing_more(here: Here) -> None:
    await here.finalize()
    number = await cut_off(here, "interventions")
    [delayed] = await taken(here.store, here.district, number)
    await dispatch.deliver_job(here.store, here.district, number)
    assert await taken(here.store, here.district, number) == []
    made = await delivery.preview(here.store, here.district, here.plan, "ods")
    [refused] = await ledger.claim(here.store, here.district, [Claim(delayed, made.documents[0], "0" * 64)])
    assert isinstance(refused, Fenced)
    assert (await here.outcome(number))["state"] == "delivered"


# --- what nobody can do --------------------------------------------------------------------------------------


async def test_only_a_finalized_version_is_pushed(here: Here) -> None:
    for step in ("", "consult"):
        if step:
            await planning.take(here.store, here.district, here.plan, "consult", COUNSELOR)
        with pytest.raises(Refused) as refused:
            await here.begin_delivery()
        assert refused.value.code == "plan-not-finalized"
    assert not any(here.there.held().values())
    await planning.take(here.store, here.district, here.plan, "reopen", COUNSELOR)
    await here.finalize()
    finalized = await here.intended()
    await here.edit(minutes(0, 45))
    await here.push()
    assert here.there.held() == finalized, "an edit that nobody finalized went out"


async def test_who_is_not_in_the_destination_is_not_pushed_to_it(here: Here) -> None:
    await here.finalize()
    settings = {"package": "/nowhere", "student_identifier": "sourcedId", "staff_identifier": "sourcedId"}
    await registers.add_connection(here.store, here.district, "files", "oneroster", settings, {}, COUNSELOR)
    with pytest.raises(ConfigError) as refused:
        await delivery.request(here.store, here.district, here.plan, "files", COUNSELOR)
    assert refused.value.code == "not-a-destination"


async def test_a_version_cannot_be_changed_by_the_program_itself(here: Here) -> None:
    version = await here.finalize()
    for statement in (
        "UPDATE plan_version SET content = '{}'",
        "UPDATE plan_version SET sha256 = ''",
        "DELETE FROM plan_version",
        "TRUNCATE plan_version",
        "DELETE FROM plan",
        "DELETE FROM district",
        "UPDATE plan_event SET actor = '{}'",
        "DELETE FROM plan_event",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with here.store.transaction(here.district) as c:
                await c.execute(text(statement))
    async with here.store.transaction(here.district) as c:
        assert (await stored.version(c, here.plan)).content == version.content


async def test_the_fingerprint_is_that_of_the_stored_content(here: Here) -> None:
    made = [await here.finalize()]
    await here.edit(minutes(0, 45))
    made.append(await here.finalize())
    for version in made:
        async with here.store.transaction(here.district) as c:
            there = await stored.version(c, here.plan, version.version)
        assert there.sha256 == hashlib.sha256(there.content.encode()).hexdigest() == version.sha256
        assert there.finalized_by == {"name": COUNSELOR.name, "role": COUNSELOR.role}
        assert [(guard["code"], guard["ok"]) for guard in there.guard_report] == [
            (code, True) for code in ("G1", "G2a", "G2b", "G2c", "G2d", "G2e", "G2f", "G2g", "G2h")
        ]
        assert (
            await delivery.preview(here.store, here.district, here.plan, "ods", version.version)
        ).sha256 == there.sha256


async def test_every_act_names_who_did_it(here: Here) -> None:
    with pytest.raises(Refused):
        await planning.take(here.store, here.district, here.plan, "finalize", COUNSELOR)
    await here.finalize()
    await here.push()
    async with here.store.transaction(here.district) as c:
        history = await stored.events(c, here.plan)
    acts = ["created", "edited", "consult", "shown", "edited", "finalize", "push"]
    assert [event["act"] for event in history] == acts
    assert all(event["actor"] == {"name": COUNSELOR.name, "role": COUNSELOR.role} for event in history)
    assert history[-1]["detail"] == {"destination": "ods", "version": 1}
    async with here.store.transaction(here.district) as c:
        sent_by = await c.scalar(
            text("SELECT actor FROM delivery WHERE plan_id = CAST(:id AS uuid)"), {"id": here.plan}
        )
    assert sent_by == {"name": COUNSELOR.name, "role": COUNSELOR.role}


async def test_who_wrote_the_plan_does_not_waive_the_consultation(here: Here) -> None:
    author = Actor("Ottoline Farrow", "administrator", person=here.teacher)
    async with here.store.transaction(here.district) as c:
        content = (await stored.load(c, here.plan)).content
    await planning.edit(here.store, here.district, here.plan, content, author)
    async with here.store.transaction(here.district) as c:
        plan = planning.parse(content)
        assert (await planning.facts(here.store, c, plan, here.plan)).authors == {here.teacher}
