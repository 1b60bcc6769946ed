"""Consents, disclosures, reveals and what leaves for a destination, on a real database and the command line."""

import asyncio
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import text

from gateway import contributing, delivery, dispatch, planning, record, viewing
from gateway.access import SECTIONS, Who
from gateway.cli import access as commands
from gateway.cli import main
from gateway.errors import ConfigError, Refused
from gateway.settings import Settings
from gateway.store import agreements, consents, deliveries, disclosures, purposes, registers
from gateway.store import plans as stored
from gateway.store.consents import Given
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.village import AUTHOR, PEOPLE, TODAY, Village, content, destination, finalize, populate

IT = Actor("it@district.example.org", "district_it")
LATER = TODAY + timedelta(days=90)


@pytest.fixture
async def village(store: Store, district: int) -> Village:
    return await populate(store, district)


async def consent(village: Village, to: str, *sections: str, permit: bool = True) -> int:
    given = Given(village.student, village.mother, "guardian", to, sections, "planning", permit, TODAY, LATER)
    async with village.store.transaction(village.district) as c:
        return await consents.add(village.store, c, village.district, given, AUTHOR)


async def revoke(village: Village, number: int) -> None:
    async with village.store.transaction(village.district) as c:
        await consents.revoke(village.store, c, village.district, number, "The family asked.", AUTHOR)


async def hosted(village: Village, **terms: Any) -> None:
    connection = await destination(village)
    async with village.store.transaction(village.district) as c:
        await agreements.host(c, connection, "Lantern Club", AUTHOR)
        await agreements.add(c, connection, "LC-1", TODAY, LATER, AUTHOR, agreements.Terms(**terms))


async def log(village: Village, **which: Any) -> list[dict[str, Any]]:
    async with village.store.transaction(village.district) as c:
        return await disclosures.of_student(c, village.student, **which)


async def withheld(village: Village) -> dict[str, str]:
    made = await delivery.preview(village.store, village.district, village.plan, "ods")
    return {loss.pointer: loss.reason for loss in made.losses if loss.kind == "withheld"}


async def test_a_mentor_sees_while_a_consent_holds(village: Village) -> None:
    who = Who(village.mentor)
    before = await viewing.why(village.store, village.district, who, village.student)
    assert not any(one.allowed for one in before.values())
    number = await consent(village, f"person:{village.mentor}", "goals", "health", "notes")
    seen = await viewing.why(village.store, village.district, who, village.student)
    assert {section for section, one in seen.items() if one.how == "read"} == {"goals"}
    await revoke(village, number)
    after = await viewing.why(village.store, village.district, who, village.student)
    assert after == before


async def test_what_a_destination_is_sent_passes_agreement_and_consent(village: Village) -> None:
    await finalize(village)
    await hosted(village, sections=frozenset(SECTIONS) - {"school_supports"})
    lost = await withheld(village)
    assert lost["/supports/0"] == "The agreement with this destination does not cover it."
    forbids = await consent(village, "destination:ODS", "goals", permit=False)
    assert (await withheld(village))["/goals/0"] == "A family forbade it."
    await revoke(village, forbids)
    assert "/goals/0" not in await withheld(village)
    made = await delivery.preview(village.store, village.district, village.plan, "ods")
    assert "planted-support" not in str(made.documents) and "interventions" not in str(made.documents)


async def test_an_agreement_that_asks_for_no_consent_takes_none_away_that_another_asks_for(village: Village) -> None:
    await finalize(village)
    await hosted(village, needs_consent=True)
    connection = await registers.connection(village.store, village.district, "ods")
    async with village.store.transaction(village.district) as c:
        await agreements.add(
            c, connection, "LC-2", TODAY, LATER, AUTHOR, agreements.Terms(sections=frozenset({"health"}))
        )
    with pytest.raises(Refused, match="No consent that holds today covers it"):
        await withheld(village)


async def test_without_an_agreement_that_names_less_and_without_consents_nothing_is_taken_away(
    village: Village,
) -> None:
    await finalize(village)
    await destination(village)
    made = await delivery.preview(village.store, village.district, village.plan, "ods")
    assert "interventions" in str(made.documents)
    assert "consent" not in str(made.losses) and "agreement" not in str(made.losses)


async def test_a_consent_that_is_revoked_while_a_delivery_waits_holds_it_back_and_says_so(village: Village) -> None:
    """Disaster 14."""
    await finalize(village)
    await hosted(village, needs_consent=True)
    with pytest.raises(Refused) as refused:
        await delivery.request(village.store, village.district, village.plan, "ods", AUTHOR)
    assert refused.value.code == "consent-missing"
    number = await consent(village, "organization:Lantern Club", *SECTIONS)
    waiting, _ = await delivery.request(village.store, village.district, village.plan, "ods", AUTHOR)
    await revoke(village, number)
    await dispatch.deliver_job(village.store, village.district, waiting)
    async with village.store.transaction(village.district) as c:
        found = await deliveries.status(c, waiting)
    assert found["state"] == "parked" and "[consent-missing]" in found["reason"]
    assert "revoked" in found["reason"] and found["receipts"] == []
    assert await log(village, outside=True) == [], "nothing left, so nothing is said to have"


async def test_each_sending_is_written_down_before_it_leaves_and_once(village: Village) -> None:
    await finalize(village)
    await hosted(village)
    number, _ = await delivery.request(village.store, village.district, village.plan, "ods", AUTHOR)
    for _ in range(2):  # nobody listens there
        await dispatch.deliver_job(village.store, village.district, number)
        async with village.store.transaction(village.district) as c:
            await c.exec_driver_sql("UPDATE delivery SET state = 'queued' WHERE id = %s", (number,))
    [line] = await log(village, outside=True)
    assert (line["act"], line["party"], line["purpose"]) == ("push", "ods, hosted by Lantern Club", "planning")
    assert {"goals", "school_supports"} <= set(line["sections"])
    said = commands.in_words(line)
    assert "was sent" in said and "planning with and for the student" in said and "planted" not in said


async def test_what_it_opens_is_open_to_it_alone_told_and_closes(village: Village) -> None:
    async with village.store.transaction(village.district) as c:
        row = await c.exec_driver_sql("SELECT count(*) FROM notice")
        assert row.scalar() == 0
    shown = await viewing.shown(village.store, village.district, village.plan, IT)
    assert "planted" not in json.dumps(shown) and "/needs/0" in shown["left_out"]
    with pytest.raises(Refused, match="needs a reason"):
        await viewing.reveal(village.store, village.district, village.student, Who(says="it"), IT, " ")
    for role in ("teacher", "auditor"):
        with pytest.raises(Refused, match="opens nothing"):
            await viewing.reveal(village.store, village.district, village.student, Who(says=role), IT, "Curious.")  # type: ignore[arg-type]
    with pytest.raises(Refused, match="opens nothing"):
        only = ["restricted_notes"]
        await viewing.reveal(village.store, village.district, village.student, Who(says="it"), IT, "So.", only)  # type: ignore[arg-type]
    await viewing.reveal(
        village.store, village.district, village.student, Who(says="it"), IT, "A wrong name.", ["goals"]
    )
    opened = json.dumps(await viewing.shown(village.store, village.district, village.plan, IT))
    assert "planted-goal" in opened and "planted-strength" not in opened
    other = Actor("another@district.example.org", "district_it")
    assert "planted" not in json.dumps(await viewing.shown(village.store, village.district, village.plan, other))
    line = next(one for one in await log(village) if one["act"] == "reveal")
    assert line["interest"] == "A wrong name." and line["sections"] == ["goals"]
    async with village.store.transaction(village.district) as c:
        told = (await c.exec_driver_sql("SELECT event, message::text FROM notice")).all()
    assert [event for event, _ in told] == ["access"] and "planted" not in str(told)
    async with village.store.owner.begin() as c:
        await c.exec_driver_sql("UPDATE disclosure SET until = now() - interval '1 second' WHERE act = 'reveal'")
    assert "planted" not in json.dumps(await viewing.shown(village.store, village.district, village.plan, IT))


async def test_the_log_takes_lines_and_gives_none_back(village: Village) -> None:
    await viewing.shown(village.store, village.district, village.plan, IT)
    for act in ("UPDATE disclosure SET party = 'nobody'", "DELETE FROM disclosure"):
        with pytest.raises(Exception, match="permission denied"):
            async with village.store.transaction(village.district) as c:
                await c.exec_driver_sql(act)


async def test_what_says_nothing_is_diagnostic_until_the_district_decides(village: Village) -> None:
    async with village.store.transaction(village.district) as c:
        before = {one["title"]: one["counts_as"] for one in await purposes.listed(c)}
        assert before == {"MAP Growth": "diagnostic", "Quiz": "formative", "Check-in": "diagnostic"}
        await purposes.decide(c, village.district, village.map, "interim", "The board.", AUTHOR)
        assert {one["title"]: one["counts_as"] for one in await purposes.listed(c)}["MAP Growth"] == "interim"
        with pytest.raises(Refused, match="Its source says"):
            await purposes.decide(c, village.district, village.survey, "accountability", "The state.", AUTHOR)


async def test_a_review_says_who_may_see_whom_and_who_looked(village: Village) -> None:
    students, rows = await viewing.review(village.store, village.district, village.school)
    assert students == {village.student, village.other}
    found = {(row["person"], row["as"]): row["students"] for row in rows}
    assert found == {
        (village.teacher, "teacher"): 1,
        (village.counselor, "specialist"): 2,
        (village.principal, "administrator"): 2,
        (village.coordinator, "coordinator"): 1,
        (village.nurse, "nurse"): 1,
    }


async def test_a_review_knows_whoever_works_above_the_school(village: Village) -> None:
    above = [{"role": "nurse", "organization": village.above}]
    async with village.store.transaction(village.district) as c:
        moved = "UPDATE entity SET doc = CAST(CAST(doc AS jsonb) || CAST(%s AS jsonb) AS json) WHERE id = %s"
        await c.exec_driver_sql(moved, (json.dumps({"roles": above}), village.nurse))
    _, rows = await viewing.review(village.store, village.district, village.school)
    assert {row["students"] for row in rows if row["person"] == village.nurse} == {2}
    seen = await viewing.why(village.store, village.district, Who(village.nurse), village.other)
    assert seen["health"].allowed, "as the table says"


async def typed(village: Village, settings: Settings, *words: str) -> tuple[int, str]:
    """What somebody types about this district: how it ends, and all that it says."""
    async with village.store.owner.begin() as c:
        name = (await c.exec_driver_sql("SELECT name FROM district WHERE id = %s", (village.district,))).scalar()
    environment = {"PLANBRIDGE_HOME": str(settings.home), "PLANBRIDGE_DISTRICT": str(name), "COLUMNS": "200"}
    if settings.database_url:
        environment["PLANBRIDGE_DATABASE_URL"] = str(settings.database_url.get_secret_value())

    def type_it() -> tuple[int, str]:
        said = StringIO()
        with patch.dict(os.environ, environment), patch.object(sys, "argv", ["planbridge", *words]):
            with redirect_stdout(said), redirect_stderr(said):
                try:
                    main()
                except SystemExit as ended:
                    return int(ended.code or 0), said.getvalue()
        return 0, said.getvalue()

    return await asyncio.to_thread(type_it)


async def test_the_commands(village: Village, settings: Settings, tmp_path: Path) -> None:
    ottoline = ("--as", "Ottoline Farrow")

    async def done(*words: str) -> str:
        code, said = await typed(village, settings, *words)
        assert code == 0, said
        return said

    rows = json.loads(await done("access", "why", "N-teacher", "N-student", "--json"))
    assert {row["section"]: row["how"] for row in rows}["health"] == "masked"
    assert "They teach a class" in rows[0]["reason"]
    assert "district IT" in await done("access", "why", "district_it", "N-student")
    days = ("--from", TODAY.isoformat(), "--until", LATER.isoformat())
    to = ("--by", "Dorothea Vexwood", "--to", "organization:Lantern Club", "--section", "goals")
    assert "is recorded" in await done("consents", "add", "N-student", *to, *days, *ottoline)
    [given] = json.loads(await done("consents", "list", "--student", "N-student", "--json"))
    await done("consents", "revoke", str(given["id"]), "--because", "The family asked.", *ottoline)
    assert "planted-goal" in await done("plan", "show", village.plan)
    masked = await done("plan", "show", village.plan, "--role", "district_it")
    assert "planted" not in masked and '"left_out"' in masked
    assert "school supports" not in await done("disclosures", "N-student")
    assert "author was shown" in await done("disclosures", "N-student", "--all")
    because = ("--because", "A wrong name.", "--as", "it@district.example.org")
    assert "Open for fifteen minutes" in await done("access", "reveal", "N-student", *because)
    assert "planted-goal" in await done("plan", "show", village.plan, "--role", "district_it", *because[2:])
    review = json.loads(await done("access", "review", "--school", village.school, "--json"))
    assert {row["act"] for row in review["saw"]} == {"read", "reveal"} and len(review["may"]) == 5
    await done("purposes", "set", village.map, "interim", "--because", "The board.", *ottoline)
    assert "interim" in await done("purposes", "list")
    judging = ("--purpose", "accountability")
    for words, code in (
        (("access", "why", "nobody", "N-student"), "person-unknown"),
        (("plan", "show", village.plan, "--role", "king"), "role-unknown"),
        (("consents", "add", "N-student", *to[:4], "--section", "all", *days, *ottoline), "section-unknown"),
        (("consents", "add", "N-student", *to, *days, *ottoline, *judging), "purpose-refused"),
        (("consents", "revoke", "0", "--because", "So.", *ottoline), "consent-unknown"),
        (("client", "add", "state", "--scope", "results.read", *judging), "purpose-refused"),
        (("client", "add", "tool", "--scope", "results.read", "--kind", "toy"), "client-kind-unknown"),
        (("export", "oneroster-csv", str(tmp_path / "roster.zip"), *judging), "purpose-refused"),
        (("purposes", "set", village.student, "interim", "--because", "So.", *ottoline), "assessment-unknown"),
        (("purposes", "set", village.map, "ranking", "--because", "So.", *ottoline), "purpose-unknown"),
    ):
        ended, said = await typed(village, settings, *words)
        assert ended in (2, 6) and f"Code {code}," in said, said
    assert os.listdir(tmp_path) == []


async def test_the_districts_own_no_is_lifted_by_no_source(village: Village) -> None:
    """The feed says that she is the mother, and nothing against her."""
    mother = Who(village.mother)
    assert (await viewing.why(village.store, village.district, mother, village.student))["goals"].allowed
    met = {"held_on": TODAY.isoformat(), "outcome": "declined_to_participate"}
    met["participants"] = [{"who": village.mother, "role": "parent", "education_rights": "no"}]  # type: ignore[assignment]
    barred = content(village) | {"consultations": [met]}
    await planning.edit(village.store, village.district, village.plan, barred, AUTHOR)
    seen = await viewing.why(village.store, village.district, mother, village.student)
    assert {one.how for one in seen.values()} == {"none"} and "kept from" in seen["goals"].reason


async def test_a_plan_counts_on_a_consent_while_it_holds(village: Village) -> None:
    """Guard G2f: by its number or by where the paper is, without what the same recipient is forbidden."""

    async def held() -> dict[str, list[tuple[str, set[str]]]]:
        async with village.store.transaction(village.district) as c:
            found = await consents.references(c, village.student, TODAY)
        return {name: [(one.recipient, set(one.sections)) for one in given] for name, given in found.items()}

    club = "organization:Lantern Club"
    assert await held() == {}
    number = await consent(village, club, "identity", "goals")
    other = await consent(village, "organization:Fern Club", "identity")
    both = {str(number): [(club, {"identity", "goals"})], str(other): [("organization:Fern Club", {"identity"})]}
    assert await held() == both
    forbidding = await consent(village, club.upper().replace("ORGANIZATION", "organization"), "goals", permit=False)
    assert await held() == both | {str(number): [(club, {"identity"})]}
    await revoke(village, forbidding)
    assert await held() == both
    await revoke(village, number)
    assert set(await held()) == {str(other)}


async def test_a_record_is_read_in_a_role_and_the_reading_is_on_record(village: Village, settings: Settings) -> None:
    written = (
        {"kind": "observation", "body": {"text": "planted-note"}},
        {"kind": "observation", "domain": "physical_health", "body": {"text": "planted-asthma"}},
        {"kind": "observation", "restricted": True, "body": {"text": "planted-restricted"}},
    )
    for one in written:
        await record.add(village.store, village.district, village.student, one, AUTHOR)
    await record.correct(village.store, village.district, village.student, "2", None, AUTHOR, "planted-not-his-asthma")

    async def reads(*words: str) -> str:
        _, said = await typed(village, settings, *words)
        return said

    for words in (("record", "list", "N-student", "--all", "--json"), ("record", "show", "N-student", "2"),
                  ("plan", "known", village.plan, "--json"), ("record", "progress", village.plan, "--json"),
                  ("plan", "history", village.plan, "--at", TODAY.isoformat())):  # fmt: skip
        assert "planted" not in await reads(*words, "--role", "district_it"), words
    listed = await reads("record", "list", "N-student", "--all", "--role", "principal")
    assert "planted-note" in listed and "3 entries are not for this role." in listed
    assert "asthma" not in listed and "planted-restricted" not in listed
    assert "Code access-refused," in await reads("record", "show", "N-student", "3", "--role", "principal")
    assert "planted-restricted" in await reads("record", "show", "N-student", "3", "--role", "counselor")
    assert "planted-goal" not in await reads("plan", "history", village.plan, "--at", "1", "--role", "parent")
    assert "planted-restricted" in await reads("record", "list", "N-student")
    parent = await reads("record", "list", "N-student", "--role", "parent", "--as", "Dorothea Vexwood")
    assert "planted-note" in parent and "restricted" not in parent
    lines = {(one["party"], tuple(one["sections"]), one["outside"]) for one in await log(village)}
    assert ("principal", ("notes",), False) in lines
    assert ("counselor", ("restricted_notes",), False) in lines
    assert ("Dorothea Vexwood", ("notes",), True) in lines
    assert not any(party == "district_it" and set(told) - {"identity"} for party, told, _ in lines)


async def test_a_family_and_the_student_add_their_own_words_where_the_table_says_so(village: Village) -> None:
    """To the record and under their name; goals stay as they are, and everybody else is refused on record."""

    async def adds(who: str, section: str) -> str:
        by = Actor("Ottoline Farrow", "educator", person=village.ids[who], client="planner")
        try:
            entry = await contributing.add(village.store, village.district, village.student, section, "planted-say", by)
        except Refused as refusal:
            return refusal.code
        said = entry.said()
        assert said is not None and (said.text, said.adds_to) == ("planted-say", section)
        assert entry.actor == {
            "name": "Ottoline Farrow", "role": "educator", "person": village.ids[who], "client": "planner",
        }  # fmt: skip
        return entry.kind

    async with village.store.transaction(village.district) as c:
        before = (await stored.load(c, village.plan)).content
    for section in contributing.ADDED_TO:
        for who in PEOPLE:
            made = {"mother": "family_contact", "student": "student_voice"}.get(who, "input-refused")
            if (who, section) == ("student", "outside_supports"):
                made = "input-refused"
            assert await adds(who, section) == made, (who, section)
    with pytest.raises(ConfigError, match="section"):
        await adds("mother", "health")
    with pytest.raises(Refused) as refusal:
        await contributing.add(village.store, village.district, village.student, "goals", "x", AUTHOR)
    assert refusal.value.code == "input-author"
    async with village.store.transaction(village.district) as c:
        assert (await stored.load(c, village.plan)).content == before
        refused = await c.scalar(text("SELECT count(*) FROM act WHERE act = 'write-refused'"))
    assert refused == len(PEOPLE) * len(contributing.ADDED_TO) - 5
    entries = (await record.read(village.store, village.district, village.student)).standing
    assert len(entries) == 5
