"""A Moodle from connecting it to taking a plan back, as somebody at the district types it."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from connectors.moodle.twin import SERVICE, TEAM, User, twin
from connectors.moodle.twin_site import COMPLETE
from gateway import clock, planning
from gateway.access import SECTIONS
from gateway.errors import Refused
from gateway.settings import Settings
from gateway.store import consents
from gateway.store import plans as stored
from gateway.store.consents import Given
from gateway.store.database import Store
from gateway.store.registers import Actor
from synthetic import build
from tests.records import CHILDREN, SUPPORT, TEACHER, small, tied_goal
from tests.serving import serve
from tests.test_seeing import typed
from tests.village import Village

PLANTED = ("zirconfish", "quartzowl", "basaltcrane", "feldsparhare")
"""In the title, a need, a goal about health and a health service."""


async def test_from_connecting_to_taking_back(
    store: Store, district: int, actor: Actor, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.database.migrate", lambda url: None)  # the store's own opening has done it
    monkeypatch.setenv("MOODLE_TOKEN", "demo-token")
    here = await small(store, district, actor, tmp_path / "sis")
    office = Village(store, district)
    made = twin(build(schools=1, students=3, seed=11))
    site = made.state.site
    numbers = [*(one.number for one in CHILDREN), TEACHER.number]
    accounts = {number: site.add(User(700 + n, f"u{n}", "U", str(n), number)) for n, number in enumerate(numbers)}
    child, other, teacher = accounts[CHILDREN[0].number], accounts[CHILDREN[1].number], accounts[TEACHER.number]

    async def ask(*words: str, code: int = 0) -> Any:
        ended, said = await typed(office, settings, *words, "--json")
        assert ended == code, said
        return json.loads(said.splitlines()[-1]) if said.strip() else None

    def seen(user: User) -> str:
        return "\n".join(site.visible_to(user.id))

    title, need, goal, service = PLANTED
    content: dict[str, Any] = {
        "title": title,
        "team": [{"who": here.teacher, "role": "teacher"}],
        "needs": [
            {"domain": "academic", "statement": need, "evidence": [{"observation": need}]},
            {"domain": "physical_health", "statement": need, "evidence": [{"observation": need}]},
        ],
        "goals": [tied_goal(), tied_goal() | {"domain": "physical_health", "statement": goal, "addresses": ["need-2"]}],
        "supports": [
            SUPPORT | {"owner": here.teacher, "goals": ["goal-1"]},
            {"name": service, "kind": "health_service", "owner": here.teacher, "goals": ["goal-2"]},
        ],
    }
    plan = await here.finalized(0, **content)

    async def revise(**change: Any) -> None:
        async with store.transaction(district) as c:
            found = (await stored.load(c, plan)).content
        await planning.edit(store, district, plan, found | change, actor)
        await here.finalize(plan)

    with serve(made) as url:
        where = ("--set", f"base_url={url}", "--set", "private_addresses=127.0.0.1: a twin")
        role = ("--set", f"team_role={TEAM}", "--set", "token=env:MOODLE_TOKEN")
        await ask("connect", "moodle", "--name", "lms", *where, *role)
        assert all(one["ok"] for one in await ask("check", "lms"))
        await ask("pull", "lms", code=Refused.exit_code)

        push = ("push", plan, "--to", "lms", "--as", "Ottoline Farrow")
        shown = await ask(*push, "--preview", "--set", "include_consultation=true")
        assert [one["resource"] for one in shown["would_send"]] == ["learningPlans", "teamRoles"], "without a consent"
        today = clock.today()
        consent = Given(here.children[0], "Odalys Umberfield", "guardian", "destination:lms", sorted(SECTIONS),
                        "planning", True, today, today.replace(year=today.year + 1))  # fmt: skip
        async with store.transaction(district) as c:
            await consents.add(store, c, district, consent, actor)
        shown = await ask(*push, "--preview", "--set", "include_consultation=true")
        assert [one["resource"] for one in shown["would_send"]] == ["learningPlans", "teamRoles", "planComments"]
        assert site.plans == {} and not [word for word in PLANTED if word in json.dumps(shown["would_send"])]

        sent = await ask(*push)
        assert sent["state"] == "delivered", sent
        told = seen(child)
        assert told == seen(teacher) and "Reading hour" in told and "Reads with ease." in told
        assert "Family consultation" in told and "<td>teacher</td>" in told and site.visible_to(other.id) == []
        asked = json.dumps(made.state.received)
        assert [w for w in (*PLANTED, CHILDREN[0].given, CHILDREN[0].family, "Umberteach") if w in asked] == []

        made.state.received.clear()
        assert (await ask(*push))["state"] == "delivered"
        assert [name for name, _ in made.state.received if "get_users" not in name] == [], "nothing had changed"

        [id] = site.plans
        site.edit(id, description=site.plans[id]["description"].replace("Reading hour", "Reading half-hour"))
        await revise(strengths=[{"statement": "Draws maps."}])
        parked = await ask(*push, code=Refused.exit_code)
        assert parked["state"] == "parked" and "edited" in parked["reason"] and "half-hour" in seen(child)
        assert (await ask(*push, "--overwrite", "--because", "Agreed on the telephone."))["state"] == "delivered"
        assert "half-hour" not in seen(child) and "Draws maps." in seen(child) and list(site.plans) == [id]

        made.state.received.clear()
        await revise(team=[], strengths=[{"statement": "Draws hills."}])
        assert (await ask(*push))["state"] == "delivered"
        order = [name.removeprefix("core_") for name, _ in made.state.received]
        assert order.index("role_unassign_roles") < order.index("competency_update_plan"), "they see no later version"
        assert site.visible_to(teacher.id) == [] and "Draws hills." in seen(child)
        await revise(team=content["team"])
        assert (await ask(*push))["state"] == "delivered" and "Draws hills." in seen(teacher)
        for state in ("closed", "finalized"):
            async with store.owner.begin() as c:  # closing asks for a review, of which tests/test_plan_walks.py tells
                await c.execute(text("UPDATE plan SET state = :state WHERE id = CAST(:id AS uuid)"),
                                {"state": state, "id": plan})  # fmt: skip
            assert (await ask(*push))["state"] == "delivered"
            assert (site.plans[id]["status"] == COMPLETE) == (site.visible_to(teacher.id) == []) == (state == "closed")
        await revise(strengths=[{"statement": "Draws seas."}])  # the plan is what was written last
        assert (await ask(*push))["state"] == "delivered"

        made.state.received.clear()
        gone = await ask(*push, "--withdraw", "--because", "The family asked for it.")
        assert gone["state"] == "withdrawn" and not site.plans and not site.assignments and not site.comments
        assert made.state.received[0][0] == "core_role_unassign_roles", "the team's sight ends first"
    assert [one.id for one in site.users.values() if site.visible_to(one.id)] == [] and SERVICE in site.users
