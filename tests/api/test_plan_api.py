"""The plan API beyond one plan's life: what callers are shown, requests that come twice, many plans, the document."""

import asyncio
import json
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from gateway import clock, planning, record
from gateway.access import SECTIONS
from gateway.api import idempotency, removals
from gateway.api.envelope import MORE_BYTES
from gateway.api.removals import Removal
from gateway.schema.plan import published
from gateway.store import clients, disclosures, repeatable
from gateway.store.clients import FOR_VENDORS, Grant
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.store.repeatable import Claim
from tests.api.conftest import agree, token
from tests.village import AUTHOR, TODAY, Village, content, populate

Headers = dict[str, str]


@pytest.fixture
async def village(store: Store, district: int) -> Village:
    return await populate(store, district)


async def program(village: Village, actor: Actor, *, kind: str = "vendor", **agreed: Any) -> tuple[str, str]:
    """A program with every scope and every section, and an agreement with it."""
    made = await clients.add(
        village.store, village.district, "planner", FOR_VENDORS, actor, Grant(kind, "planning", SECTIONS)
    )
    await agree(village.store, village.district, made[0], **agreed)
    return made


async def by(village: Village, made: tuple[str, str], who: str = "") -> Headers:
    return await token(village.store, village.district, made[0], person=village.ids[who] if who else None)


async def act_count(village: Village, act: str) -> int:
    async with village.store.transaction(village.district) as c:
        return int(await c.scalar(text("SELECT count(*) FROM act WHERE act = :act"), {"act": act}))


async def test_each_caller_is_shown_their_students_and_names_where_they_may_be_read(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    made = await program(village, actor)
    names = {}
    for who in ("teacher", "counselor", "mother", "stranger", "student"):
        http.headers.update(await by(village, made, who))
        told = (await http.get("/v1/students?fields=given_name,family_name")).json()
        names[who] = {one["id"]: one["family_name"] for one in told["students"]}
        plans = (await http.get("/v1/plans")).json()["plans"]
        assert [one["id"] for one in plans] == ([village.plan] if village.student in names[who] else []), who
    mine, both = {village.student: "planted-student"}, {village.student, village.other}
    assert (names["teacher"], names["mother"], names["student"], names["stranger"]) == (mine, mine, mine, {})
    assert set(names["counselor"]) == both
    http.headers.update(await by(village, made, "counselor"))
    first = (await http.get("/v1/students?limit=1")).json()
    rest = (await http.get("/v1/students", params={"cursor": first["next"]})).json()
    assert {one["id"] for one in first["students"] + rest["students"]} == both and rest["next"] is None
    assert first["students"][0]["family_name"] is None, "not asked for"
    one = await http.get(f"/v1/students/{village.other}")
    assert one.json()["schools"] == [village.school] and "planted" not in one.text
    http.headers.update(await by(village, made, "stranger"))
    assert (await http.get(f"/v1/students/{village.other}")).status_code == 403
    wrong = await http.get("/v1/students?fields=planted-word")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "fields-invalid") and "planted" not in wrong.text
    async with village.store.transaction(village.district) as c:
        lines = await disclosures.of_student(c, village.student)
        reads = (
            await c.execute(text("SELECT count(*) FROM client_read WHERE client_id = :id"), {"id": made[0]})
        ).scalar()
    assert [line["sections"] for line in lines] == [["identity"]] * 4 and reads


async def test_a_vendor_is_served_under_its_agreement_alone(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    none = await clients.add(
        village.store, village.district, "x", FOR_VENDORS, actor, Grant("vendor", "planning", SECTIONS)
    )
    over = await program(village, actor, begin=TODAY - timedelta(days=9), until=TODAY - timedelta(days=1))
    record_only = await program(village, actor, collections={"record": frozenset({"identity"})}, authoring=False)
    paths = ("/v1/students", f"/v1/students/{village.student}/plan", "/v1/plans", f"/v1/plans/{village.plan}",
             f"/v1/students/{village.student}/record", "/v1/students/results")  # fmt: skip
    for made, code in ((none, "agreement-none"), (over, "agreement-ended")):
        http.headers.update(await by(village, made, "teacher"))
        for path in paths:
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (403, code), path
        answer = await http.post("/v1/plans", json=content(village))
        assert (answer.status_code, answer.json()["code"]) == (403, code)
    http.headers.update(await by(village, record_only, "teacher"))
    assert (await http.get("/v1/plans")).json()["code"] == "agreement-collection"
    answer = await http.post("/v1/plans", json=content(village))
    assert (answer.status_code, answer.json()["code"]) == (403, "agreement-authoring")
    async with village.store.transaction(village.district) as c:  # ... and whom it does not reach is not there for it
        await c.execute(text("UPDATE reach SET visible = false WHERE sourced_id = :id"), {"id": village.student})
    for path in (f"/v1/students/{village.student}/record", f"/v1/students/{village.student}"):
        answer = await http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "student-unknown"), path


async def test_the_record_is_read_as_it_stood_and_input_is_added(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    made = await program(village, actor)
    written = {"kind": "observation", "body": {"text": "planted-heard"}}
    first = await record.add(village.store, village.district, village.student, written, AUTHOR)
    path = f"/v1/students/{village.student}/record"
    alone, teacher = await by(village, made), await by(village, made, "teacher")
    voice = {"kind": "student_voice", "body": {"text": "planted-said"}}
    assert (await http.post(path, json=voice, headers=alone)).status_code == 201
    for who, entry, status in (
        ("", {"kind": "meeting", "body": {"text": "planted-met"}}, 403),
        ("", voice | {"restricted": True}, 403),
        ("teacher", {"kind": "observation", "body": {"text": "planted-seen"}}, 201),
        ("teacher", written | {"restricted": True}, 403),
        ("mother", voice, 201),
        ("mother", written, 403),
        ("principal", written, 403),
        ("stranger", voice, 403),
    ):
        answer = await http.post(path, json=entry, headers=await by(village, made, who))
        assert answer.status_code == status, (who, entry, answer.text)
    for what in ("/v1/plans", f"/v1/plans/{village.plan}/steps/consult",
                 f"/v1/plans/{village.plan}/supports/support-1/deliveries", "/v1/plans/batch"):  # fmt: skip
        body = content(village) if what == "/v1/plans" else {"plans": [{}]} if what.endswith("batch") else None
        answer = await http.post(what, json=body, headers=alone)
        assert (answer.status_code, answer.json()["code"]) == (403, "author-missing"), what

    counselor = await by(village, made, "counselor")
    whole = (await http.get(path, headers=counselor)).json()
    assert [one["says"]["text"] for one in whole["entries"]] == [
        "planted-heard", "planted-said", "planted-seen", "planted-said",
    ]  # fmt: skip
    paged = (await http.get(f"{path}?limit=1", headers=counselor)).json()
    following = (await http.get(path, params={"cursor": paged["next"]}, headers=counselor)).json()
    assert paged["entries"] + following["entries"] == whole["entries"]
    earlier = (await http.get(f"{path}?as_of={first.seq}", headers=counselor)).json()
    assert [one["id"] for one in earlier["entries"]] == [first.id]
    assert (await http.get(f"{path}?as_of=2020-01-01", headers=counselor)).json()["entries"] == []
    assert (await http.get(f"{path}?as_of=then", headers=counselor)).json()["code"] == "time-unreadable"
    own = (await http.get(path, headers=teacher)).json()
    assert [one["says"]["text"] for one in own["entries"]] == ["planted-seen"] and own["hidden"] == 3


async def test_sessions_of_a_support_are_logged_by_educators_and_told_with_the_progress(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    made = await program(village, actor)
    path = f"/v1/plans/{village.plan}/supports/support-1/deliveries"
    told = {"on": TODAY.isoformat(), "minutes": 30}
    for who, status in (("teacher", 201), ("principal", 403), ("mother", 403), ("stranger", 403)):
        assert (await http.post(path, json=told, headers=await by(village, made, who))).status_code == status, who
    missed = told | {"outcome": "student_absent"}
    teacher = await by(village, made, "teacher")
    assert (await http.post(path, json=missed, headers=teacher)).status_code == 201
    given = (await http.get(path, headers=teacher)).json()["entries"]
    assert [one["says"]["delivery"]["minutes"] for one in given] == [30, 0]
    progress = (await http.get(f"/v1/plans/{village.plan}/progress", headers=teacher)).json()
    assert [one["goal"] for one in progress["goals"]] == ["goal-1"] and "30" in progress["supports"][0]["sentence"]
    assert (await http.get(f"/v1/students/{village.student}/consents", headers=teacher)).status_code == 403
    principal = await by(village, made, "principal")
    assert (await http.get(f"/v1/students/{village.student}/consents", headers=principal)).json() == {"consents": []}


async def test_a_plan_is_read_in_parts_in_versions_and_as_it_was(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    made = await program(village, actor)
    http.headers.update(await by(village, made, "coordinator"))
    path = f"/v1/plans/{village.plan}"
    answer = await http.get(f"{path}?fields=goals,strengths")
    assert set(answer.json()["content"]) == {"goals", "strengths"} and answer.headers["etag"] == '"1"'
    async with village.store.transaction(village.district) as c:
        [line] = await disclosures.of_student(c, village.student)
    assert set(line["sections"]) == {"goals", "strengths"}, "the log tells what was really shown"
    changed = content(village) | {"title": "planted-other"}
    await planning.edit(village.store, village.district, village.plan, changed, AUTHOR)
    events = await planning.history(village.store, village.district, village.plan)
    before = (await http.get(f"{path}?as_of={events[0]['seq']}")).json()
    assert (before["content"]["title"], before["revision"]) == ("planted-title", 1)
    assert (await http.get(f"{path}?as_of={date.today()}")).json()["content"]["title"] == "planted-other"
    assert (await http.get(f"{path}?as_of=x")).status_code == 400
    assert (await http.get(f"{path}/versions")).json() == {"versions": []}
    mother = await by(village, made, "mother")
    assert (await http.get(f"{path}?as_of={date.today()}", headers=mother)).status_code == 403
    dry = await http.post(f"{path}/steps/consult?dry_run=true")
    assert dry.json()["possible"] is True and (await http.get(path)).json()["state"] == "draft"
    assert (await http.post(f"{path}/steps/consult?dry_run=true", headers=mother)).status_code == 403
    assert (await http.get("/v1/schemas/plan")).json() == json.loads(json.dumps(published()))


async def test_many_plans_come_at_once_for_an_educator_and_none_twice(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    made = await program(village, actor)
    http.headers.update(await by(village, made, "teacher"))
    mine = content(village) | {"coordinator": village.teacher}
    batch = {"plans": [
        {"id": "a", "plan": mine},
        {"id": "b", "plan": mine | {"student": village.other}},
        {"id": "c", "student_number": "N-student", "plan": {"needs": [{"domain": "planted-word", "statement": "x"}]}},
    ]}  # fmt: skip
    first = await http.post("/v1/plans/batch", json=batch)
    assert first.status_code == 200, first.text
    done = first.json()
    assert (list(done["drafts"]), done["rejected"]) == (["a"], 2)
    assert {(one["plan"], one["row"], one["field"], one["code"]) for one in done["faults"]} == {
        ("b", 2, "", "author-refused"), ("c", 3, "/needs/0/domain", "plan-invalid"),
    }  # fmt: skip
    assert "planted" not in first.text
    again = (await http.post("/v1/plans/batch", json=batch)).json()
    assert (again["drafts"], again["unchanged"], again["rejected"]) == ({}, done["drafts"], 2)
    large = json.dumps({"plans": [{"id": "x" * (2 << 20)}]})
    assert (await http.post("/v1/plans/batch", content=large)).status_code != 413
    assert (await http.post("/v1/plans", content=large)).status_code == 413
    assert MORE_BYTES["/v1/plans/batch"] == 16 << 20


# --- requests that come twice --------------------------------------------------------------------------------


async def test_what_comes_again_under_its_key_is_answered_and_not_carried_out_again(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    made = await program(village, actor)
    http.headers.update(await by(village, made, "teacher"))
    key = {idempotency.HEADER: "key-1"}
    answers = [await http.post("/v1/plans", json=content(village), headers=key) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 201] and answers[0].json() == answers[1].json()
    assert [one.headers.get("idempotent-replayed") for one in answers] == [None, "true"]
    assert answers[0].headers["location"] == answers[1].headers["location"]
    other = content(village) | {"title": "planted-else"}
    refused = await http.post("/v1/plans", json=other, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency-reused")
    # another person is another request; another client has keys of its own; what was never begun is not kept
    coordinator = await by(village, made, "coordinator")
    assert (await http.post("/v1/plans", json=content(village), headers=coordinator | key)).status_code == 422
    second = await by(village, await program(village, actor), "teacher")
    fresh = await http.post("/v1/plans", json=content(village), headers=second | key)
    assert fresh.status_code == 201 and fresh.json()["id"] != answers[0].json()["id"]
    late = {idempotency.HEADER: "key-2"}
    assert (await http.post("/v1/plans", json={}, headers=late)).status_code == 422
    assert (await http.post("/v1/plans", json=content(village), headers=late)).status_code == 201
    assert (await http.post("/v1/plans", json={}, headers={idempotency.HEADER: "k" * 256})).status_code == 400
    async with village.store.transaction(village.district) as c:
        kept = str((await c.execute(text("SELECT * FROM repeatable"))).all())
        assert "planted" not in kept and village.student in kept, "a purge finds it by the student's id"
        await c.execute(text("UPDATE repeatable SET begun_at = now() - interval '8 days'"))
    later = await http.post("/v1/plans", json=content(village), headers=key)
    assert later.json()["id"] != answers[0].json()["id"], "seven days are over"


async def test_a_key_whose_first_request_still_runs_or_came_to_no_end_is_told_so(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    made = await program(village, actor)
    http.headers.update(await by(village, made, "teacher"))
    key, body = {idempotency.HEADER: "key-1"}, json.dumps(content(village))
    said = f"/v1/plans?\n{village.teacher}\n{body}"
    claim = Claim(village.district, made[0], "key-1", said, frozenset())
    assert await repeatable.claim(village.store, claim) == "mine"
    running = await http.post("/v1/plans", content=body, headers=key | {"Content-Type": "application/json"})
    assert (running.status_code, running.json()["code"]) == (409, "idempotency-running")
    assert running.headers["retry-after"] == "1"
    await repeatable.failed(village.store, claim)
    unknown = await http.post("/v1/plans", content=body, headers=key | {"Content-Type": "application/json"})
    assert (unknown.status_code, unknown.json()["code"]) == (409, "idempotency-unfinished")
    at_once = await asyncio.gather(
        *(http.post("/v1/plans", json=content(village), headers={idempotency.HEADER: "key-2"}) for _ in range(4))
    )
    assert sorted({one.status_code for one in at_once}) in ([201], [201, 409])
    assert len({one.json()["id"] for one in at_once if one.status_code == 201}) == 1


# --- the document --------------------------------------------------------------------------------------------


async def test_every_operation_has_a_name_of_its_own_and_says_what_an_error_looks_like(
    application: FastAPI,
) -> None:
    found = application.openapi()
    names = []
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            names.append(operation["operationId"])
            if not path.startswith("/v1/"):
                continue
            assert operation["tags"] and operation["description"], path
            for status in ("400", "401", "403", "404", "409", "422", "503"):
                content = operation["responses"][status]["content"]
                assert list(content) == ["application/problem+json"], (path, status)
            if method == "post":
                assert idempotency.HEADER in {one["name"] for one in operation["parameters"]}, path
    assert len(set(names)) == len(names)
    assert {"create_plan", "edit_plan", "list_students", "take_plan_step"} <= set(names)
    assert "HTTPValidationError" not in json.dumps(found) and "Problem" in found["components"]["schemas"]


async def test_what_is_to_be_removed_says_so_in_every_answer(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert removals.REMOVALS == []
    gone = Removal("GET", "/v1/plans/{id}", date(2027, 1, 1), date(2027, 7, 31), "https://plans.example.org/gone")
    monkeypatch.setattr(removals, "REMOVALS", [gone])
    answer = await http.get(f"/v1/plans/{clock.today()}")
    assert answer.headers["deprecation"] == "@1798761600"
    assert answer.headers["sunset"] == "Sat, 31 Jul 2027 00:00:00 GMT"
    assert answer.headers["link"] == '<https://plans.example.org/gone>; rel="deprecation"'
    assert "sunset" not in (await http.get("/v1/plans")).headers
    with pytest.raises(AssertionError):
        Removal("GET", "/v1/plans", date(2027, 1, 1), date(2027, 6, 1), "")
