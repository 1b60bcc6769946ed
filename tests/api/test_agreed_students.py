"""What /v1 lists of students: no more than the agreement names, and whom it does not reach there is not."""

import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from gateway.access import SECTIONS
from gateway.store import clients, reads
from gateway.store.clients import FOR_VENDORS, Grant
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.conftest import agree, token
from tests.village import Village, populate


@pytest.fixture
async def village(store: Store, district: int) -> Village:
    return await populate(store, district)


async def program(village: Village, actor: Actor, **agreed: Any) -> str:
    """A program with every scope and every section, and an agreement with it that says less."""
    granted = Grant("vendor", "planning", SECTIONS)
    made, _ = await clients.add(village.store, village.district, "planner", FOR_VENDORS, actor, granted)
    await agree(village.store, village.district, made, **agreed)
    return made


async def by(village: Village, made: str, who: str = "") -> dict[str, str]:
    return await token(village.store, village.district, made, person=village.ids[who] if who else None)


WHO = "/v1/students?fields=given_name,family_name"
NAMED = frozenset({"givenName", "familyName"})


async def test_of_students_no_more_is_listed_than_is_agreed(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    for collections, names, schools in (
        ({"users": None}, True, True),
        ({"users": NAMED}, True, False),
        ({"users": frozenset({"roles"})}, False, True),
        ({"plans": frozenset({"goals"})}, False, False),
        ({"record": frozenset({"identity"})}, True, True),
        ({"results": None}, False, False),
    ):
        headers = await by(village, await program(village, actor, collections=collections))
        listed = {one["id"]: one for one in (await http.get(WHO, headers=headers)).json()["students"]}
        one = (await http.get(WHO.replace("?", f"/{village.student}?"), headers=headers)).json()
        assert listed[village.student] == one
        assert (one["family_name"] is not None, bool(one["schools"])) == (names, schools), collections
    headers = await by(village, await program(village, actor, collections={"orgs": None, "classes": None}))
    answer = await http.get("/v1/students", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "agreement-collection")


async def test_of_results_no_more_is_listed_than_is_agreed(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    for fields, told in ((None, {"title", "scores"}), ({"lineItem"}, {"title"}), ({"score"}, {"scores"})):
        agreed = None if fields is None else frozenset(fields)
        headers = await by(village, await program(village, actor, collections={"results": agreed}))
        answer = await http.get(f"/v1/students/results?student={village.student}", headers=headers)
        [first, *_] = answer.json()["results"]
        assert {name for name in ("title", "scores") if first[name]} == told


async def test_that_there_is_a_plan_is_on_record_as_told(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    for path in ("/v1/plans", f"/v1/plans/{village.plan}/versions"):
        made = await program(village, actor)
        assert (await http.get(path, headers=await by(village, made))).status_code == 200
        async with village.store.transaction(village.district) as c:
            found = await reads.received(c, made)
        assert [(one["student"], one["collection"], one["field"]) for one in found] == [
            (village.student, "plans", "state")
        ]


async def test_whom_an_agreement_does_not_reach_is_like_whom_there_is_not(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    made = await program(village, actor)
    async with village.store.transaction(village.district) as c:
        await c.execute(text("UPDATE reach SET visible = false WHERE sourced_id = :id"), {"id": village.student})
    mine = await by(village, made)
    nobody = uuid.uuid4()

    async def answered(path: str) -> tuple[int, Any]:
        answer = await http.get(path, headers=mine)
        said = {name: answer.json()[name] for name in ("code", "detail")}
        return answer.status_code, {
            name: text.replace(path.split("/")[3].partition("?")[0], "it") for name, text in said.items()
        }

    for path in ("", "/plan", "/record", "/record?as_of=7", "/consents"):
        assert await answered(f"/v1/students/{village.student}{path}") == await answered(f"/v1/students/{nobody}{path}")
    assert (await http.get("/v1/changes", headers=mine)).json()["code"] == "agreement-collection"
    sent = await http.post(f"/v1/plans/{village.plan}/deliveries", json={"destination": "ods"}, headers=mine)
    assert (sent.status_code, sent.json()["code"]) == (404, "plan-unknown")
    for path in ("", "/versions", "?as_of=1", "/progress", "/deliveries", "/supports/support-1/deliveries"):
        assert await answered(f"/v1/plans/{village.plan}{path}") == await answered(f"/v1/plans/{nobody}{path}"), path
    http.headers.update(await by(village, made, "counselor"))
    plans = [{"id": who, "student_number": f"N-{who}", "plan": {}} for who in ("student", "nobody")]
    faults = (await http.post("/v1/plans/batch", json={"plans": plans})).json()["faults"]
    told = {
        who: [(f["field"], f["reason"], f["code"]) for f in faults if f["plan"] == who] for who in ("student", "nobody")
    }
    assert told["student"] == told["nobody"] != []
