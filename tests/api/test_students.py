"""What a program gets of a student: for whom it asks, what it was granted, what is on record, what nobody gets."""

import itertools
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from gateway import clock, planning
from gateway.access import SECTIONS
from gateway.errors import Refused
from gateway.store import agreements, clients, consents, disclosures, registers
from gateway.store.clients import Grant
from gateway.store.consents import Given
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.conftest import agree, token
from tests.village import AUTHOR, Village, content, destination, finalize, populate

HEALTH = "planted-physical_health"


@pytest.fixture
async def village(store: Store, district: int) -> Village:
    return await populate(store, district)


@dataclass
class Program:
    """A program with an agreement."""

    store: Store
    district: int
    id: str

    async def for_(self, person: str | None = None) -> dict[str, str]:
        """The header with its token, for a person, or for itself."""
        return await token(self.store, self.district, self.id, person=person)


async def program(village: Village, actor: Actor, *granted: str, kind: str = "vendor", **agreed: Any) -> Program:
    scopes = ["plans.read", "results.read", "students.read", "record.read", "input.write"]
    grant = Grant(kind, "planning", granted)
    id, _ = await clients.add(village.store, village.district, "planner", scopes, actor, grant)
    await agree(village.store, village.district, id, **agreed)
    return Program(village.store, village.district, id)


async def asked(
    http: httpx.AsyncClient, village: Village, by: Program, person: str = "", path: str = ""
) -> httpx.Response:
    header = await by.for_(village.ids[person] if person else None)
    return await http.get(f"/v1/students/{path or f'{village.student}/plan'}", headers=header)


async def test_a_person_sees_through_a_program_what_both_may(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    everything = await program(village, actor, *SECTIONS)
    said = {who: (await asked(http, village, everything, who)) for who in village.ids if who in (
        "coordinator", "teacher", "counselor", "nurse", "principal", "mother")}  # fmt: skip
    assert {answer.status_code for answer in said.values()} == {200}
    reads = {who for who, answer in said.items() if HEALTH in answer.text}
    assert reads == {"nurse"}, "the mother too, once it was put before her"
    assert "planted-social_emotional" in said["teacher"].text, "the need"
    assert "planted-why-social_emotional" not in said["teacher"].text, "not the notes"
    assert "planted-family_basic_needs" not in said["teacher"].text + said["principal"].text
    assert said["mother"].json()["content"] is None, "a draft is the school's own"
    for who in ("stranger", "elsewhere_principal", "father", "mentor"):
        answer = await asked(http, village, everything, who)
        assert (answer.status_code, answer.json()["code"]) == (403, "access-refused")
        assert "planted" not in answer.text
    some = await program(village, actor, "identity", "goals")
    answer = await asked(http, village, some, "counselor")
    assert "planted-goal" in answer.text and "planted-strength" not in answer.text
    assert "/strengths/0" in answer.json()["left_out"]
    refused = {one["section"]: one["reason"] for one in answer.json()["sections"] if one["may"] == "no"}
    assert refused["strengths"] == "The district did not grant this section to the program."
    await finalize(village)
    assert HEALTH in (await asked(http, village, everything, "mother")).text
    async with village.store.transaction(village.district) as c:
        lines = await disclosures.of_student(c, village.student, outside=True)
        refusals = await acts(c, "look-refused")
    assert {line["party"] for line in lines} == {"planner"} and len(lines) == 7
    assert all(line["basis"].endswith(".") and line["sections"] for line in lines)
    assert len(refusals) == 4


async def acts(c: Any, act: str) -> list[Any]:
    return list((await c.exec_driver_sql("SELECT detail FROM act WHERE act = %s", (act,))).scalars())


async def test_a_program_for_itself_gets_its_column_and_its_grant(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    await finalize(village)
    nothing = await asked(http, village, await program(village, actor))
    assert nothing.status_code == 200 and "planted" not in nothing.text
    sis = await asked(http, village, await program(village, actor, *SECTIONS, kind="sis"))
    assert "planted-goal" in sis.text and "planted-academic" in sis.text
    assert "planted-social_emotional" not in sis.text and HEALTH not in sis.text and "planted-talk" not in sis.text
    lms = await asked(http, village, await program(village, actor, *SECTIONS, kind="lms"))
    assert "planted-goal" not in lms.text, "its words were not made to be shown in a learning platform"


MEASURES, KEYS = ("mean", "growth", "rate", "ranking"), ("staff", "class", "school")


async def test_results_are_listed_student_by_student_and_no_number_is_made_of_them(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    header = await program(village, actor, "academic")
    own = await asked(http, village, header, "teacher", f"results?student={village.student}")
    assert own.status_code == 200
    assert sorted((one["title"], one["purpose"]) for one in own.json()["results"]) == [
        ("Check-in", "diagnostic"), ("MAP Growth", "diagnostic"), ("Quiz", "formative"),
    ]  # fmt: skip
    assert (await asked(http, village, header, "teacher", "results")).json() == own.json(), "all whom they teach"
    for path in (f"results?student={village.student}&student={village.other}", f"results?student={village.other}"):
        assert (await asked(http, village, header, "teacher", path)).status_code == 403
    both = f"results?student={village.student}&student={village.other}"
    assert len((await asked(http, village, header, "counselor", both)).json()["results"]) == 4
    assert (await asked(http, village, header, "stranger", f"results?student={village.student}")).status_code == 403
    assert (await asked(http, village, header, "", "results")).json() == {"results": [], "next": None}
    for measure, key in itertools.product(MEASURES, KEYS):
        answer = await asked(http, village, header, "principal", f"results?measure={measure}&by={key}")
        assert (answer.status_code, answer.json()["code"]) == (403, "purpose-firewall")
    async with village.store.transaction(village.district) as c:
        assert len(await acts(c, "measure-refused")) == len(MEASURES) * len(KEYS)


@pytest.mark.parametrize("purpose", ["evaluation", "accountability"])
async def test_nothing_is_given_for_a_purpose_that_judges(
    village: Village, http: httpx.AsyncClient, actor: Actor, purpose: str
) -> None:
    with pytest.raises(Refused, match="judges nobody") as refused:
        await clients.add(village.store, village.district, "state", ["results.read"], actor, Grant("vendor", purpose))
    assert refused.value.code == "purpose-refused"
    connection = await destination(village)
    async with village.store.transaction(village.district) as c:
        assert await acts(c, "purpose-refused") == [{"purpose": purpose}]
        await agreements.host(c, connection, "The state", actor)
        with pytest.raises(Refused, match="judges nobody"):
            terms = agreements.Terms(purpose)
            await agreements.add(c, connection, "A-1", *(2 * (date_of_today(),)), actor, terms)
    # ... nor where one got into the tables by another way
    header = await program(village, actor, "academic")
    async with village.store.transaction(village.district) as c:
        await c.exec_driver_sql("UPDATE client SET purpose = %s WHERE name = 'planner'", (purpose,))
        await c.exec_driver_sql(
            "INSERT INTO agreement (district_id, connection_id, agency, reference, from_on, until_on, actor, purpose) "
            "VALUES (%s, %s, 'The state', 'A-2', now() - interval '9 days', now() + interval '9 days', '{}', %s)",
            (village.district, connection.id, purpose),
        )
        with pytest.raises(Refused, match="no agreement"):
            await agreements.refuse(c, connection, date_of_today())
        assert (await agreements.terms(c, connection, date_of_today())).sections == frozenset()
    answer = await asked(http, village, header, "teacher", f"results?student={village.student}")
    assert answer.status_code == 403 and "196" not in answer.text


def date_of_today() -> Any:
    return clock.today()


async def consented(village: Village, to: str, *, permit: bool) -> int:
    today = date_of_today()
    given = Given(village.student, village.mother, "guardian", to, ["goals"], "planning", permit, today, today)
    async with village.store.transaction(village.district) as c:
        return await consents.add(village.store, c, village.district, given, AUTHOR)


async def test_what_a_family_forbade_a_program_or_took_back_it_has_for_nobody(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    everything = await program(village, actor, *SECTIONS)
    assert "planted-goal" in (await asked(http, village, everything, "counselor")).text
    number = await consented(village, "program:planner", permit=False)
    answer = await asked(http, village, everything, "counselor")
    assert "planted-goal" not in answer.text and "planted-strength" in answer.text
    assert "A family forbade it." in {one["reason"] for one in answer.json()["sections"]}
    await finalize(village)
    assert "planted-goal" not in (await asked(http, village, everything)).text, "nor for itself"
    permitted = await consented(village, "program:Planner", permit=True)
    async with village.store.transaction(village.district) as c:
        for one in (number, permitted):
            await consents.revoke(village.store, c, village.district, one, "The family asked.", AUTHOR)
    answer = await asked(http, village, everything, "counselor")
    assert answer.status_code == 403 and "No consent that holds today" in answer.text, "it rested on one"


async def test_a_program_of_one_district_reaches_nobody_of_another(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    neighbour = await populate(village.store, await registers.district(village.store, f"next to {village.district}"))
    mine, theirs = await program(village, actor, *SECTIONS), await program(neighbour, actor, *SECTIONS)
    for path in (f"{village.student}/plan", f"results?student={village.student}"):
        for person in ("", "nurse"):
            answer = await asked(http, neighbour, theirs, person, path)
            assert (answer.status_code, answer.json()["code"]) == (404, "student-unknown"), path
    stray = await mine.for_(neighbour.nurse)
    for path in (f"{village.student}/plan", "results"):
        assert (await http.get(f"/v1/students/{path}", headers=stray)).status_code == 401, (
            "on no roster of this district"
        )


async def test_it_asks_for_nobody_who_may_not(village: Village, http: httpx.AsyncClient, actor: Actor) -> None:
    """Another student, a school as if it were a person, staff who left; and nobody is said to have been shown what a
    refusal kept."""
    everything = await program(village, actor, *SECTIONS)
    async with village.store.transaction(village.district) as c:
        gone = "UPDATE entity SET doc = CAST(CAST(doc AS jsonb) || '{\"active\": false}' AS json) WHERE id = %s"
        await c.exec_driver_sql(gone, (village.counselor,))
    for person, code in (("other", 403), ("counselor", 401), ("school", 401)):
        answer = await asked(http, village, everything, person)
        assert answer.status_code == code and "planted" not in answer.text, person
    both = f"results?student={village.student}&student={village.other}"
    assert (await asked(http, village, everything, "teacher", both)).status_code == 403
    async with village.store.transaction(village.district) as c:
        assert await disclosures.of_student(c, village.student) == []


async def test_who_was_merged_keeps_ties_and_what_keeps_them_away(
    village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    """The plan names them by the id that they had when it was written."""
    met = {"held_on": date_of_today().isoformat(), "outcome": "declined_to_participate"}
    met["participants"] = [{"who": village.mentor, "role": "relative", "education_rights": "no"}]
    barred = content(village) | {"consultations": [met]}
    await planning.edit(village.store, village.district, village.plan, barred, AUTHOR)
    async with village.store.owner.begin() as c:
        for former, now in (("coordinator", "stranger"), ("mentor", "mother")):
            await c.exec_driver_sql(
                "INSERT INTO identity_decision (district_id, act, entity_id, other_id, actor, because) "
                "VALUES (%s, 'merge', %s, %s, '{}', 'the same')",
                (village.district, village.ids[former], village.ids[now]),
            )
            await c.exec_driver_sql("DELETE FROM entity WHERE id = %s", (village.ids[former],))
    everything = await program(village, actor, *SECTIONS)
    for person in ("coordinator", "stranger"):
        answer = await asked(http, village, everything, person)
        assert answer.status_code == 200 and "planted-family_basic_needs" in answer.text, person
        assert len((await asked(http, village, everything, person, "results")).json()["results"]) == 3
    for person in ("mentor", "mother"):
        answer = await asked(http, village, everything, person)
        assert answer.status_code == 403 and "kept from the student" in answer.text, person
