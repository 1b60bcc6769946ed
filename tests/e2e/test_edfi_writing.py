"""What is written to an Ed-Fi server others write to as well: looked at, in order, tried again, never over theirs."""

import json
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from connectors.edfi.twin import refusals
from gateway import clock, delivery, dispatch, jobs
from gateway.errors import Refused
from gateway.settings import Settings
from gateway.store import agreements, deliveries, registers, verifications
from gateway.store import plans as stored
from tests.e2e.test_delivery import (
    COUNSELOR,
    DISTRICT,
    NEED,
    WRITTEN,
    Here,
    extension,  # noqa: F401  a fixture
    here,  # noqa: F401  a fixture
    minutes,
    standard,  # noqa: F401  a fixture
)
from tests.taken_back import objects, taken_back
from tests.turning import carried_out

OWN = "uri://mapleridge.example.org"
TODAY = date.today()


async def test_a_descriptor_the_host_lacks_is_asked_for_before_a_byte_is_sent(here: Here) -> None:  # noqa: F811
    await here.finalize()
    missing = f"{OWN}/ParticipationStatusDescriptor#Under way & agreed"
    await here.profile(participation_status=missing)
    here.there.forget()
    parked = await here.push()
    assert (parked["state"], here.there.wrote()) == ("parked", [])
    request = {"codeValue": "Under way & agreed", "namespace": f"{OWN}/ParticipationStatusDescriptor"}
    assert parked["reason"].startswith("Nothing was sent.") and missing in parked["reason"]
    assert "POST ed-fi/participationStatusDescriptors" in parked["reason"]
    assert all(f'"{name}":"{value}"' in parked["reason"] for name, value in request.items())
    added = here.there.http.post("participationStatusDescriptors", json={**request, "shortDescription": "Under way"})
    assert added.status_code == 201
    assert (await here.push())["state"] == "delivered"
    [participation] = here.there.all("studentProgramAssociations")
    [status] = participation["programParticipationStatuses"]
    assert status["participationStatusDescriptor"] == missing
    assert here.there.held() == await here.intended()
    # By default no word of the plan is in any request: not in a body, not in a key, not in an address.
    assert len(here.there.gate.seen) > 10
    for word in (NEED, "Draws maps", "Read aloud", "Retells", "Reading group", "Map club", "Library"):
        assert not [request for request in here.there.gate.seen if word in request], word


async def test_a_student_who_is_not_enrolled_there_yet_is_sent_once_with_each_run(here: Here) -> None:  # noqa: F811
    await here.finalize()
    gate = here.there.gate
    gate.closed = "studentProgramAssociations"
    gate.refusal = refusals.denied_organization([DISTRICT.number], "StudentUniqueId")
    parked = await here.push()
    assert (parked["state"], parked["waits"]) == ("parked", "enrollment")
    assert "4 more were not sent because of it" in parked["reason"]
    assert not here.there.all("interventions")
    here.there.forget()
    await dispatch.deliver_job(here.store, here.district, parked["id"])
    assert here.there.asked() == [], "it was tried again although nothing was heard of an enrollment"
    connection = await registers.connection(here.store, here.district, "ods")
    assert await delivery._enrolled(here.store, connection, here.student)
    assert not await delivery._enrolled(here.store, connection, here.teacher)
    for state in ("outage", "parked", "delivered"):
        if state == "delivered":
            gate.closed = ""
        await jobs.run_job(
            here.store, here.district, await jobs.request_pull(here.store, here.district, connection.id, COUNSELOR)
        )
        assert (await here.outcome(parked["id"]))["state"] == "queued"
        here.there.forget()
        if state == "outage":
            here.there.faults({"kind": "status", "path": "/ed-fi/", "status": 503, "retry_after": 3600, "times": 99})
        await carried_out(here.store, here.district, parked["id"])
        here.there.faults()
        told = await here.outcome(parked["id"])
        if state == "outage":  # it goes on to wait for the student, not for a person, and is tried again by itself
            assert (told["state"], told["waits"]) == ("queued", "enrollment") and "503" in told["reason"]
            assert told["next_at"] - clock.now() > timedelta(minutes=59)
            await dispatch.deliver_job(here.store, here.district, parked["id"])
            continue
        assert told["state"] == state
        # The gate keeps the refused ones from the twin's log.
        sent = [one for one in gate.seen if one.startswith("POST") and "/studentProgramAssociations" in one]
        assert len(sent) == (3 if state == "parked" else 4)
    assert here.there.held() == await here.intended()


async def test_a_child_waits_for_its_parent_whatever_order_the_server_tells(here: Here) -> None:  # noqa: F811
    await here.finalize()
    here.there.gate.order = ["programs", "studentInterventionAssociations", *WRITTEN[1:3]]
    here.there.forget()
    assert (await here.push())["state"] == "delivered"
    assert here.there.wrote() == [
        ("programs", 201),
        ("studentProgramAssociations", 201),
        *[("interventions", 201)] * 2,
        *[("studentInterventionAssociations", 201)] * 2,
    ]
    assert here.there.held() == await here.intended()


async def test_what_somebody_else_wrote_is_left_alone_until_a_person_says_why(here: Here) -> None:  # noqa: F811
    await here.finalize()
    [program], [ours] = [(await here.intended())[name] for name in WRITTEN[:2]]
    theirs = {**ours, "services": [{"serviceDescriptor": "uri://ed-fi.org/ServiceDescriptor#Speech therapy"}]}
    assert here.there.http.post("programs", json=program).status_code == 201
    assert here.there.http.post("studentProgramAssociations", json=theirs).status_code == 201
    for _ in range(2):
        parked = await here.push()
        assert (parked["state"], parked["waits"]) == ("parked", None)
        assert "Somebody else's record stands there" in parked["reason"]
        assert here.there.all("studentProgramAssociations") == [theirs]
    number, _ = await delivery.request(
        here.store, here.district, here.plan, "ods", COUNSELOR, overwrite="It was entered by hand, by mistake."
    )
    await dispatch.deliver_job(here.store, here.district, number)
    assert (await here.outcome(number))["state"] == "delivered"
    assert here.there.held() == await here.intended()
    async with here.store.transaction(here.district) as c:
        last = (await stored.events(c, here.plan))[-1]
    assert last["detail"]["overwrite"] == "It was entered by hand, by mistake."
    # The very same as ours is nobody's loss, and a ledger that was lost is no reason to stop.
    async with here.store.owner.begin() as c:
        await c.execute(text("DELETE FROM ledger"))
    assert (await here.push())["state"] == "delivered"


async def test_another_first_day_begins_anew_and_the_end_closes_all(here: Here) -> None:  # noqa: F811
    await here.profile(include_team=True)
    await here.finalize()
    first = await here.push()
    assert first["state"] == "delivered", first["reason"]
    assert [
        len(here.there.all(name)) for name in ("cohorts", "studentCohortAssociations", "staffCohortAssociations")
    ] == [1, 1, 1]
    [before] = here.there.all("studentProgramAssociations")
    start = TODAY + timedelta(days=3)
    await here.edit(lambda content: content.update(period_start=start.isoformat()))
    await here.finalize()
    assert (await here.push())["state"] == "delivered"
    old, new = here.there.all("studentProgramAssociations")
    assert (old["beginDate"], new["beginDate"]) == (before["beginDate"], start.isoformat())
    assert old["endDate"] == (start - timedelta(days=1)).isoformat() and "endDate" not in new
    assert all("serviceEndDate" in one for one in old["services"])
    assert [one.get("endDate") for one in here.there.all("staffCohortAssociations")].count(old["endDate"]) == 1

    def over(content: dict[str, Any]) -> None:
        content["period_end"] = start.isoformat()
        for support in content["supports"]:
            support["status"] = "completed"

    await here.edit(over)
    await here.finalize()
    here.there.forget()
    assert (await here.push())["state"] == "delivered"
    _, new = here.there.all("studentProgramAssociations")
    assert new["endDate"] == start.isoformat()
    assert new["reasonExitedDescriptor"] == "uri://ed-fi.org/ReasonExitedDescriptor#Other"
    assert {one["endDate"] for one in here.there.all("interventions")} == {start.isoformat()}
    assert {one["serviceEndDate"] for one in new["services"]} == {start.isoformat()}
    wrote = [resource for resource, _ in here.there.wrote()]
    assert sorted(wrote) == sorted(
        [
            "studentProgramAssociations",
            "interventions",
            "interventions",
            "studentCohortAssociations",
            "staffCohortAssociations",
        ]
    )
    here.there.forget()
    assert (await here.push())["state"] == "delivered" and here.there.asked() == []


@pytest.mark.parametrize("standard", ["3.3@5.4", "5.0@7.2", "5.0@8.0", "6.0@8.0"])
async def test_a_whole_plan_is_written_looked_at_and_ended_on_every_generation(here: Here, standard: str) -> None:  # noqa: F811
    await here.profile(include_team=True, mark_enrollment=True, include_staff=True, include_need_statements=True)
    await here.finalize()
    found = await here.push()
    assert found["state"] == "delivered", found["reason"]
    assert here.there.held() == await here.intended()
    team = [len(here.there.all(name)) for name in ("cohorts", "studentCohortAssociations", "staffCohortAssociations")]
    assert team == [1, 1, 1]

    def marked() -> list[str]:
        found = here.there.all("studentSchoolAssociations")
        return [one["educationPlanDescriptor"] for row in found for one in row.get("educationPlans") or ()]

    assert marked() == ["uri://ed-fi.org/EducationPlanDescriptor#Student Success Plan"]
    async with here.store.owner.begin() as c:
        ids = (
            await c.execute(text("SELECT remote_id FROM ledger WHERE district_id = :id"), {"id": here.district})
        ).all()
    assert {len(id) for (id,) in ids} == {36 if standard.endswith("8.0") else 32}
    here.there.forget()
    assert (await here.push())["state"] == "delivered" and here.there.asked() == []
    connection = await registers.connection(here.store, here.district, "ods")
    async with here.store.transaction(here.district) as c:
        await verifications.ask(c, here.district, connection.id, whole=True)
    await jobs.look_job(here.store, here.district, connection.id)
    async with here.store.transaction(here.district) as c:
        looked = await verifications.last(c, connection.id)
        assert await verifications.lost(c, connection.id) == []
    assert looked is not None and (looked["objects"], looked["skipped"], looked["error_code"]) == (10, 0, None)
    await here.edit(minutes(0, 45))
    await here.finalize()
    here.there.forget()
    assert (await here.push())["state"] == "delivered"
    assert here.there.wrote() == [("interventions", 200), ("studentInterventionAssociations", 200)]
    assert objects(await taken_back(here.store, here.district, here.plan, "ods", COUNSELOR, "It is over.")) == 9
    assert marked() == [] and all("endDate" in row for row in here.there.all("studentProgramAssociations"))


async def test_a_plan_that_is_taken_back_is_ended_there_today_and_can_begin_again(here: Here) -> None:  # noqa: F811
    """Nothing is ever deleted from Ed-Fi; the mark in the enrollment goes."""
    await here.profile(include_team=True, mark_enrollment=True)
    await here.finalize()
    assert (await here.push())["state"] == "delivered"

    def marked() -> int:
        return sum(len(row.get("educationPlans") or ()) for row in here.there.all("studentSchoolAssociations"))

    assert marked() == 1
    held = here.there.held()
    taken = await taken_back(here.store, here.district, here.plan, "ods", COUNSELOR, "The family asked.")
    assert (taken["state"], objects(taken), marked()) == ("withdrawn", 9, 0)
    [participation] = here.there.all("studentProgramAssociations")
    assert participation["endDate"] == TODAY.isoformat() == participation["services"][0]["serviceEndDate"]
    assert {row["endDate"] for row in here.there.all("interventions")} == {TODAY.isoformat()}
    assert {row["endDate"] for row in here.there.all("staffCohortAssociations")} == {TODAY.isoformat()}
    here.there.forget()
    assert objects(await taken_back(here.store, here.district, here.plan, "ods", COUNSELOR, "Again.")) == 0
    connection = await registers.connection(here.store, here.district, "ods")
    async with here.store.transaction(here.district) as c:
        await verifications.ask(c, here.district, connection.id, whole=True)
    await jobs.look_job(here.store, here.district, connection.id)
    assert {method for method, *_ in here.there.asked()} <= {"GET"} and not marked(), "a look puts nothing back"
    assert (await here.push())["state"] == "delivered", "it is ours still"
    assert (here.there.held(), marked()) == (held, 1)


async def test_a_destination_of_another_agency_is_off_until_an_agreement_is_in_force(here: Here) -> None:  # noqa: F811
    await here.finalize()
    connection = await registers.connection(here.store, here.district, "ods")
    async with here.store.transaction(here.district) as c:
        await agreements.host(c, connection, "Larkspur Regional Center", COUNSELOR)
    with pytest.raises(Refused, match="hosted by Larkspur Regional Center") as refused:
        await here.begin_delivery()
    assert refused.value.code == "agreement-missing" and "planbridge agreements add ods" in refused.value.fix
    days = TODAY - timedelta(days=9), clock.today()
    async with here.store.transaction(here.district) as c:
        await agreements.add(c, connection, "LRC-12", days[0], days[0], COUNSELOR)
    with pytest.raises(Refused, match="LRC-12, holds from"):
        await here.begin_delivery()
    async with here.store.transaction(here.district) as c:
        number = await agreements.add(c, connection, "LRC-13", *days, COUNSELOR)
    queued = await here.begin_delivery()
    async with here.store.transaction(here.district) as c:
        await agreements.end(here.store, c, here.district, number, "It was revoked.", COUNSELOR)
    here.there.forget()
    await dispatch.deliver_job(here.store, here.district, queued)
    late = await here.outcome(queued)
    assert late["state"] == "parked" and "[agreement-missing]" in late["reason"]
    assert here.there.asked() == []
    async with here.store.transaction(here.district) as c:
        await agreements.host(c, connection, "", COUNSELOR)
    assert (await here.push())["state"] == "delivered"
    async with here.store.transaction(here.district) as c:
        assert [one["reference"] for one in await agreements.listed(c)] == ["LRC-13", "LRC-12"]
        assert await deliveries.waiting(c, connection.id) == []
    await here.edit(minutes(0, 45))


async def test_the_command_line_knows_who_hosts_a_destination_and_what_was_agreed(
    here: Here,  # noqa: F811
    settings: Settings,
) -> None:
    await here.finalize()
    agreements_, push = (
        partial(here.command, settings, "agreements"),
        partial(here.command, settings, "push", here.plan),
    )
    assert await agreements_() == (0, "There is no agreement.\n")
    code, said = await agreements_("host", "ods")
    assert code == 2 and "Code host-unclear," in said
    code, said = await agreements_("host", "ods", "--agency", "Larkspur [Center]")
    assert (code, said) == (0, "ods is hosted by Larkspur [Center].\n")
    code, said = await push("--to", "ods", "--as", "Ottoline Farrow")
    assert code == 6 and "Code agreement-missing," in said and not here.there.all("programs")
    code, said = await agreements_(
        "add", "ods", "--reference", "LRC-13", "--from", "2026-02-30", "--until", "2999-01-01"
    )
    assert code == 2 and "Code time-unreadable," in said
    code, said = await agreements_(
        "add", "ods", "--reference", "LRC-13", "--from", "2999-01-02", "--until", "2999-01-01"
    )
    assert code == 2 and "Code agreement-incomplete," in said
    code, said = await agreements_("add", "ods", "--reference", "LRC-13", "--from", str(TODAY), "--until", "2999-01-01")
    assert code == 0 and f"plans may be pushed to ods from {TODAY} until 2999-01-01" in " ".join(said.split())
    [told] = json.loads((await agreements_("--json"))[1])
    assert (told["destination"], told["agency"], told["reference"]) == ("ods", "Larkspur [Center]", "LRC-13")
    code, said = await push("--to", "ods", "--as", "Ottoline Farrow")
    assert code == 0 and "delivered" in said
    assert (await agreements_("end", str(told["id"])))[0] == 6
    code, said = await agreements_("end", str(told["id"]), "--because", "It was revoked.")
    assert (code, said) == (0, f"Agreement {told['id']} is over.\n")
    assert "It was revoked." in (await agreements_("--json"))[1]
    assert (await push("--to", "ods", "--as", "Ottoline Farrow"))[0] == 6
    assert (await agreements_("host", "ods", "--own"))[1] == "ods is hosted by the district itself.\n"
    assert (await push("--to", "ods", "--as", "Ottoline Farrow"))[0] == 0


async def test_who_waits_is_told_when_it_goes_on(here: Here, settings: Settings) -> None:  # noqa: F811
    await here.finalize()
    here.there.gate.closed = "studentProgramAssociations"
    here.there.gate.refusal = refusals.denied_organization([DISTRICT.number], "StudentUniqueId")
    code, said = await here.command(settings, "push", here.plan, "--to", "ods", "--as", "Ottoline Farrow")
    assert code == 6 and "after each pull of ods that finds the student enrolled there" in " ".join(said.split())
    assert "planbridge pull ods" in said
