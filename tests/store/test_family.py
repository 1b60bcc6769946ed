"""A family's rights at rest: a copy of everything, requests to amend the record, and what the law keeps."""

import json
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import clock, desk, jobs
from gateway.errors import ConfigError, Refused
from gateway.exports import family, schedule
from gateway.settings import Settings
from gateway.store import amendments, chain, copies, disclosures, legal, purges, reading, retention, standing, traces
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.store.school import HERS, NUMBER, School

PLANNED = (
    "INSERT INTO plan (id, district_id, student_id, state, content) VALUES "
    "(CAST(:plan AS uuid), :d, CAST(:id AS uuid), 'finalized', CAST(:content AS json))",
    "INSERT INTO plan_event (district_id, plan_id, act, actor, detail) "
    "VALUES (:d, CAST(:plan AS uuid), 'created', '{}', '{}')",
    "INSERT INTO plan_version (plan_id, version, district_id, content, sha256, finalized_at, finalized_by, "
    " guard_report) VALUES (CAST(:plan AS uuid), 1, :d, 'the finalized text', '', now(), '{}', '[]')",
)


@pytest.fixture
async def school(store: Store, district: int, actor: Actor, tmp_path: Path) -> AsyncIterator[School]:
    made = School(tmp_path / "roster", store=store, district=district, actor=actor)
    await made.connect()
    await made.pull()
    yield made


async def person(school: School, given: str) -> str:
    people = await reading.entities(school.store, school.district, "person")
    [found] = [p["id"] for p in people if p.get("given_name") == given]
    return str(found)


async def planned(school: School, student: str) -> None:
    values = {"d": school.district, "id": student, "plan": str(uuid.uuid4()), "content": '{"goal": "To read <aloud>"}'}
    async with school.store.owner.begin() as c:
        for statement in PLANNED:
            await c.execute(text(statement), values)


async def test_the_copy_has_what_is_kept_and_nobody_elses_contacts(school: School, tmp_path: Path) -> None:
    student, mother = await person(school, "Ptolemaia"), await person(school, "Dorothea")
    await planned(school, student)
    async with school.store.transaction(school.district) as c:
        today = clock.today()
        await amendments.ask(
            school.store,
            c,
            school.district,
            student,
            "Dorothea",
            "/needs/0",
            "It is out of date.",
            today,
            today,
            school.actor,
        )
    made = await copies.copy(school.store, school.district, student, mother, school.actor)
    folder = tmp_path / "copy"
    family.prepare(folder)
    done = family.write(made, folder)
    assert done["left_out"] == {"other family members": 2}, "the father, and how he is tied to her"
    assert done["rows"] | {
        "person": 1, "relationship": 1, "enrollment": 1, "plan": 1, "plan_version": 1, "plan_event": 1, "amendment": 1,
    } == done["rows"]  # fmt: skip
    said = (folder / family.DATA).read_text()
    assert all(word in said for word in HERS[1:4]) and "the finalized text" in said
    assert not any(word in said for word in ("Ignatz", "ignatz", "Barnaby", "Maud"))
    page = (folder / family.PAGE).read_text()
    assert "To read &lt;aloud&gt;" in page and "<aloud>" not in page
    assert "Fennel School" in page, "ids of schools are shown as names"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    with pytest.raises(ConfigError, match="holds something already"):
        family.prepare(folder)
    async with school.store.transaction(school.district) as c:
        [act] = (await c.execute(text("SELECT subject, detail FROM act WHERE act = 'family-copy'"))).all()
    assert act.subject == student and act.detail["left_out"] == {"other family members": 2}
    without = await copies.copy(school.store, school.district, student, "", school.actor)
    assert without.left_out == {"other family members": 3}
    assert [act["act"] for act in without.parts["act"]] == ["amendment-asked", "family-copy"]


async def test_who_has_no_right_gets_no_copy(school: School) -> None:
    student, mother = await person(school, "Ptolemaia"), await person(school, "Dorothea")
    with pytest.raises(Refused, match="no right"):
        await copies.copy(school.store, school.district, student, student, school.actor)
    await standing.restrict(school.store, school.district, student, mother, "court order 2026-88", school.actor)
    with pytest.raises(Refused, match="no right"):
        await copies.copy(school.store, school.district, student, mother, school.actor)


async def test_a_copy_is_for_a_guardian_with_rights_today_and_is_a_disclosure(school: School) -> None:
    d, student, mother = school.district, await person(school, "Ptolemaia"), await person(school, "Dorothea")
    await desk.family_copy(school.store, d, student, mother, school.actor)
    async with school.store.transaction(d) as c:
        [line] = await disclosures.of_student(c, student, outside=True)
    assert (line["party"], line["person"]) == ("A copy for the guardian.", mother)
    assert "goals" in line["sections"] and "restricted_notes" not in line["sections"]
    async with school.store.transaction(d) as c:
        of_age = 'UPDATE entity SET doc = CAST(CAST(doc AS jsonb) || \'{"birth_date": "2000-02-03"}\' AS json) '
        await c.execute(text(of_age + "WHERE id = CAST(:id AS uuid)"), {"id": student})
    with pytest.raises(Refused, match="passed to the student at 18"):
        await desk.family_copy(school.store, d, student, mother, school.actor)
    assert (await desk.family_copy(school.store, d, student, "", school.actor)).parts


async def test_what_is_restricted_is_counted_and_left_out(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    student = await person(school, "Ptolemaia")
    await planned(school, student)
    monkeypatch.setattr(copies, "WITHHELD", {"plan_event": "t.act = 'created'"})
    made = await copies.copy(school.store, school.district, student, "", school.actor)
    assert made.parts["plan_event"] == [] and made.left_out["restricted notes"] == 1


def test_every_place_of_a_student_is_copied_or_says_why_not() -> None:
    assert set(copies.INNER) - set(traces.tables()) == set()
    assert all(copies.INNER.values())


async def test_a_request_is_answered_by_a_day_and_keeps_the_familys_words(school: School) -> None:
    student, today = await person(school, "Ptolemaia"), clock.today()
    long_ago = today - timedelta(days=60)
    d, who = school.district, school.actor
    async with school.store.transaction(d) as c:
        due = long_ago + amendments.ANSWER_IN
        late = await amendments.ask(
            school.store, c, d, student, "her mother", "/needs/0", "It is wrong.", long_ago, due, who
        )
        new = await amendments.ask(
            school.store, c, d, student, "her mother", "/goals/0", "It is old.", today, today, who
        )
        listed = await amendments.listed(c, today)
        assert [(one["id"], one["overdue"]) for one in listed] == [(late, True), (new, False)]
    async with school.store.transaction(d) as c:
        with pytest.raises(Refused, match="not refused"):
            await amendments.state(c, d, late, "I disagree.", who)
        with pytest.raises(Refused, match="needs a reason"):
            await amendments.decide(c, d, late, "refused", "", who)
        await amendments.decide(c, d, late, "refused", "It is what was measured.", who)
        await amendments.state(c, d, late, " I disagree.\n", who)
        await amendments.decide(c, d, new, "granted", "It is old.", who)
    async with school.store.transaction(d) as c:
        by_id = {one["id"]: one for one in await amendments.listed(c, today, student)}
        assert (by_id[late]["decision"], by_id[late]["statement"]) == ("refused", " I disagree.\n")
        assert not by_id[late]["overdue"]
        with pytest.raises(Refused, match="granted already"):
            await amendments.decide(c, d, new, "refused", "after all", who)
        acts = await c.execute(
            text("SELECT act, CAST(detail AS text) FROM act WHERE act LIKE 'amendment%' ORDER BY seq")
        )
        said = acts.all()
    assert [act for act, _ in said] == [
        "amendment-asked", "amendment-asked", "amendment-refused", "amendment-statement", "amendment-granted",
    ]  # fmt: skip
    assert "disagree" not in str(said)


async def test_a_hold_of_the_law_is_stronger_than_a_purge(school: School) -> None:
    student = await person(school, "Ptolemaia")
    async with school.store.transaction(school.district) as c:
        hold = await legal.place(school.store, c, school.district, student, "inquiry 7", school.actor)
    with pytest.raises(Refused, match=f"Legal hold {hold}"):
        await purges.purge_student(school.store, school.district, student, school.actor, "The family asked.")
    async with school.store.transaction(school.district) as c:
        await legal.lift(school.store, c, school.district, hold, "closed", school.actor)
    assert (await purges.purge_student(school.store, school.district, student, school.actor, "They asked.")).id


async def test_plans_go_years_after_their_student_and_the_chain_is_whole(school: School, settings: Settings) -> None:
    """Whoever is here keeps them, and so does the law."""
    store, d = school.store, school.district
    [here] = await reading.find_students(store, d, NUMBER)
    gone, held = "00000000-0000-4000-8000-0000000000c1", "00000000-0000-4000-8000-0000000000c2"
    await planned(school, here["id"])
    await planned(school, gone)
    await planned(school, held)
    async with store.transaction(d) as c:
        await legal.place(school.store, c, d, held, "inquiry 7", school.actor)
    kept = await chain.head(store, d)
    await retention.keep(store, settings)
    assert await plans(school) == [(here["id"], False), (gone, True), (held, True)]
    await earlier(school, settings.plan_days)
    await retention.keep(store, settings)
    assert len(await plans(school)) == 3, "the last day counts"
    await earlier(school, settings.plan_days + 1)
    await retention.keep(store, settings)
    assert await plans(school) == [(here["id"], False), (held, True)]
    await jobs.seal(store)
    found = await chain.verify(store, d, [kept])
    assert list(found.breaks) == [] and found.purged == 2
    async with store.transaction(d) as c:
        [told] = (await c.execute(text("SELECT detail FROM act WHERE act = 'retention-plans'"))).scalars()
    assert told["plans"] == 1


async def earlier(school: School, days: int) -> None:
    async with school.store.owner.begin() as c:
        await c.execute(
            text(
                "UPDATE plan SET left_on = current_date - CAST(:n AS int) "
                "WHERE left_on IS NOT NULL AND district_id = :d"
            ),
            {"n": days, "d": school.district},
        )


async def plans(school: School) -> list[tuple[str, bool]]:
    async with school.store.transaction(school.district) as c:
        rows = await c.execute(
            text("SELECT CAST(student_id AS text) AS s, left_on IS NOT NULL AS gone FROM plan ORDER BY 2, 1")
        )
        return [(row.s, row.gone) for row in rows]


def test_the_public_page_tells_of_every_rule(settings: Settings) -> None:
    assert set(schedule.PUBLIC) == {rule.name for rule in (*retention.RULES, retention.PLANS)} | {retention.LOG_FILES}
    page, said = schedule.html(settings), schedule.markdown(settings)
    rows: list[dict[str, Any]] = schedule.rows(settings)
    assert rows[0]["kept"] == "5 years" and len(rows) == len(schedule.PUBLIC) + len(schedule.STAYS)
    other = Settings(home=settings.home, payload_days=3)
    assert "| 3 days |" in schedule.markdown(other) and "| 3 days |" not in said
    assert page.count("<tr>") == len(rows) + 1 and json.dumps(schedule.HOLD)[1:-1] in page.replace("&#x27;", "'")
