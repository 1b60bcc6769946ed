"""What of plans waits for a person, from real pulls: who left, who moved, whose rights ended; told and mended."""

import re
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from gateway import clock, continuity, decisions, delivery, dispatch, jobs, planning
from gateway.continuity import Somebody
from gateway.errors import Refused
from gateway.schema.plan import Plan, canonical, sha256
from gateway.store import attention, deliveries, outbox, purges, registers, standing
from gateway.store import plans as stored
from gateway.store.database import Store
from gateway.store.plans import Placed, StoredVersion
from gateway.store.registers import Actor
from gateway.telling import of_plans
from tests.e2e.messages import DISASTERS
from tests.store.school import SHARED_PARENT, School, user

COUNSELOR = Actor("Ottoline Farrow", "educator")
TODAY = clock.today()


class Town(School):
    """Two schools; at the first two teachers beside the principal. Plans in it are what their documents say."""

    async def person(self, key: str) -> str:
        return await self._id("person", key)

    async def school(self, key: str = "school-1") -> str:
        return await self._id("organization", key)

    async def _id(self, kind: str, key: str) -> str:
        async with self.store.transaction(self.district) as c:
            found = await c.scalar(
                text(
                    "SELECT CAST(entity_id AS text) FROM link WHERE kind = :kind AND key = :key AND method <> 'alias'"
                ),
                {"kind": kind, "key": key},
            )
        return str(found)

    async def plan(self, student: str, owner: str = "tea-1", coordinator: str = "tea-2", **more: Any) -> str:
        """A draft."""
        content = {
            "student": await self.person(student),
            "school": await self.school(),
            "coordinator": await self.person(coordinator),
            "period_start": TODAY.isoformat(),
            "next_review_on": (TODAY + timedelta(days=30)).isoformat(),
            "supports": [{"name": "Reading hour", "kind": "tutoring", "owner": await self.person(owner)}],
        }
        return await planning.create(self.store, self.district, content | more, COUNSELOR)

    async def finalized(self, student: str, **more: Any) -> str:
        """The same with a finalized version. What guards ask for is tested elsewhere."""
        id = await self.plan(student, **more)
        async with self.store.transaction(self.district) as c:
            found = await stored.load(c, id)
            content = canonical(Plan.model_validate(found.content))
            version = StoredVersion(id, 1, content.decode(), sha256(content), f"{TODAY}T08:00Z", {}, [])
            await stored.add_version(c, self.district, version, None)
            await stored.save(
                c, self.district, found, Placed("finalized", "finalized"), content.decode(), "finalize", COUNSELOR, {}
            )
        return id

    async def edit(self, plan: str, **more: Any) -> None:
        async with self.store.transaction(self.district) as c:
            found = await stored.load(c, plan)
        await planning.edit(self.store, self.district, plan, found.content | more, COUNSELOR)

    async def waits(self, **which: Any) -> list[dict[str, Any]]:
        async with self.store.transaction(self.district) as c:
            return await attention.listed(c, TODAY, **which)

    async def kinds(self, plan: str = "") -> list[str]:
        return sorted(one["kind"] for one in await self.waits() if plan in ("", one["plan"]))

    async def look(self, today: date = TODAY) -> dict[str, int]:
        async with self.store.transaction(self.district) as c:
            return await attention.look_all(self.store, c, self.district, today)

    async def told(self, today: date = TODAY) -> list[dict[str, Any]]:
        """Notices of plans that were made since, the newest last."""
        async with self.store.transaction(self.district) as c:
            key, waiting = await attention.untold(c, today)
            if waiting:
                await outbox.add(c, self.district, "plans", key, of_plans(waiting))
        made = await outbox.listed(self.store, self.district, 100)
        return [one for one in reversed(made) if one["event"] == "plans"]


@pytest.fixture
async def town(store: Store, district: int, actor: Actor, tmp_path: Path) -> AsyncIterator[Town]:
    made = Town(tmp_path / "package", store=store, district=district, actor=actor)
    made.files["orgs"].append(
        {"sourcedId": "school-2", "name": "Sorrel School", "type": "school", "parentSourcedId": "district-1"}
    )
    made.files["users"] += [
        user("tea-2", "teacher", "Araminta", "Bellweather", identifier="501"),
        user("adm-1", "administrator", "Cornelius", "Thackery", identifier="502"),
        user("adm-2", "administrator", "Philippa", "Nightjar", identifier="503", orgSourcedIds="school-2"),
    ]
    await made.connect()
    await made.pull()
    yield made


def leave(town: Town, key: str) -> None:
    town.files["users"].remove(town.row("users", key))


async def says(town: Town, disaster: int) -> None:
    """People are told what the file of that disaster says, on whichever day."""
    [notice] = await town.told()
    day = re.compile(r"Before \w{3} \d+ \w{3} \d{4}")
    assert day.fullmatch(notice["message"]["by_when"].rstrip("."))
    DISASTERS[disaster].told(
        {part: day.sub("Before Tue 13 Oct 2026", text) for part, text in notice["message"].items()}
    )


async def test_15_who_owns_a_support_and_leaves_is_told_in_the_same_run(town: Town) -> None:
    hers, other = await town.finalized("stu-vexwood-1"), await town.plan("stu-vexwood-2", owner="tea-2")
    assert await town.kinds() == []
    leave(town, "tea-1")
    assert (await town.pull("dry"))["state"] == "compared" and await town.waits() == [], "nobody has left yet"
    run = await town.pull()
    assert run["state"] == "published" and run["counts"]["plans"] == {"owner-gone": 1}  # type: ignore[index]
    [one] = await town.waits(run=run["id"])
    assert (one["plan"], one["item"], one["kind"]) == (hers, "support-1", "owner-gone")
    assert one["who_acts_ids"] == [await town.person("tea-2")] and one["who_acts"] == "Araminta Bellweather"
    async with town.store.transaction(town.district) as c:
        assert (await stored.load(c, hers)).state == "finalized", "the plan stays as it is"
    assert await town.kinds(other) == []
    await says(town, 15)


async def test_an_owner_without_the_role_at_the_school_is_gone_and_one_of_the_whole_district_is_not(town: Town) -> None:
    hers = await town.plan("stu-vexwood-1")
    town.row("users", "tea-1")["orgSourcedIds"] = "school-2"
    await town.pull()
    assert await town.kinds(hers) == ["owner-gone"]
    town.row("users", "tea-1")["orgSourcedIds"] = "district-1"
    await town.pull()
    assert await town.kinds() == [], "whoever works for the district works for the school"


async def test_a_new_owner_closes_it_in_a_draft_at_once_and_in_force_when_it_is_finalized(town: Town) -> None:
    draft, in_force = await town.plan("stu-vexwood-1"), await town.finalized("stu-vexwood-2")
    leave(town, "tea-1")
    await town.pull()
    assert await town.kinds() == ["owner-gone", "owner-gone"]
    for plan in (draft, in_force):
        async with town.store.transaction(town.district) as c:
            content = (await stored.load(c, plan)).content
        content["supports"][0]["owner"] = await town.person("tea-2")
        await town.edit(plan, **content)
    [one] = await town.waits()
    assert (one["plan"], one["drafted"], one["to_do"]) == (in_force, True, continuity.DRAFTED)
    async with town.store.transaction(town.district) as c:
        found = await stored.load(c, in_force)
        text_now = canonical(Plan.model_validate(found.content)).decode()
        version = StoredVersion(in_force, 2, text_now, sha256(text_now.encode()), f"{TODAY}T09:00Z", {}, [])
        await stored.add_version(c, town.district, version, 1)
    assert await town.waits() == []


async def test_without_a_coordinator_the_administrators_of_the_school_act(town: Town) -> None:
    await town.finalized("stu-vexwood-1")
    for key in ("tea-1", "tea-2"):
        leave(town, key)
    run = await town.pull()
    assert run["counts"]["plans"] == {"coordinator-gone": 1, "owner-gone": 1}  # type: ignore[index]
    assert {one["who_acts"] for one in await town.waits()} == {"the administrators of Fennel School"}
    assert {tuple(one["who_acts_ids"]) for one in await town.waits()} == {(await town.person("adm-1"),)}
    assert len(await town.waits(acts=await town.person("adm-1"))) == 2
    assert await town.waits(acts=await town.person("adm-2")) == []


async def test_who_coordinates_has_a_role_at_the_school_or_above_it_that_day(town: Town) -> None:
    """Whoever is named so is refused where they have none; whoever has none any more is listed."""
    stranger, above = await town.person("adm-2"), await town.school("district-1")
    with pytest.raises(Refused) as refusal:
        await town.plan("stu-vexwood-1", coordinator="adm-2")
    assert (refusal.value.code, refusal.value.missing) == ("coordinator-elsewhere", ("/coordinator",))
    plan = await town.plan("stu-vexwood-1")
    with pytest.raises(Refused, match="no role at the plan's school"):
        await town.edit(plan, coordinator=stranger)
    assert await town.kinds() == []
    doc = {"school": await town.school(), "coordinator": stranger}
    for at, kinds in ((await town.school("school-2"), ["coordinator-gone"]), (above, []), (doc["school"], [])):
        who = {stranger: Somebody("staff", True, frozenset({at}))}
        places = {doc["school"]: frozenset({doc["school"], above})}
        facts = continuity.Facts(TODAY, who, places, [doc["school"]])
        assert [one.kind for one in continuity.concerns("draft", doc, None, facts)] == kinds


async def test_a_run_that_is_undone_takes_it_back(town: Town) -> None:
    await town.finalized("stu-vexwood-1")
    leave(town, "tea-1")
    run = await town.pull()
    assert await town.kinds() == ["owner-gone"]
    undo = await jobs.request_undo(town.store, town.district, int(str(run["id"])), town.actor, "It was wrong.")
    await jobs.run_job(town.store, town.district, undo)
    assert await town.kinds() == []


async def test_17_a_student_who_moves_is_handed_to_the_new_school_and_one_who_leaves_is_asked_for(town: Town) -> None:
    moves, leaves = await town.finalized("stu-vexwood-1"), await town.finalized("stu-vexwood-2")
    town.row("users", "stu-vexwood-1")["orgSourcedIds"] = "school-2"
    for name, field in (("users", "sourcedId"), ("demographics", "sourcedId"), ("enrollments", "userSourcedId")):
        town.files[name] = [row for row in town.files[name] if row[field] != "stu-vexwood-2"]
    town.files["results"] = [row for row in town.files["results"] if row["studentSourcedId"] != "stu-vexwood-2"]
    run = await town.pull()
    assert run["state"] == "published", run["holds"]
    found = {one["plan"]: one for one in await town.waits()}
    assert found[moves]["kind"] == "student-moved" and found[moves]["who_acts_ids"] == [await town.person("adm-2")]
    assert found[leaves]["kind"] == "student-left" and found[leaves]["who_acts_ids"] == [await town.person("tea-2")]
    assert [one["plan"] for one in await town.waits(school=await town.school("school-2"))] == [moves]
    async with town.store.transaction(town.district) as c:
        assert {(await stored.load(c, plan)).state for plan in (moves, leaves)} == {"finalized"}
    await says(town, 17)
    await town.edit(moves, school=await town.school("school-2"))
    assert await town.kinds(moves) == ["coordinator-gone", "student-moved"], "who coordinated is not at the new school"
    await town.edit(moves, coordinator=await town.person("adm-2"))
    assert {one["plan"]: one["drafted"] for one in await town.waits()} == {moves: True, leaves: False}


def consulted(*who: str, on: date = TODAY) -> list[dict[str, Any]]:
    return [{"held_on": on.isoformat(), "participants": [{"who": one} for one in who], "outcome": "agreed"}]


async def lose_rights(town: Town, student: str, contact: str) -> dict[str, Any]:
    """The source says `no` of a contact from now on. OneRoster has no field for it, so its stored word is changed,
    which the next run takes in as any other."""
    values = {"student": student, "contact": contact}
    async with town.store.transaction(town.district) as c:
        done = await c.execute(
            text(
                'UPDATE claim SET stated = CAST(CAST(stated AS jsonb) || \'{"education_rights": "no"}\' AS json) '
                "WHERE kind = 'relationship' AND CAST(stated AS text) LIKE '%' || :student || '%' "
                "AND CAST(stated AS text) LIKE '%' || :contact || '%'"
            ),
            values,
        )
        assert done.rowcount
        await c.execute(text("UPDATE district SET resolve_all = true WHERE id = :id"), {"id": town.district})
    return await town.pull()


async def test_whom_plans_name_is_kept_apart_from_what_they_say(town: Town) -> None:
    """A run that moves people finds their plans by it."""
    plan = await town.finalized("stu-vexwood-1")
    tea, lead, adm = [await town.person(one) for one in ("tea-1", "tea-2", "adm-1")]

    async def known() -> set[str]:
        async with town.store.transaction(town.district) as c:
            return set((await c.execute(text("SELECT person FROM plan_named"))).scalars())

    assert await known() == {tea, lead}
    await town.edit(plan, coordinator=adm)
    assert await known() == {tea, lead, adm}, "those of the version in force stay"
    draft = await town.plan("stu-vexwood-2", owner="adm-2")
    assert len(await known()) == 4
    nana = {"name": "Nana", "side": "family"}
    await town.edit(draft, supports=[{"name": "Chess", "kind": "mentoring", "owner": nana}])
    assert await known() == {tea, lead, adm}


async def test_13_a_guardian_loses_rights_after_the_plan_is_finalized(town: Town) -> None:
    father, mother = await town.person("par-ignatz"), await town.person(SHARED_PARENT)
    team = [{"who": father, "role": "guardian"}]
    named = await town.finalized("stu-vexwood-1", team=team, consultations=consulted(mother))
    rests = await town.finalized("stu-vexwood-1", consultations=consulted(father))
    both = await town.finalized("stu-vexwood-1", consultations=consulted(father, mother))
    run = await lose_rights(town, "stu-vexwood-1", "par-ignatz")
    assert run["state"] == "published" and run["counts"]["plans"] == {"rights-ended": 3}
    found = {(one["plan"], one["item"]) for one in await town.waits(run=run["id"])}
    assert found == {(named, "member-1"), (rests, "consultation-1"), (both, "consultation-1")}
    assert {one["person"] for one in await town.waits()} == {father}
    await says(town, 13)
    await town.edit(named, team=[])
    assert {one["plan"]: one["drafted"] for one in await town.waits()} == {named: True, rests: False, both: False}


async def test_13_so_it_is_where_the_plan_knows_them_by_ids_from_before_a_merge(town: Town) -> None:
    town.files["users"].append(user("stu-again", "student", "Orla", "Quillfeather", identifier="77001"))
    await town.pull()
    student, gone = await town.person("stu-vexwood-1"), await town.person("stu-again")
    father, other = await town.person("par-ignatz"), await town.person(SHARED_PARENT)
    plan = await town.finalized("stu-again", team=[{"who": other, "role": "guardian"}])
    for loses, stays in ((other, father), (gone, student)):
        await decisions.merge(town.store, town.district, loses, stays, town.actor, "Entered twice.")
    assert await town.kinds() == []
    run = await lose_rights(town, "stu-vexwood-1", "par-ignatz")
    assert run["counts"]["plans"] == {"rights-ended": 1}
    await connect_ods(town)
    with pytest.raises(Refused) as refused:
        await delivery.preview(town.store, town.district, plan, "ods")
    assert refused.value.code == "contact-without-rights"


async def connect_ods(town: Town) -> int:
    """A destination that nobody was pulled from."""
    where = {"base_url": "https://ods.example.org", "student_identifier": "x", "staff_identifier": "x"}
    return await registers.add_connection(town.store, town.district, "ods", "edfi", where, {}, town.actor)


async def test_13_nothing_that_names_them_is_sent(town: Town) -> None:
    father = await town.person("par-ignatz")
    named = await town.finalized("stu-vexwood-1", team=[{"who": father, "role": "guardian"}])
    other = await town.finalized("stu-vexwood-2")
    ods = await connect_ods(town)
    for plan in (named, other):
        with pytest.raises(Refused) as refused:
            await delivery.preview(town.store, town.district, plan, "ods")
        assert refused.value.code == "student-not-there", "nobody was pulled from there"
    async with town.store.transaction(town.district) as c:
        queued = await deliveries.queue(c, town.district, named, 1, ods, COUNSELOR)
    await lose_rights(town, "stu-vexwood-1", "par-ignatz")
    await dispatch.deliver_job(town.store, town.district, queued)
    async with town.store.transaction(town.district) as c:
        parked = await deliveries.status(c, queued)
    assert parked["state"] == "parked" and "[contact-without-rights]" in parked["reason"]
    assert "member-1" in parked["reason"] and father not in parked["reason"]
    for plan, code in ((named, "contact-without-rights"), (other, "student-not-there")):
        with pytest.raises(Refused) as refused:
            await delivery.request(town.store, town.district, plan, "ods", COUNSELOR)
        assert refused.value.code == code


async def test_13_so_it_is_where_the_district_itself_says_no(town: Town) -> None:
    student, father = await town.person("stu-vexwood-1"), await town.person("par-ignatz")
    plan = await town.finalized("stu-vexwood-1", team=[{"who": father, "role": "guardian"}])
    await standing.restrict(town.store, town.district, student, father, "Order 26/118", town.actor)
    assert await town.look() == {"rights-ended": 1}
    await town.edit(plan, title="The same plan")
    assert await town.kinds() == ["rights-ended"], "who edits a plan does not lift it"
    await town.pull()
    assert await town.kinds() == ["rights-ended"], "nor does a sync"
    await connect_ods(town)
    with pytest.raises(Refused) as refused:
        await delivery.preview(town.store, town.district, plan, "ods")
    assert refused.value.code == "contact-without-rights"
    await standing.lift(town.store, town.district, student, father, "Order 26/119", town.actor)
    assert await town.look() == {} and await town.waits() == []


async def test_reviews_come_are_late_and_go_to_the_administrators(town: Town) -> None:
    day = TODAY + timedelta(days=30)
    plan = await town.finalized("stu-vexwood-1")
    await town.plan("stu-vexwood-2")  # what is no plan yet has no review
    assert await town.look(day - timedelta(days=1)) == {}
    assert await town.look(day) == {"review-due": 1}
    [one] = await town.waits()
    assert one["who_acts_ids"] == [await town.person("tea-2")] and one["due_on"] == day + timedelta(days=14)
    assert await town.look(day + timedelta(days=14)) == {}
    assert await town.told() == [], "who coordinates knows the day; others are told when it is missed"
    assert await town.look(day + timedelta(days=15)) == {"review-overdue": 1}
    [one] = await town.waits()
    assert (one["kind"], one["who_acts_ids"]) == ("review-overdue", [await town.person("adm-1")])
    held = {"held_on": TODAY.isoformat(), "decision": "continue",
            "next_review_on": (day + timedelta(days=60)).isoformat()}  # fmt: skip
    await town.edit(plan, reviews=[held])
    assert await town.look(day + timedelta(days=15)) == {} and await town.waits() == []


async def test_what_is_overdue_is_told_again_after_a_week_and_what_is_urgent_each_day(town: Town) -> None:
    day = TODAY + timedelta(days=30)
    await town.finalized("stu-vexwood-1")
    await town.look(day + timedelta(days=15))
    for days, times in ((0, 1), (6, 1), (7, 2), (8, 2), (14, 3)):
        assert len(await town.told(TODAY + timedelta(days=days))) == times, days


def urgent(town: Town, owner: str, first: date) -> list[dict[str, Any]]:
    return [{
        "name": "A meal at noon", "kind": "basic_needs", "owner": owner,
        "end_on": (first + timedelta(days=10)).isoformat(),
        "urgent": {"reason": "Came without food.", "from_on": first.isoformat()},
    }]  # fmt: skip


async def test_an_urgent_support_is_listed_until_the_family_is_consulted_and_escalates_on_day_16(town: Town) -> None:
    first = date(2026, 10, 5)  # a Monday: the fifteenth school day is a Friday
    owner = await town.person("tea-1")
    plan = await town.plan("stu-vexwood-1", supports=urgent(town, owner, first))
    await town.look(date(2026, 10, 23))
    [one] = await town.waits()
    assert (one["kind"], one["item"], one["due_on"]) == ("urgent", "support-1", date(2026, 10, 23))
    assert one["who_acts_ids"] == [await town.person("tea-2")]
    assert await town.look(date(2026, 10, 24)) == {"urgent-overdue": 1}
    [one] = await town.waits()
    assert (one["kind"], one["who_acts_ids"]) == ("urgent-overdue", [await town.person("adm-1")])
    assert [len(await town.told(TODAY + timedelta(days=n))) for n in (0, 1)] == [1, 2]
    mother = await town.person(SHARED_PARENT)
    await town.edit(plan, consultations=consulted(mother, on=first - timedelta(days=1)))
    assert await town.kinds() == ["urgent-overdue"], "that was before it began"
    await town.edit(plan, consultations=consulted(mother, on=first + timedelta(days=1)))
    assert await town.waits() == []


async def test_an_urgent_support_leaves_for_nowhere(town: Town) -> None:
    plan = await town.plan("stu-vexwood-1", supports=urgent(town, await town.person("tea-1"), TODAY))
    with pytest.raises(Refused) as refused:
        await delivery.request(town.store, town.district, plan, "sis", COUNSELOR)
    assert refused.value.code == "plan-not-finalized"


async def test_each_district_is_looked_over_once_a_day(town: Town) -> None:
    await town.finalized("stu-vexwood-1")
    day = TODAY + timedelta(days=30)
    assert town.district in await attention.due(town.store, day)
    assert await attention.look_today(town.store, town.district, day) == {"review-due": 1}
    assert await attention.look_today(town.store, town.district, day) is None, "another process would have done it"
    assert town.district not in await attention.due(town.store, day)
    late = day + timedelta(days=15)
    assert await attention.look_today(town.store, town.district, late) == {"review-overdue": 1}


async def test_a_district_whose_plans_cannot_be_read_keeps_no_other_from_being_looked_over(
    store: Store, district: int
) -> None:
    other = await registers.district(store, f"beside-{district}")
    for one, content in ((district, "no plan at all"), (other, "{}")):
        async with store.transaction(one) as c:
            for insert in PLAN_AND_VERSION:
                await c.execute(text(insert), {"d": one, "plan": str(uuid4()), "content": content})
    await jobs._look_over_plans(store)
    due = await attention.due(store, TODAY)
    assert district in due and other not in due


PLAN_AND_VERSION = (
    "INSERT INTO plan (id, district_id, student_id, state, content) VALUES "
    "(CAST(:plan AS uuid), :d, CAST(:plan AS uuid), 'finalized', '{}')",
    "INSERT INTO plan_version (plan_id, version, district_id, content, sha256, finalized_at, finalized_by, "
    " guard_report) VALUES ((SELECT id FROM plan), 1, :d, :content, '', now(), '{}', '[]')",
)


async def test_what_waits_goes_with_the_student_who_is_purged(town: Town) -> None:
    father = await town.person("par-ignatz")
    await town.finalized("stu-vexwood-1", consultations=consulted(father))
    await lose_rights(town, "stu-vexwood-1", "par-ignatz")
    assert await town.kinds() == ["rights-ended"]
    async with town.store.owner.connect() as c:
        kept = await c.scalar(text("SELECT count(*) FROM attention WHERE person = :id"), {"id": father})
    assert kept == 1
    await purges.purge_student(
        town.store, town.district, await town.person("stu-vexwood-1"), town.actor, "The family asked."
    )
    async with town.store.owner.connect() as c:
        assert await c.scalar(text("SELECT count(*) FROM attention WHERE person = :id"), {"id": father}) == 0
