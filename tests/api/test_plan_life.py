"""A plan's whole life over HTTP and in a real store: every step, what it asks for, what time does, what is told."""

import json
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from gateway import clock, delivery, jobs, planning
from gateway.errors import Refused
from gateway.plans import Given
from gateway.store import plans as stored
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.conftest import Bearer
from tests.api.world import World, consulted, content
from tests.plan_operations import Operated

GOAL = {
    "domain": "academic", "statement": "planted-goal", "addresses": ["need-1"], "baseline_unknown_until": "2027-01-10",
    "targets": [{"measure": "words", "value": 90, "due_on": "2027-05-01"}],
}  # fmt: skip
REVIEW = {"decision": "continue", "per_goal": [{"goal": "goal-1", "achievement": "improving"}]}


@pytest.fixture
async def mine(http: httpx.AsyncClient, world: World, bearer: Bearer) -> httpx.AsyncClient:
    http.headers.update(await bearer(world.district, person=world.teacher))
    return http


class Days:
    """The day it is, for the gateway."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.first = datetime.now(UTC)
        self.monkeypatch = monkeypatch

    def pass_to(self, days: int) -> date:
        now = self.first + timedelta(days=days)
        self.monkeypatch.setattr(clock, "now", lambda: now)
        return now.date()


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> Days:
    return Days(monkeypatch)


async def step(
    mine: httpx.AsyncClient, plan: str, name: str, *, dry_run: bool = False, **given: Any
) -> tuple[int, dict[str, Any]]:
    made = await mine.post(f"/v1/plans/{plan}/steps/{name}?dry_run={dry_run}", json=given)
    return made.status_code, made.json()


async def found(store: Store, world: World, plan: str) -> tuple[str, str | None, int | None]:
    async with store.transaction(world.district) as c:
        it = await stored.load(c, plan)
    return it.state, it.standing, it.version


async def running(mine: httpx.AsyncClient, store: Store, world: World) -> str:
    """A plan with one goal that has begun, today."""
    plan = (await mine.post("/v1/plans", json=content(world, goals=[GOAL]))).json()["id"]
    assert (await step(mine, plan, "consult"))[0] == 200
    shown = await mine.put(f"/v1/plans/{plan}", json=consulted(world) | {"goals": [GOAL]}, headers={"If-Match": '"2"'})
    assert shown.status_code == 200, shown.text
    assert (await step(mine, plan, "finalize"))[0] == 200
    await jobs.tick(store)
    return plan


async def test_a_plan_lives_from_gathering_to_the_archive(
    mine: httpx.AsyncClient, store: Store, world: World, days: Days
) -> None:
    plan = (await mine.post("/v1/plans?gathering=true", json=content(world, goals=[GOAL]))).json()["id"]
    assert (await found(store, world, plan))[0] == "gathering"
    assert (await step(mine, plan, "consult"))[1]["code"] == "plan-wrong-state"
    for name in ("draft", "consult", "reopen", "consult"):
        assert (await step(mine, plan, name))[0] == 200
    edited = await mine.put(
        f"/v1/plans/{plan}",
        json=consulted(world) | {"goals": [GOAL], "period_start": days.pass_to(2).isoformat()},
        headers={"If-Match": '"5"'},
    )
    assert edited.status_code == 200
    days.pass_to(0)
    code, refused = await step(mine, plan, "finalize")
    assert (code, refused["missing"]) == (409, ["/consultations/0/changes"])
    told = consulted(world) | {"goals": [GOAL], "period_start": days.pass_to(2).isoformat()}
    told["consultations"][0]["changes"] = [{"item": "/period_start"}]
    days.pass_to(0)
    assert (await mine.put(f"/v1/plans/{plan}", json=told, headers={"If-Match": '"6"'})).status_code == 200
    assert (await step(mine, plan, "finalize"))[0] == 200

    code, refused = await step(mine, plan, "activate")
    assert (code, refused["code"], refused["missing"]) == (409, "G3", ["/period_start"])
    await jobs.tick(store)
    assert await found(store, world, plan) == ("finalized", "finalized", 1)
    days.pass_to(2)
    await jobs.tick(store)
    assert await found(store, world, plan) == ("active", "active", 1)
    code, refused = await step(mine, plan, "review")
    assert (code, refused["code"], refused["missing"]) == (409, "G5", ["/next_review_on"])

    code, refused = await step(mine, plan, "hold")
    assert (code, refused["code"], refused["missing"]) == (409, "G10", ["/because"])
    assert (await step(mine, plan, "hold", because="The family moves house."))[1]["state"] == "on_hold"
    assert (await step(mine, plan, "resume"))[1]["state"] == "active"

    days.pass_to(56)
    await jobs.tick(store)
    assert await found(store, world, plan) == ("in_review", "in_review", 1)
    code, refused = await step(mine, plan, "continue")
    assert (code, refused["code"]) == (409, "G6")
    assert refused["missing"] == ["/reviews", "/goals/0/achievement", "/next_review_on"]
    held = REVIEW | {"held_on": days.pass_to(57).isoformat(), "next_review_on": days.pass_to(100).isoformat()}
    days.pass_to(57)
    assert (await mine.post(f"/v1/plans/{plan}/reviews", json=held)).status_code == 201
    assert (await step(mine, plan, "continue"))[1]["state"] == "active"

    code, refused = await step(mine, plan, "close")
    assert (code, refused["code"], refused["missing"]) == (409, "G7", ["/goals/0/achievement", "/outcome", "/note"])
    final = {"per_goal": [{"goal": "goal-1", "achievement": "achieved"}]}
    assert (await mine.post(f"/v1/plans/{plan}/reviews", json=held | final)).status_code == 201
    closed = await step(mine, plan, "close", outcome="goals_met", note="Reads by herself now.")
    assert (closed[0], closed[1]["state"], closed[1]["standing"]) == (200, "closed", "closed")
    late = await mine.put(f"/v1/plans/{plan}", json=told, headers={"If-Match": str(closed[1]["revision"])})
    assert (late.status_code, late.json()["code"]) == (409, "plan-over")
    assert (await step(mine, plan, "archive"))[1]["state"] == "archived"


async def test_a_dry_run_says_what_a_step_would_say_and_changes_nothing(mine: httpx.AsyncClient, world: World) -> None:
    code, asked = await step(mine, world.plan, "finalize", dry_run=True)
    verdicts = {one["code"]: one for one in asked["guards"]}
    assert (code, asked["possible"]) == (200, False)
    assert verdicts["G2a"]["missing"] == ["/consultations"] and verdicts["G2b"]["ok"]
    assert not verdicts["plan-wrong-state"]["ok"] and "draft" in verdicts["plan-wrong-state"]["rule"]
    assert (await step(mine, world.plan, "consult", dry_run=True))[1]["possible"]
    assert (await step(mine, world.plan, "revoke", dry_run=True))[1]["guards"][0]["missing"] == ["/because"]
    assert (await step(mine, world.plan, "consult"))[1]["revision"] == 2


async def test_a_next_version_is_written_while_the_last_one_goes_on(
    mine: httpx.AsyncClient, store: Store, world: World, days: Days
) -> None:
    plan = await running(mine, store, world)
    again = consulted(world) | {"goals": [GOAL], "title": "planted-second"}
    edited = await mine.put(f"/v1/plans/{plan}", json=again, headers={"If-Match": '"5"'})
    assert (edited.json()["state"], edited.json()["standing"]) == ("draft", "active")
    days.pass_to(60)
    await jobs.tick(store)
    assert await found(store, world, plan) == ("draft", "in_review", 1)
    made = await delivery.preview(store, world.district, plan, "ods")
    assert made.version == 1
    days.pass_to(0)
    assert (await step(mine, plan, "consult"))[0] == 200
    meant = again | {"consultations": [again["consultations"][0] | {"shown_sha256": await shown(store, world, plan)}]}
    revision = (await mine.put(f"/v1/plans/{plan}", json=meant, headers={"If-Match": '"8"'})).json()
    assert revision["state"] == "consultation", revision
    assert (await step(mine, plan, "finalize"))[1]["version"] == 2
    assert (await planning.at(store, world.district, plan, 1 << 40)).versions == {1: "in_review", 2: "finalized"}
    await jobs.tick(store)
    told = await planning.at(store, world.district, plan, 1 << 40)
    assert (told.state, told.versions) == ("active", {1: "closed", 2: "active"})


async def shown(store: Store, world: World, plan: str) -> str:
    events = await planning.history(store, world.district, plan)
    return str([event["detail"]["shown_sha256"] for event in events if event["act"] == "shown"][-1])


@pytest.mark.parametrize("name", ["revoke", "void"])
async def test_what_is_taken_back_is_sent_nowhere_and_says_who_has_it(
    mine: httpx.AsyncClient, store: Store, world: World, actor: Actor, name: str
) -> None:
    async with store.transaction(world.district) as c:
        await c.execute(text("UPDATE ledger SET sent_sha256 = '0', delivered_sha256 = '0', status = 201"))
    code, refused = await step(mine, world.final, name)
    assert (code, refused["code"], refused["missing"]) == (409, "G8", ["/because"])
    code, taken = await step(mine, world.final, name, because="Another child's plan.")
    assert (code, taken["retract"]) == (200, ["ods"])
    with pytest.raises(Refused) as refusal:
        await delivery.preview(store, world.district, world.final, "ods")
    assert refusal.value.code == "plan-taken-back"
    last = (await planning.history(store, world.district, world.final))[-1]
    assert last["detail"]["retract"] == ["ods"] and last["detail"]["because"] == "Another child's plan."
    assert (await step(mine, world.final, "consult"))[1]["code"] == "plan-wrong-state"


async def test_a_review_that_nobody_holds_is_noted_as_overdue_once(
    mine: httpx.AsyncClient, store: Store, world: World, days: Days
) -> None:
    plan = await running(mine, store, world)
    for day in (70, 70, 71, 71):
        days.pass_to(day)
        await jobs.tick(store)
        acts = [event["act"] for event in await planning.history(store, world.district, plan)]
        assert acts.count("review") == 1 and acts.count("overdue") == (day == 71)
    last = (await planning.history(store, world.district, plan))[-1]
    assert last["actor"] == {"name": "Planbridge", "role": "system"}


async def test_an_item_of_a_template_is_confirmed_by_changing_it(store: Store, world: World, actor: Actor) -> None:
    copied = content(world, goals=[GOAL | {"template": "Pack"}, GOAL | {"template": "Pack"}])
    plan = await planning.create(store, world.district, copied, actor)
    async with store.transaction(world.district) as c:
        kept = (await stored.load(c, plan)).content
    kept["goals"][0]["statement"] = "planted-own"
    edited = await planning.edit(store, world.district, plan, kept, actor)
    assert ["template" in goal for goal in edited.content["goals"]] == [False, True]


async def test_any_earlier_moment_is_told_by_the_acts(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E1, E4: the small count of tests/proofs/test_plan_proof.py."""
    sound = json.loads(json.dumps(content(world, goals=[GOAL])))
    operated = Operated(store, world.district, sound, Random(7))
    await operated.begin()
    for n in range(150):
        await operated.operate(monkeypatch, n // 10)
    counts = await operated.compare()
    assert counts["versions"] >= 2 and counts["refused"] > 20, operated.refused


async def test_a_moment_before_the_acts_kept_what_they_changed_is_refused(
    store: Store, world: World, actor: Actor
) -> None:
    plan = await planning.create(store, world.district, content(world), actor)
    with pytest.raises(Refused) as refusal:
        await planning.at(store, world.district, plan, date(2020, 1, 1))
    assert refusal.value.code == "history-too-old"
    assert (await planning.at(store, world.district, plan, clock.today())).state == "draft"
    await planning.take(store, world.district, plan, "revoke", actor, Given("Not needed."))
    assert (await planning.at(store, world.district, plan, clock.today())).state == "revoked"
