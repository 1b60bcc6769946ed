"""What became of what was delivered: looked at afterwards, told when it did not stay, never fought over."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Any, cast

import pytest
from sqlalchemy import text

from connectors.edfi.marker import ENROLLMENTS
from gateway import clock, dispatch, jobs, notify
from gateway.connector import Document, Sink
from gateway.errors import Refused
from gateway.messages import Message
from gateway.sameness import holds
from gateway.sending import fingerprint
from gateway.settings import Settings
from gateway.status import ConnectionState
from gateway.store import agreements, plans, registers, states, verifications
from gateway.store.verifications import Known
from gateway.verification import _found
from tests.e2e.messages import DISASTERS
from tests.e2e.test_delivery import COUNSELOR, Here, cut_off, minutes, without_bookkeeping
from tests.e2e.test_delivery import extension as extension  # a fixture
from tests.e2e.test_delivery import here as here  # a fixture
from tests.e2e.test_delivery import standard as standard

MARK = "uri://ed-fi.org/EducationPlanDescriptor#Student Success Plan"


class Night:
    """What happens at a district whose plan was delivered with a mark, and by night."""

    def __init__(self, here: Here, settings: Settings) -> None:
        self.here = here
        self._settings = settings

    async def begin(self, **profile: Any) -> None:
        await self.here.profile(mark_enrollment=True, **profile)
        await self.here.finalize()
        assert (await self.here.push())["state"] == "delivered"

    def enrollment(self) -> dict[str, Any]:
        """The enrollment of the plan's student as it is there, whole."""
        [student] = {
            row["studentReference"]["studentUniqueId"] for row in self.here.there.all("studentProgramAssociations")
        }
        [found] = self.here.there.http.get(ENROLLMENTS, params={"studentUniqueId": student}).json()
        return dict(found)

    def marks(self) -> list[str]:
        return [item["educationPlanDescriptor"] for item in self.enrollment()["educationPlans"]]

    def sis_posts(self, **other: Any) -> None:
        """The SIS writes the enrollment anew, as it knows it: POST replaces it wholly."""
        row = without_bookkeeping(self.enrollment())
        reply = self.here.there.http.post(ENROLLMENTS, json={**row, "educationPlans": [], **other})
        assert reply.status_code == 200

    async def look(self) -> dict[str, Any]:
        """A look, as the worker makes it, and what it found."""
        connection = await self.connection()
        async with self.here.store.transaction(self.here.district) as c:
            await verifications.ask(c, self.here.district, connection, whole=False)
        await jobs.look_job(self.here.store, self.here.district, connection)
        async with self.here.store.transaction(self.here.district) as c:
            found = await verifications.last(c, connection)
            lost = await verifications.lost(c, connection)
        assert found is not None
        return found | {"lost": {(one["resource"], one["lost"]) for one in lost}}

    async def connection(self) -> int:
        return (await registers.connection(self.here.store, self.here.district, "ods")).id

    async def sql(self, statement: str) -> Any:
        async with self.here.store.transaction(self.here.district) as c:
            return await c.scalar(text(statement))

    async def deliver_what_is_queued(self) -> int:
        """How many deliveries the look has queued; each is carried out."""
        async with self.here.store.transaction(self.here.district) as c:
            numbers = list((await c.execute(text("SELECT id FROM delivery WHERE state = 'queued'"))).scalars())
            jobs_of = text("SELECT CAST(args->>'delivery' AS int) FROM procrastinate_jobs WHERE task_name = 'deliver'")
            assert {*numbers} <= {*(await c.execute(jobs_of)).scalars()}, "a worker takes each of them up"
        for number in numbers:
            await dispatch.deliver_job(self.here.store, self.here.district, number)
        return len(numbers)

    async def told(self) -> list[Mapping[str, str]]:
        """The messages there are by now, of what did not stay."""
        await notify.tell_and_send(self.here.store, self._settings, self.here.district)
        async with self.here.store.transaction(self.here.district) as c:
            rows = await c.execute(text("SELECT message FROM notice WHERE key LIKE 'overwritten/%' ORDER BY id"))
            return [Message(**message).parts() for message in rows.scalars()]

    async def pass_days(self, days: int) -> None:
        """So much earlier happened all that happened."""
        span = f"interval '{days} days'"
        for statement in (
            f"UPDATE ledger SET at = at - {span}, looked_at = looked_at - {span}, lost_at = lost_at - {span}, "
            f"renewed_at = renewed_at - {span}",
            f"UPDATE delivery SET finished_at = finished_at - {span}",
            f"UPDATE verification SET looked_at = looked_at - {span}, due_at = due_at - {span}",
            f"UPDATE alarm SET since = since - {span}",
        ):
            async with self.here.store.transaction(self.here.district) as c:
                await c.execute(text(statement))

    async def state(self) -> ConnectionState:
        [found] = await states.read(self.here.store, self.here.district)
        return found


@pytest.fixture
def night(here: Here, settings: Settings) -> Night:
    return Night(here, settings)


async def test_18_the_sis_writes_over_our_mark(night: Night) -> None:
    """It is told, the plan is unharmed, and the mark comes back once a day: no tug-of-war."""
    await night.begin()
    other = {"_ext": {"planted": {"bell": 7}}, "ofAnotherRelease": [1]}
    assert night.marks() == [MARK]
    assert (await night.look())["lost"] == set() and await night.told() == []
    plan, held = await night.here.intended(), night.here.there.held()

    night.sis_posts(**other)
    await night.pass_days(1)
    before = night.enrollment()
    found = await night.look()
    assert found["lost"] == {(ENROLLMENTS, "dropped")} and found["renewed"] == 1
    async with night.here.store.transaction(night.here.district) as c:
        await c.execute(text("UPDATE verification SET looked_at = '2026-10-06 06:00+00'"))
    [message] = await night.told()
    DISASTERS[18].told(message)
    state = await night.state()
    assert (state.overwritten, state.waits_for) == (1, ("overwritten",))
    assert await night.here.intended() == plan and night.here.there.held() == held

    async with night.here.store.transaction(night.here.district) as c:
        [*_, act] = await plans.events(c, night.here.plan)
    assert (act["act"], act["actor"]["name"]) == ("push", "verification"), "it is on record who sends it again"
    night.here.there.forget()
    assert await night.deliver_what_is_queued() == 1
    sent = [(method, resource.partition("/")[0]) for method, resource, _ in night.here.there.asked() if method != "GET"]
    assert sent == [("PUT", ENROLLMENTS)], "the mark alone is sent"
    assert night.marks() == [MARK] and (await night.state()).overwritten == 0
    bookkeeping = ("id", "_etag", "_lastModifiedDate", "educationPlans")
    after = night.enrollment()
    assert {name: after[name] for name in after if name not in bookkeeping} == {
        name: before[name] for name in before if name not in bookkeeping
    }, "with _ext and what is unknown here"

    night.sis_posts(**other)
    assert ((await night.look())["renewed"], await night.deliver_what_is_queued()) == (0, 0), "once a day is enough"
    assert night.marks() == [] and (await night.state()).overwritten == 1
    await night.pass_days(1)
    assert ((await night.look())["renewed"], await night.deliver_what_is_queued()) == (1, 1)
    assert night.marks() == [MARK]
    assert (await night.look())["lost"] == set()
    await night.told()
    assert await night.sql("SELECT count(*) FROM alarm") == 0


async def test_what_else_did_not_stay_waits_for_a_person(night: Night) -> None:
    await night.begin()
    there = night.here.there
    first, second = there.http.get("interventions").json()
    [gone] = [row for row in there.http.get("studentInterventionAssociations").json() if code_of(row) == code_of(first)]
    assert there.http.delete(f"studentInterventionAssociations/{gone['id']}").status_code == 204
    mine = without_bookkeeping(second)
    assert there.http.post("interventions", json=mine | {"beginDate": "2026-01-07"}).status_code == 200

    found = await night.look()
    lost = {("studentInterventionAssociations", "gone"), ("interventions", "changed")}
    assert (found["lost"], found["renewed"], found["objects"]) == (lost, 0, 7)
    [message] = await night.told()
    assert "--overwrite" in message["to_do"] and message["affected"] == "1 plan, 2 objects."
    there.forget()
    assert await night.deliver_what_is_queued() == 0
    assert (await night.here.push())["receipts"] == [] and there.asked() == [], "nor does a push send it"

    night.sis_posts()
    await night.pass_days(1)
    assert (await night.look())["renewed"] == 1, "the mark alone"
    await night.deliver_what_is_queued()
    assert night.marks() == [MARK]
    assert {row["beginDate"] for row in there.all("interventions")} > {"2026-01-07"}
    number = await dispatch.request_push(
        night.here.store, night.here.district, night.here.plan, "ods", COUNSELOR, "Ours is right."
    )
    await dispatch.deliver_job(night.here.store, night.here.district, number)
    assert there.held() == await night.here.intended()
    assert (await night.look())["lost"] == set()


def code_of(row: Mapping[str, Any]) -> str:
    return str((row.get("interventionReference") or row)["interventionIdentificationCode"])


async def test_a_mark_goes_when_the_plan_has_ended_and_others_stay(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    await night.begin()
    theirs = {"educationPlanDescriptor": "uri://ed-fi.org/EducationPlanDescriptor#504 Plan"}
    night.sis_posts(educationPlans=[theirs, {"educationPlanDescriptor": MARK}])
    last_day = date.today() + timedelta(days=40)
    await night.here.edit(lambda content: content.update(period_end=last_day.isoformat()))
    await night.here.finalize()
    await night.here.push()
    assert (await night.look())["renewed"] == 0
    monkeypatch.setattr(clock, "today", lambda: last_day)
    await night.pass_days(1)
    found = await night.look()
    assert (found["renewed"], found["lost"]) == (1, set()), "nobody is told of what is as it should be"
    await night.deliver_what_is_queued()
    assert night.enrollment()["educationPlans"] == [theirs]
    assert (await night.look())["renewed"] == 0


async def test_a_mark_is_ours_although_its_sender_died_before_the_answer(night: Night) -> None:
    await night.here.profile(mark_enrollment=True)
    await night.here.finalize()
    number = await cut_off(night.here, ENROLLMENTS)
    told = {receipt["resource"]: receipt["delivered"] for receipt in (await night.here.outcome(number))["receipts"]}
    assert told[ENROLLMENTS] is False and night.marks() == [MARK]
    await dispatch.deliver_job(night.here.store, night.here.district, number)
    assert (await night.here.outcome(number))["state"] == "delivered" and night.marks() == [MARK]
    await night.here.profile(mark_enrollment=False)
    assert (await night.here.push())["state"] == "delivered" and night.marks() == [], "so it can be taken out again"


async def test_what_would_be_sent_otherwise_today_is_counted_and_not_compared(night: Night) -> None:
    await night.begin()
    await night.here.profile(mark_enrollment=True, include_need_statements=True)
    night.sis_posts()
    found = await night.look()
    assert (found["skipped"], found["objects"], found["renewed"]) == (2, 5, 0), "a person chose that, and pushes"
    assert found["lost"] == {(ENROLLMENTS, "dropped")}


async def test_what_cannot_be_compared_is_looked_at_once_and_what_is_not_sent_any_more_is_not_missed(
    night: Night,
) -> None:
    await night.begin(include_team=True)
    await night.here.profile(mark_enrollment=True, include_team=True, include_need_statements=True)
    team = night.here.there.http.get("studentCohortAssociations").json()
    assert night.here.there.http.delete(f"studentCohortAssociations/{team[0]['id']}").status_code == 204
    found = await night.look()
    assert found["skipped"] == 2 and found["lost"] == {("studentCohortAssociations", "gone")}
    await night.here.profile(mark_enrollment=True, include_need_statements=True)
    found = await night.look()
    assert (found["plans"], found["lost"]) == (1, set()), "the team is not to be there: nothing of it is missing"
    assert (await night.look())["plans"] == 0, "nor is the plan looked at again although two objects were skipped"


async def test_a_mark_follows_its_student_and_nobody_is_told_that_it_was_lost(night: Night) -> None:
    await night.begin()
    night.sis_posts()
    async with night.here.store.transaction(night.here.district) as c:  # it was put into an enrollment that has ended
        await c.execute(text(f"UPDATE ledger SET remote_id = '{'f' * 32}' WHERE resource = '{ENROLLMENTS}'"))
    found = await night.look()
    assert (found["lost"], found["renewed"]) == (set(), 1)


async def test_nothing_is_renewed_where_the_delivery_would_send_more(night: Night) -> None:
    await night.begin()
    night.sis_posts()
    await night.here.profile(mark_enrollment=True, include_team=True)
    assert (await night.look())["renewed"] == 0, "a person chose the team since, and pushes"
    await night.here.profile(mark_enrollment=True)
    async with night.here.store.transaction(night.here.district) as c:
        await verifications.ask(c, night.here.district, await night.connection(), whole=True)
        await c.execute(text("UPDATE ledger SET lost = 'gone', lost_at = now(), delivered_sha256 = NULL "
                             "WHERE resource = 'studentInterventionAssociations'"))  # fmt: skip
    found = await night.look()
    assert found["renewed"] == 0, "what a person wants put back is not there yet"
    assert (ENROLLMENTS, "dropped") in found["lost"]


async def test_a_look_that_may_not_be_made_or_fails_says_why(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    await night.begin()
    mine = night.here.district, await night.connection()
    night.here.there.forget()
    await registers.pause(night.here.store, *mine, "It moves.", COUNSELOR)
    assert (await night.look())["error_code"] == "connection-paused"
    await registers.resume(night.here.store, *mine, COUNSELOR)
    connection = await registers.connection(night.here.store, night.here.district, "ods")
    async with night.here.store.transaction(night.here.district) as c:
        await agreements.host(c, connection, "Larkspur Regional Center", COUNSELOR)
    assert (await night.look())["error_code"] == "agreement-missing" and night.here.there.asked() == []
    async with night.here.store.transaction(night.here.district) as c:
        await agreements.host(c, connection, "", COUNSELOR)
    with monkeypatch.context() as broken:
        broken.setattr("gateway.delivery.preview", lambda *_: 1 / 0)
        assert (await night.look())["error_code"] == "our-fault"
    found = await night.look()
    assert (found["error_code"], found["plans"], found["skipped"]) == (None, 1, 0)


async def test_a_plan_that_cannot_be_made_up_any_more_is_skipped(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    await night.begin()

    async def unknown(*_: Any) -> None:
        raise Refused("student-not-there", "Not known there.", "Pull it.")

    monkeypatch.setattr("gateway.delivery.preview", unknown)
    found = await night.look()
    assert (found["plans"], found["objects"], found["skipped"], found["renewed"]) == (1, 0, 1, 0)


@dataclass
class There:
    """A destination that has one record."""

    record: dict[str, Any] | None

    async def read_back(self, document: Document) -> dict[str, Any] | None:
        return self.record


@pytest.mark.parametrize(
    ("record", "more", "found"),
    [
        (None, {}, "gone"),
        ({"code": "a", "note": "n"}, {}, "kept"),
        ({"code": "a"}, {}, "changed"),
        ({"code": "a"}, {"texts": {"note": ("/needs/0/statement",)}}, "kept"),  # longer than it takes: left out
        ({"code": "a", "note": "theirs"}, {"texts": {"note": ("/needs/0/statement",)}}, "changed"),
        ({"code": "theirs"}, {"create_only": True}, "kept"),  # shared: whoever made it may change it
        (None, {"create_only": True}, "gone"),
        ({"code": "a", "note": "n"}, {"merge": True}, "other"),  # a sink that cannot tell of what is merged
    ],
)
async def test_how_one_object_is_found(record: dict[str, Any] | None, more: dict[str, Any], found: str) -> None:
    document = Document("interventions", {"code": "a"}, {"code": "a", "note": "n"}, **more)
    sent = Known(fingerprint(document), True, "", None, True)
    assert await _found(cast(Sink, There(record)), document, sent) == found
    other = replace(sent, sent_sha256="of another body")
    assert await _found(cast(Sink, There(record)), document, other) == ("due" if document.merge else "other")


SUPPORTS = ("GET", "interventions", 200)


async def test_a_mark_that_is_switched_off_is_not_missed_any_more(night: Night) -> None:
    await night.begin()
    night.sis_posts()
    assert (await night.look())["lost"] == {(ENROLLMENTS, "dropped")}
    await night.here.profile(mark_enrollment=False)
    await night.deliver_what_is_queued()
    assert (await night.look())["lost"] == set() and night.marks() == []


async def test_a_mark_that_is_switched_off_goes_with_the_next_push(night: Night) -> None:
    await night.begin()
    await night.here.profile(mark_enrollment=False)
    night.here.there.forget()
    assert (await night.here.push())["state"] == "delivered" and night.marks() == []
    assert [method for method, *_ in night.here.there.asked()][:2] == ["GET", "PUT"]


async def test_each_plan_is_looked_at_once_a_week_and_what_changed_at_once(night: Night) -> None:
    await night.begin()
    assert (await night.look())["plans"] == 1
    assert (await night.look())["plans"] == 0
    await night.here.edit(minutes(0, 45))
    await night.here.finalize()
    await night.here.push()
    assert (await night.look())["plans"] == 1
    night.here.there.forget()
    await night.pass_days(6)
    await night.look()
    assert SUPPORTS not in night.here.there.asked()
    await night.pass_days(1)
    await night.look()
    assert SUPPORTS in night.here.there.asked()
    await night.here.begin_delivery()
    await night.pass_days(8)
    assert (await night.look())["plans"] == 0, "it is on its way"


async def test_a_look_is_due_a_day_after_the_first_delivery_and_then_each_day(night: Night) -> None:
    await night.begin()
    mine = night.here.district, await night.connection()
    assert mine not in await verifications.due(night.here.store)
    await night.pass_days(1)
    assert mine in await verifications.due(night.here.store)
    async with night.here.store.transaction(night.here.district) as c:
        assert await verifications.claim(c, mine[1]) and not await verifications.claim(c, mine[1])
    assert mine not in await verifications.due(night.here.store)
    await night.pass_days(1)
    await registers.pause(night.here.store, *mine, "It moves.", COUNSELOR)
    async with night.here.store.transaction(night.here.district) as c:
        assert not await verifications.claim(c, mine[1]), "nor at what rests"


async def test_what_is_not_answered_is_no_loss_and_is_asked_again(night: Night) -> None:
    await night.begin()
    night.here.there.faults({"kind": "html", "path": "/interventions", "times": 99})
    found = await night.look()
    assert found["error_code"] and (found["looked_at"], found["lost"]) == (None, set())
    assert await night.told() == []
    assert await night.sql("SELECT due_at < now() + interval '2 hours' FROM verification")
    night.here.there.faults()
    found = await night.look()
    assert (found["error_code"], found["objects"]) == (None, 7)


async def test_the_command_line_looks_lists_and_ends_with_what_it_found(night: Night, settings: Settings) -> None:
    await night.begin()
    verify = partial(night.here.command, settings, "verify")
    code, said = await verify("ods", "--json")
    assert code == 0 and json.loads(said)["objects"] == 7
    night.sis_posts()
    code, said = await verify("ods", "--all", "--json")
    assert code == 6 and [one["lost"] for one in json.loads(said)["lost"]] == ["dropped"]
    night.here.there.forget()
    code, said = await verify("ods", "--list")
    assert (code, "dropped" in said) in ((6, True), (0, False)), "it may have been put back by then"
    assert night.here.there.asked() == []


@pytest.mark.parametrize(
    ("there", "sent", "held"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1}, {"a": 1, "b": None}, True),
        ({"a": [2, 1]}, {"a": [1, 2]}, True),
        ({"a": [1]}, {"a": [1, 1]}, False),
        ({"a": [{"x": 1, "y": 2}, {"x": 3}]}, {"a": [{"x": 3}]}, True),
        ({"a": "URI://Ed-Fi.org/X#Y"}, {"a": "uri://ed-fi.org/X#Y"}, True),
        ({"a": "2026-11-28T00:00:00.000Z"}, {"a": "2026-11-28"}, True),
        ({"a": "2026-11-29"}, {"a": "2026-11-28"}, False),
        ({"a": 30.0}, {"a": 30}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": None}, {"a": "None"}, False),
        ({"a": "x"}, {"a": ["x"]}, False),
    ],
)
def test_what_holds_what_was_sent(there: Any, sent: Any, held: bool) -> None:
    assert holds(there, sent) is held
