"""What the acts do, who is named as the one who did them, and what each error answers."""

import hashlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import make_url, text

from gateway import api, errors
from gateway.api.envelope import MOST_BYTES
from gateway.settings import Settings
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.conftest import Bearer, serving
from tests.api.world import STUDENTS, World, consulted, content

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def mine(http: httpx.AsyncClient, world: World, bearer: Bearer) -> httpx.AsyncClient:
    """A caller with every scope in the populated district."""
    http.headers.update(await bearer(world.district))
    return http


@pytest.fixture
async def taught(http: httpx.AsyncClient, world: World, bearer: Bearer) -> httpx.AsyncClient:
    """The same on behalf of the plans' coordinator."""
    http.headers.update(await bearer(world.district, person=world.teacher))
    return http


@pytest.fixture
async def empty(http: httpx.AsyncClient, district: int, bearer: Bearer) -> httpx.AsyncClient:
    """A caller with every scope in a district that has nothing."""
    http.headers.update(await bearer(district))
    return http


async def fetch(store: Store, world: World, statement: str) -> Any:
    async with store.transaction(world.district) as c:
        return (await c.execute(text(statement))).all()


# --- the acts ------------------------------------------------------------------------------------------------


async def test_connections_and_runs_are_shown_with_counts(mine: httpx.AsyncClient, world: World) -> None:
    shown = (await mine.get("/v1/connections")).json()
    assert shown[0] == {"name": "sis", "connector": "oneroster", "shadow": False, "paused_because": None}
    held, published = (await mine.get("/v1/runs")).json()
    assert (held["id"], held["state"], published["state"]) == (world.held, "held", "published")
    assert held == (await mine.get(f"/v1/runs/{world.held}")).json()
    users = next(one for one in held["collections"] if one["collection"] == "users")
    assert (users["gone"], held["holds"][0]["state"]) == (STUDENTS // 2, "open")
    assert published["unmapped"] == {"grade": 1, "sex": 1}
    assert published["rejects"] == 1


async def test_a_pull_waits_for_the_worker_and_names_the_client(
    mine: httpx.AsyncClient, store: Store, world: World
) -> None:
    answer = await mine.post("/v1/connections/sis/pull")
    run = answer.json()["run"]
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/runs/{run}")
    [[actor]] = await fetch(store, world, f"SELECT actor FROM run WHERE id = {run}")
    assert {**json.loads(actor), "client": ""} == {"name": "planner", "role": "client", "client": ""}
    assert json.loads(actor)["client"].startswith("client-")
    again = await mine.post("/v1/connections/sis/pull")
    assert (again.status_code, again.json()["code"]) == (409, "run-under-way")


async def test_a_paused_connection_is_not_pulled(
    mine: httpx.AsyncClient, store: Store, world: World, actor: Actor
) -> None:
    sis = await registers.connection(store, world.district, "sis")
    await registers.pause(store, world.district, sis.id, "The secret is not accepted.", actor)
    answer = await mine.post("/v1/connections/sis/pull")
    assert (answer.status_code, answer.json()["code"]) == (409, "connection-paused")


@pytest.mark.parametrize(("verdict", "state"), [("approve", "approved"), ("refuse", "refused")])
async def test_a_held_run_is_decided_once_with_a_reason(
    mine: httpx.AsyncClient, store: Store, world: World, verdict: str, state: str
) -> None:
    path = f"/v1/runs/{world.held}/{verdict}"
    for reason in ("", "  ", "a\0b", None):
        assert (await mine.post(path, json={"reason": reason})).status_code == 422
    decided = await mine.post(path, json={"reason": "The upper school closed."})
    assert (decided.status_code, decided.json()["state"]) == (200, state)
    rows = await fetch(store, world, "SELECT decided_because, decided_by FROM hold")
    assert {row[0] for row in rows} == {"The upper school closed."}
    assert {json.loads(row[1])["role"] for row in rows} == {"client"}
    again = await mine.post(path, json={"reason": "Again."})
    assert (again.status_code, again.json()["code"]) == (409, "run-not-held")


async def test_rejects_are_shown_by_cause_and_by_place(mine: httpx.AsyncClient, world: World) -> None:
    found = (await mine.get("/v1/rejects")).json()
    [cause] = found["causes"]
    assert (cause["collection"], cause["field"], cause["records"]) == ("users", "familyName", 1)
    [reject] = found["rejects"]
    assert reject.keys() == {"id", "run", "connection", "collection", "position", "field", "code", "cause"}
    assert (cause["cause"], cause["replayable"]) == (reject["cause"], 1)
    assert reject["position"].startswith("row ")
    assert found["waiting"]
    assert (await mine.get("/v1/rejects", params={"run": 1 << 62})).json()["rejects"] == []


async def test_a_payload_is_shown_without_values(mine: httpx.AsyncClient, world: World) -> None:
    found = (await mine.get(f"/v1/rejects/{world.reject}")).json()
    assert (found["state"], found["code"], found["field"]) == ("open", "missing-field", "familyName")
    assert found["payload"] == {"sourcedId": "text (15)", "role": "text (7)", "givenName": "text (9)"}
    assert "key" not in found
    missing = await mine.get("/v1/rejects/99999999")
    assert (missing.status_code, missing.json()["code"]) == (404, "reject-unknown")


async def test_codes_without_a_word_are_counted_given_one_and_undone(mine: httpx.AsyncClient, world: World) -> None:
    found = (await mine.get("/v1/crosswalks/unmapped")).json()
    assert [(one["table"], one["codes"], one["records"], one["defaulted"]) for one in found] == [
        ("grade", 1, 1, False), ("sex", 1, 1, False),
    ]  # fmt: skip
    line = {"table": "grade", "code": "planted-grade", "word": "05", "note": "as the upper school writes it"}
    path = "/v1/connections/sis/crosswalks"
    preview = (await mine.post(f"{path}/preview", json={"lines": [line]})).json()
    [run] = [(await mine.get(f"/v1/runs/{number}")).json() for number in preview["runs"]]
    assert (run["kind"], run["mode"], run["state"]) == ("replay", "dry", "queued")
    assert (await mine.post(path, json={"lines": [line]})).json() == {"change": 2}
    assert (await mine.post(path, json={"lines": [line]})).json() == {"change": None}
    lines = (await mine.get("/v1/crosswalks")).json()
    assert [(one["code"], one["word"], one["match"]) for one in lines] == [
        ("fifth of five", "05", "exact"), ("planted-grade", "05", "exact"),
    ]  # fmt: skip
    assert (await mine.post("/v1/crosswalks/undo", json={})).json() == {"undone": 2, "mapping": "oneroster"}
    assert [(c["change"], c["undoes"], c["lines"]) for c in (await mine.get("/v1/crosswalks/changes")).json()] == [
        (3, 2, 1), (2, None, 1), (1, None, 1),
    ]  # fmt: skip
    wrong = await mine.post(path, json={"lines": [line | {"word": "grade five"}]})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "crosswalk-target")


async def test_the_feed_of_changes_tells_nothing_of_meals(mine: httpx.AsyncClient, store: Store, world: World) -> None:
    async with store.transaction(world.district) as c:
        for kind in ("meal_eligibility", "attendance_event"):
            await c.execute(
                text(
                    "INSERT INTO change (district_id, publication, kind, entity_id, op) SELECT :district, max(id), "
                    "  :kind, CAST(:entity AS uuid), 'added' FROM publication"
                ),
                {"district": world.district, "kind": kind, "entity": UNKNOWN},
            )
    told = (await mine.get("/v1/changes", params={"limit": 10_000})).json()["changes"]
    assert [one["kind"] for one in told if one["entity"] == UNKNOWN] == ["attendance_event"]


async def test_students_come_in_pages(mine: httpx.AsyncClient, world: World) -> None:
    seen: list[dict[str, Any]] = []
    after = ""
    while after is not None:
        page = (await mine.get("/v1/students", params={"limit": 7, "cursor": after})).json()
        assert page["total"] == STUDENTS
        seen += page["students"]
        after = page["next"]
    assert len({student["id"] for student in seen}) == STUDENTS
    nameless = {"given_name": None, "family_name": None}
    assert {"id": world.student, "schools": [world.school], "grades": ["05"], **nameless} in seen
    for wrong in ("x", "WyJwbGFucyIsICJhIl0", "W10"):
        answer = await mine.get("/v1/students", params={"cursor": wrong})
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor-invalid")


async def test_a_plan_goes_from_draft_to_finalized(taught: httpx.AsyncClient, store: Store, world: World) -> None:
    made = await taught.post("/v1/plans", json=content(world))
    plan = made.json()["id"]
    assert made.status_code == 201
    assert made.json() == {"id": plan, "state": "draft", "revision": 1, "version": None, "standing": None}
    assert (made.headers["location"], made.headers["etag"]) == (f"/v1/plans/{plan}", '"1"')

    shown = await taught.post(f"/v1/plans/{plan}/steps/consult")
    assert (shown.json()["state"], shown.json()["revision"], shown.json()["sha256"]) == ("consultation", 2, None)
    assert [guard["code"] for guard in shown.json()["guards"]] == ["G1"]

    refused = await taught.post(f"/v1/plans/{plan}/steps/finalize")
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["missing"]) == (409, "G2a", ["/consultations"])
    assert problem["detail"].startswith("G2a: The family")

    edited = await taught.put(f"/v1/plans/{plan}", json=consulted(world), headers={"If-Match": shown.headers["etag"]})
    assert (edited.status_code, edited.json()["revision"]) == (200, 3)

    done = (await taught.post(f"/v1/plans/{plan}/steps/finalize")).json()
    assert (done["state"], done["version"], done["revision"]) == ("finalized", 1, 4)
    assert [guard["code"] for guard in done["guards"]] == ["G1", "G2a", "G2b", "G2c", "G2d", "G2e", "G2f", "G2g", "G2h"]
    [[kept]] = await fetch(store, world, f"SELECT content FROM plan_version WHERE plan_id = '{plan}'")
    assert done["sha256"] == hashlib.sha256(kept.encode()).hexdigest()
    acts = await fetch(store, world, f"SELECT actor FROM plan_event WHERE plan_id = '{plan}'")
    assert {(actor["name"], actor["role"]) for (actor,) in acts} == {("planner", "client")}
    assert all(actor["client"].startswith("client-") for (actor,) in acts)


async def test_an_edit_names_the_revision_it_replaces(taught: httpx.AsyncClient, world: World) -> None:
    path = f"/v1/plans/{world.plan}"
    for given, status in (
        (None, 428),
        ("*", 412),
        ('"x"', 412),
        ('"7"', 412),
        ('"²"', 412),
        ('"1"', 200),
        ('"1"', 412),
    ):
        headers = {} if given is None else {"If-Match": given.encode()}
        answer = await taught.put(path, json=content(world), headers=headers)
        assert answer.status_code == status, given


async def test_deliveries_are_listed_sent_again_taken_back_and_reconciled(
    mine: httpx.AsyncClient, world: World
) -> None:
    listed = (await mine.get("/v1/deliveries", params={"state": "parked", "destination": "ods"})).json()
    assert [one["id"] for one in listed["deliveries"]] == [world.delivery] and listed["next"] is None
    assert (await mine.get("/v1/deliveries", params={"before": world.delivery})).json()["deliveries"] == []
    shown = (await mine.get(f"/v1/plans/{world.final}/deliveries/preview", params={"destination": "ods"})).json()
    assert (shown["version"], shown["audience"], shown["refusal"]) == (1, None, "")
    again = await mine.post(f"/v1/deliveries/{world.delivery}/resend")
    assert again.status_code == 202 and again.json()["delivery"] > world.delivery
    back = await mine.post(f"/v1/plans/{world.final}/withdrawals", json={"because": "asked for", "destination": "ods"})
    assert (back.status_code, len(back.json()["deliveries"])) == (202, 1)
    for method in ("POST", "GET"):
        found = (await mine.request(method, "/v1/destinations/ods/reconcile")).json()
        assert (found["destination"], found["looked_at"], found["lost"]) == ("ods", None, [])


async def test_a_destination_is_rolled_out_and_gets_all_that_it_lacks(
    mine: httpx.AsyncClient, store: Store, world: World
) -> None:
    address = "/v1/destinations/ods"
    before = (await mine.get(address)).json()
    assert (before["stage"], before["schools"], before["edited_there"]) == ("all", [], "ask")
    for wrong, code in (
        ({"edited_there": "ours", "stage": "schools"}, "stage-schools"),
        ({"edited_there": "ours", "schools": [world.school]}, "stage-schools"),
        ({"edited_there": "ours", "stage": "schools", "schools": ["nowhere"]}, "school-unknown"),
        ({"edited_there": "ours", "profile": {"moon": True}}, "setting-unknown"),
    ):
        refused = await mine.put(address, json=wrong)
        assert (refused.status_code >= 400, refused.json()["code"]) == (True, code)
        assert (await mine.get(address)).json() == before, "nothing of it is chosen"
    made = await mine.put(address, json={"stage": "schools", "schools": [world.school], "edited_there": "keep"})
    assert made.json() == before | {"stage": "schools", "schools": [world.school], "edited_there": "keep"}
    assert (await mine.put(address, json={"stage": "shadow"})).json()["edited_there"] == "keep"
    [[acts]] = await fetch(
        store, world, "SELECT count(*) FROM act WHERE act IN ('roll-out', 'edited-there') AND subject = 'ods'"
    )
    assert acts == 3
    sent = await mine.post("/v1/deliveries", json={"destination": "ods"})
    assert (sent.status_code, sent.json()) == (202, {"queued": 1})
    assert (await mine.post("/v1/deliveries", json={"destination": "ods"})).json() == {"queued": 0}
    assert (await mine.post("/v1/deliveries", json={"destination": "elsewhere"})).status_code >= 400


async def test_a_delivery_is_queued_and_followed(mine: httpx.AsyncClient, store: Store, world: World) -> None:
    sent = await mine.post(f"/v1/plans/{world.final}/deliveries", json={"destination": "ods"})
    number = sent.json()["delivery"]
    assert (sent.status_code, sent.headers["location"]) == (202, f"/v1/deliveries/{number}")
    assert (await mine.get(f"/v1/deliveries/{number}")).json()["state"] == "queued"
    [[jobs]] = await fetch(
        store, world, f"SELECT count(*) FROM procrastinate_jobs WHERE args->>'delivery' = '{number}'"
    )
    assert jobs == 1
    parked = (await mine.get(f"/v1/deliveries/{world.delivery}")).json()
    assert (parked["state"], parked["delivered"], parked["refused"]) == ("parked", 0, 1)
    assert parked["receipts"] == [{"resource": "interventions", "status": 400, "attempts": 1, "delivered": False}]
    assert parked["losses"] == [{"pointer": "/needs/0/statement", "kind": "withheld"}]


@pytest.mark.parametrize(
    ("plan", "destination", "status", "code"),
    [
        ("plan", "ods", 409, "plan-not-finalized"),
        ("final", "sis", 400, "not-a-destination"),
        ("final", "nowhere", 404, "connection-unknown"),
    ],
)
async def test_what_cannot_be_sent_is_refused_at_once(
    mine: httpx.AsyncClient, world: World, plan: str, destination: str, status: int, code: str
) -> None:
    path = f"/v1/plans/{getattr(world, plan)}/deliveries"
    answer = await mine.post(path, json={"destination": destination})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


# --- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/v1/runs/", 404, "not-found"),
        ("DELETE", "/v1/runs", 405, "method-not-allowed"),
        ("GET", "/v1/runs/5", 404, "run-unknown"),
        ("GET", "/v1/runs/0", 422, "request-invalid"),
        ("GET", f"/v1/runs/{10**30}", 422, "request-invalid"),
        ("GET", "/v1/runs?limit=100000", 422, "request-invalid"),
        ("POST", "/v1/connections/%00/pull", 404, "connection-unknown"),
        ("GET", "/v1/deliveries/5", 404, "delivery-unknown"),
        ("POST", f"/v1/plans/{UNKNOWN}/deliveries", 404, "plan-unknown"),
        ("GET", f"/v1/plans/{UNKNOWN}", 404, "plan-unknown"),
        ("POST", "/v1/plans/5/deliveries", 422, "request-invalid"),
    ],
)
async def test_what_is_not_there(empty: httpx.AsyncClient, method: str, path: str, status: int, code: str) -> None:
    bodies = {"deliveries": {"destination": "ods"}}
    body = bodies.get(path.rpartition("/")[2]) if method == "POST" else None
    answer = await empty.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (errors.ConfigError("name-taken", "It is taken.", "Choose another."), 400, None),
        (errors.ConfigError("thing-unknown", "There is no thing."), 404, None),
        (errors.Refused("G9", "A guard says no.", "Complete it.", missing=["/needs/0"]), 409, None),
        (errors.Refused("plan-changed", "Somebody was faster."), 412, None),
        (errors.AuthError("token-refused", "The other side says no."), 502, None),
        (errors.Unavailable("unreachable", "Nobody there."), 503, None),
        (errors.Unavailable("busy", "Too much.", retry_after=12.4), 503, "12"),
        (errors.RecordError("record", "It cannot be read.", field="grade"), 422, None),
    ],
)
async def test_an_error_answers_by_what_happens_next(
    application: FastAPI, error: errors.PlanbridgeError, status: int, retry: str | None
) -> None:
    async def fail() -> None:
        raise error

    application.add_api_route("/fail", fail)
    async with serving(application) as http:
        answer = await http.get("/fail")
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == retry
    assert answer.json() == {
        "type": f"urn:planbridge:problem:{error.code}",
        "title": answer.json()["title"],
        "status": status,
        "detail": error.message,
        "code": error.code,
        "fix": error.fix,
        "missing": list(getattr(error, "missing", ())),
        "wrong": [],
    }


async def test_a_bug_of_ours_shows_a_number_and_nothing_else(
    application: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    whose = "Quillfeather"  # a trace quotes the line that raises

    async def fail() -> None:
        raise RuntimeError(whose)

    application.add_api_route("/fail", fail)
    async with serving(application) as http:
        answer = await http.get("/fail")
    correlation = answer.headers["correlation-id"]
    assert answer.status_code == 500
    assert answer.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "correlation_id": correlation,
    }
    assert correlation in caplog.text
    assert "RuntimeError" in caplog.text
    assert "in fail" in caplog.text
    assert whose not in caplog.text


async def test_what_cannot_be_read_is_named_and_not_repeated(
    taught: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "gateway")
    wrong = {
        "student": "Quillfeather",
        "school": UNKNOWN,
        "period_start": "Quillfeather",
        "needs": [{"domain": "Quillfeather", "statement": ["Quillfeather"], "Quillfeather is here": 1}],
        "supports": [{"name": "x", "kind": "tutoring", "owner": {"name": "Quillfeather", "side": "Quillfeather"}}],
    }
    answer = await taught.post("/v1/plans", json=wrong)
    assert answer.status_code == 422
    pointers = {one["pointer"] for one in answer.json()["wrong"]}
    assert pointers >= {"/body/student", "/body/period_start", "/body/needs/0/domain", "/body/needs/0/statement"}
    assert "Quillfeather" not in answer.text + caplog.text
    for body in (b'{"title": "Quillfeather', b'"Quillfeather"', b"[" * 100_000):
        answer = await taught.post("/v1/plans", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422)
        assert "Quillfeather" not in answer.text + caplog.text


async def chunks() -> AsyncIterator[bytes]:
    for _ in range(MOST_BYTES // 65536 + 1):
        yield b" " * 65536


@pytest.mark.parametrize("path", ["/v1/plans", "/oauth/token"])
async def test_too_large_a_body_is_not_read(empty: httpx.AsyncClient, path: str) -> None:
    kind = {"/v1/plans": "application/json", "/oauth/token": "application/x-www-form-urlencoded"}[path]
    for body in (b" " * (MOST_BYTES + 1), chunks()):
        answer = await empty.post(path, content=body, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["code"]) == (413, "content-too-large")
        assert answer.headers["cache-control"] == "no-store"


async def test_every_answer_can_be_found_again_and_is_kept_nowhere(empty: httpx.AsyncClient) -> None:
    answers = [await empty.get(path) for path in ("/health", "/v1/runs", "/v1/runs/5", "/nothing", "/openapi.json")]
    answers.append(await empty.get("/v1/runs", headers={"Authorization": ""}))
    answers.append(await empty.post("/oauth/token"))
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert len({answer.headers["correlation-id"] for answer in answers}) == len(answers)


# --- the service ---------------------------------------------------------------------------------------------


async def test_health_says_whether_a_worker_is_alive(empty: httpx.AsyncClient, store: Store) -> None:
    ready = {"database": True, "schema_fits": True}
    assert (await empty.get("/health")).json().items() >= (ready | {"worker": False}).items()
    async with store.owner.begin() as c:
        await c.execute(text("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now())"))
    assert (await empty.get("/health")).json().items() >= (ready | {"worker": True}).items()
    async with store.owner.begin() as c:
        await c.execute(text("DELETE FROM procrastinate_workers"))


async def test_health_counts_what_is_late(empty: httpx.AsyncClient, store: Store, district: int, actor: Actor) -> None:
    before = (await empty.get("/health")).json()["late"]
    await registers.add_connection(store, district, "silent", "oneroster", {}, {}, actor)
    async with store.transaction(district) as c:
        await c.execute(text("UPDATE connection SET created_at = now() - interval '27 h'"))
    assert (await empty.get("/health")).json()["late"] == before + 1


async def test_with_the_schema_of_a_newer_program_it_serves_no_more_and_lives(
    empty: httpx.AsyncClient, store: Store
) -> None:
    async def change(version: str) -> str:
        async with store.owner.begin() as c:
            was = await c.scalar(text("SELECT version_num FROM alembic_version"))
            await c.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        return str(was)

    ours = await change("9999")
    try:
        answer = await empty.get("/health")
        assert (answer.status_code, answer.json()["schema_fits"]) == (503, False)
        assert (await empty.get("/health/live")).json() == {"alive": True}
    finally:
        await change(ours)
    assert (await empty.get("/health")).status_code == 200


async def test_without_its_database_the_service_says_that_it_is_ill(store: Store, settings: Settings) -> None:
    nowhere = Store(make_url("postgresql+psycopg://nobody@127.0.0.1:9/nothing"), store.secrets, store.purges)
    async with serving(api.create_app(nowhere, settings)) as http:
        answer = await http.get("/health")
        assert (await http.get("/health/live")).status_code == 200
    await nowhere.close()
    assert (answer.status_code, answer.json()["database"]) == (503, False)
