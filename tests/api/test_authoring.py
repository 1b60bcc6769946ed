"""E3: plans are written by educators, also where a program does it for them; what they were not shown stays."""

import copy
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from gateway import planning
from gateway.access import SECTIONS
from gateway.plans import Given
from gateway.schema.plan import Plan, canonical
from gateway.store import clients
from gateway.store import plans as stored
from gateway.store.clients import Grant
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.conftest import agree, token
from tests.village import TODAY, Village, content, populate


@pytest.fixture
async def village(store: Store, district: int) -> Village:
    return await populate(store, district)


@dataclass
class Program:
    """A vendor's program with an agreement that names authoring."""

    village: Village
    id: str

    async def for_(self, who: str) -> dict[str, str]:
        """The header with its token, for somebody, or for itself."""
        person = self.village.ids[who] if who else None
        return await token(self.village.store, self.village.district, self.id, person=person)


async def program(village: Village, actor: Actor, *granted: str) -> Program:
    scopes = ["plans.read", "plan.write", "input.write", "record.read", "students.read"]
    grant = Grant("vendor", "planning", granted)
    id, _ = await clients.add(village.store, village.district, "planner", scopes, actor, grant)
    await agree(village.store, village.district, id)
    return Program(village, id)


async def kept(village: Village) -> dict[str, Any]:
    async with village.store.transaction(village.district) as c:
        return (await stored.load(c, village.plan)).content


WRITES = {"coordinator", "teacher", "counselor"}
STEPS_ALONE = {"principal"}
NEVER = {"", "stranger", "elsewhere_principal", "mother", "father", "mentor", "student"}


async def test_a_program_writes_goals_for_an_educator_of_the_student_and_for_nobody_else(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    vendor = await program(village, actor)
    for who in sorted(WRITES | STEPS_ALONE | NEVER):
        header = await vendor.for_(who)
        made = await http.post("/v1/plans", json=content(village), headers=header)
        assert made.status_code == (201 if who in WRITES else 403), who
        if who not in WRITES:
            assert made.json()["code"] == ("author-refused" if who else "author-missing")
            assert "planted" not in made.text
        path = f"/v1/plans/{village.plan}"
        held = await http.post(f"{path}/steps/consult", headers=header)
        assert held.status_code == (200 if who in WRITES else 403), who
        taken = await http.post(f"{path}/steps/reopen", headers=header)
        assert taken.status_code == (403 if who in NEVER else 200 if who in WRITES else 409), who
        review = {"held_on": TODAY.isoformat(), "decision": "continue"}
        reviewed = await http.post(f"{path}/reviews", json=review, headers=header)
        assert reviewed.status_code == (409 if who in WRITES else 403), who
    async with village.store.transaction(village.district) as c:
        refused = await c.exec_driver_sql("SELECT detail->>'person' FROM act WHERE act = 'write-refused'")
        assert set(refused.scalars()) == {village.ids[who] for who in (NEVER | STEPS_ALONE) - {""}}
        acts = await stored.events(c, village.plan)
    assert {one["actor"].get("person") for one in acts[1:]} == {village.ids[who] for who in WRITES}


async def test_what_an_educator_was_not_shown_stays_when_they_write(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    both = copy.deepcopy(await kept(village))
    both["goals"][0]["addresses"] = ["need-1", "need-3"]
    await planning.edit(village.store, village.district, village.plan, both, actor)
    http.headers.update(await (await program(village, actor, *SECTIONS)).for_("coordinator"))
    seen = (await http.get(f"/v1/students/{village.student}/plan")).json()
    mine = seen["content"]
    assert "planted-why-physical_health" not in str(mine)
    address, revision = f"/v1/plans/{village.plan}", {"If-Match": str(seen["revision"])}
    assert (await http.put(address, json=masked(mine), headers=revision)).status_code == 200
    assert canonical(Plan.model_validate(await kept(village))) == canonical(Plan.model_validate(both))

    mine["needs"] = [*masked(mine)["needs"], {"domain": "academic", "statement": "Writes in haste."}]
    mine["goals"][0]["statement"] = "Writes a page."
    again = await http.put(address, json=mine, headers={"If-Match": str(seen["revision"] + 1)})
    assert again.status_code == 200, again.text
    now = await kept(village)
    statements = {need["id"]: need["statement"] for need in now["needs"]}
    assert statements["need-3"] == "planted-physical_health" and statements["need-5"] == "Writes in haste."
    assert (now["goals"][0]["statement"], now["goals"][0]["addresses"]) == ("Writes a page.", ["need-1", "need-3"])

    # A program that was granted less than the educator may see keeps what it did not get.
    http.headers.update(await (await program(village, actor, "identity", "goals", "academic")).for_("coordinator"))
    seen = (await http.get(f"/v1/students/{village.student}/plan")).json()
    assert "strengths" not in seen["content"] and seen["content"]["goals"][0]["addresses"] == ["need-1"]
    put = await http.put(address, json=seen["content"], headers={"If-Match": str(seen["revision"])})
    assert put.status_code == 200 and await kept(village) == now


def masked(content: dict[str, Any]) -> dict[str, Any]:
    """Without what is shown in part: it is no item that could be written."""
    return content | {"needs": [need for need in content["needs"] if "statement" in need]}


@pytest.mark.parametrize("by_name", [True, False])
async def test_who_wrote_a_plan_does_not_waive_its_consultation(
    village: Village, http: httpx.AsyncClient, actor: Actor, by_name: bool
) -> None:
    """G2a: known by the id that a program gave, or by the name at the command line."""
    attempts = [
        {"contact": village.mother, "channel": channel, "on": f"2026-10-{day}", "result": "no_answer"}
        for channel, day in (("phone", "01"), ("letter", "08"), ("phone", "20"))
    ]
    waiver = {"reason": "Nobody answered.", "approved_by": village.principal, "approved_on": TODAY.isoformat(),
              "expires_on": TODAY.replace(year=TODAY.year + 1).isoformat()}  # fmt: skip
    told = content(village) | {"attempts": attempts, "waiver": waiver}
    await planning.take(village.store, village.district, village.plan, "consult", actor)
    await planning.edit(village.store, village.district, village.plan, told, actor)
    report = await planning.ask(village.store, village.district, village.plan, "finalize")
    assert all(one.ok for one in report), report
    author = (
        Actor("Planted-Given  planted-principal", "educator") if by_name else Actor("x", "client", village.principal)
    )
    await planning.edit(village.store, village.district, village.plan, told, author)
    report = await planning.ask(village.store, village.district, village.plan, "finalize", Given())
    assert {one.code: one.missing for one in report if not one.ok} == {"G2a": ("/waiver/approved_by",)}
