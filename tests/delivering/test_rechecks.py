"""What was sent is judged anew once rights, a team or a consent changed: taken back, sent again, or left."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

from sqlalchemy import text

from gateway import clock, jobs, planning
from gateway.connector import Viewer
from gateway.store import blackouts, consents, deliveries, rechecks, registers, rollouts, standing
from gateway.store.consents import Given
from gateway.store.database import Store
from tests.delivering.conftest import COUNSELOR, IGNATZ, Hall
from tests.store.school import GONE, NUMBER, user


async def half_an_hour_later(hall: Hall) -> Counter[str]:
    """A tick of a worker in half an hour, and the jobs that it queues about the board: which were queued."""
    async with hall.store.transaction(hall.district) as c:
        await c.execute(text("UPDATE destination SET rechecked_at = rechecked_at - interval '31 minutes'"))
        before = await newest_job(hall.store)
    await jobs.tick(hall.store)
    connection = (await registers.connection(hall.store, hall.district, "board")).id
    async with hall.store.transaction() as c:
        rows = await c.execute(
            text(
                "SELECT task_name FROM procrastinate_jobs WHERE id > :before "
                "AND lock = 'destination/' || CAST(:connection AS text)"
            ),
            {"before": before, "connection": connection},
        )
        found = Counter(rows.scalars())
    if found["recheck"]:
        await jobs.recheck_job(hall.store, hall.district, connection)
    return found


async def newest_job(store: Store) -> int:
    async with store.transaction() as c:
        return int(await c.scalar(text("SELECT coalesce(max(id), 0) FROM procrastinate_jobs")) or 0)


async def the_rest(hall: Hall) -> list[dict[str, Any]]:
    """Every delivery that was queued, carried out."""
    return [await hall.carried_out(number) for number in await hall.queued()]


async def test_a_restriction_takes_back_what_the_person_would_see(hall: Hall) -> None:
    hall.board.viewers.append(Viewer("guardian", IGNATZ))
    assert (await hall.push())["state"] == "delivered"
    assert (await half_an_hour_later(hall))["recheck"] == 1
    assert await hall.queued() == [], "nothing had changed"
    await standing.restrict(
        hall.store, hall.district, hall.ids[GONE], hall.ids["par-ignatz"], "court order 7", hall.actor
    )
    assert (await half_an_hour_later(hall))["recheck"] == 1
    [ended] = await the_rest(hall)
    assert (ended["kind"], ended["cause"], ended["state"]) == ("withdraw", "audience", "withdrawn")
    assert "kept from the student" in ended["because"]
    assert hall.board.hangs == {}
    assert (await hall.push())["state"] == "parked"
    await half_an_hour_later(hall)
    assert await hall.queued() == [], "it is there no more"


async def test_a_look_at_what_did_not_change_asks_nobody(hall: Hall) -> None:
    assert (await hall.push())["state"] == "delivered"
    await half_an_hour_later(hall)
    hall.board.viewers = [Viewer("other")]  # it would be taken back if anybody asked
    await half_an_hour_later(hall)
    assert await hall.queued() == []
    async with hall.store.transaction(hall.district) as c:
        assert await rechecks.changed(hall.store, c, await board(hall), date.today()) == []
    assert (await half_an_hour_later(hall))["recheck"] == 1
    await jobs.tick(hall.store)
    assert len(await claims(hall)) == 0, "one look in half an hour"


async def board(hall: Hall) -> int:
    return (await registers.connection(hall.store, hall.district, "board")).id


async def claims(hall: Hall) -> list[tuple[int, int]]:
    return [one for one in await rechecks.due(hall.store) if one[0] == hall.district]


async def test_whoever_left_the_team_yesterday_is_taken_out(hall: Hall) -> None:
    hall.board.viewers = []
    assert (await hall.push())["state"] == "delivered"
    assert [one["team"] for one in hall.board.hangs.values()] == [["teacher 500"]]
    await half_an_hour_later(hall)
    yesterday = (date.today() - timedelta(days=1)).isoformat()
    gone = [{"who": hall.ids["tea-1"], "role": "teacher", "end_on": yesterday}]
    async with hall.store.transaction(hall.district) as c:
        found = await planning.stored.load(c, hall.plan)
    await planning.edit(hall.store, hall.district, hall.plan, {**found.content, "team": gone}, hall.actor)
    await half_an_hour_later(hall)
    [ended] = await the_rest(hall)
    assert (ended["kind"], ended["state"], ended["version"]) == ("push", "delivered", 1)
    assert [one["team"] for one in hall.board.hangs.values()] == [[]]


async def test_what_a_family_forbids_is_taken_out(hall: Hall) -> None:
    assert (await hall.push())["state"] == "delivered"
    await half_an_hour_later(hall)
    no = Given(
        student=hall.ids[GONE], grantor="Dorothea Vexwood", capacity="guardian", recipient="destination:board",
        sections=["strengths"], purpose="planning", permit=False, begin=date.today(), until=date.today(),
    )  # fmt: skip
    async with hall.store.transaction(hall.district) as c:
        await consents.add(hall.store, c, hall.district, no, hall.actor)
    await half_an_hour_later(hall)
    [ended] = await the_rest(hall)
    assert (ended["kind"], ended["state"]) == ("push", "delivered")
    [notice] = hall.board.hangs.values()
    assert [part[0] for part in notice["said"]] == ["Goals", "Supports"]


async def test_a_doorway_stays_a_doorway(hall: Hall) -> None:
    assert (await hall.push(doorway=True))["state"] == "delivered"
    await half_an_hour_later(hall)
    await standing.restrict(
        hall.store, hall.district, hall.ids[GONE], hall.ids["par-ignatz"], "court order 7", hall.actor
    )
    writes = hall.board.writes
    await half_an_hour_later(hall)
    assert (await hall.queued(), hall.board.writes) == ([], writes)


async def forbid_strengths(hall: Hall) -> None:
    no = Given(
        student=hall.ids[GONE], grantor="Dorothea Vexwood", capacity="guardian", recipient="destination:board",
        sections=["strengths"], purpose="planning", permit=False, begin=date.today(), until=date.today(),
    )  # fmt: skip
    async with hall.store.transaction(hall.district) as c:
        await consents.add(hall.store, c, hall.district, no, hall.actor)


def parts(hall: Hall) -> list[list[str]]:
    return [[part[0] for part in one["said"]] for one in hall.board.hangs.values()]


async def test_what_is_forbidden_before_the_first_look_is_taken_out_however_late_that_is(hall: Hall) -> None:
    assert (await hall.push())["state"] == "delivered"
    async with hall.store.transaction(hall.district) as c:
        await c.execute(text("UPDATE delivery SET finished_at = finished_at - interval '9 hours'"))
    await forbid_strengths(hall)
    await half_an_hour_later(hall)
    assert [one["state"] for one in await the_rest(hall)] == ["delivered"] and parts(hall) == [["Goals", "Supports"]]


async def test_what_the_district_lets_leave_no_more_is_taken_out(hall: Hall) -> None:
    assert (await hall.push())["state"] == "delivered"
    await half_an_hour_later(hall)
    found = await registers.connection(hall.store, hall.district, "board")
    async with hall.store.transaction(hall.district) as c:
        await deliveries.set_profile(c, hall.district, found.id, {"include_strengths": False})
    await half_an_hour_later(hall)
    assert [one["state"] for one in await the_rest(hall)] == ["delivered"] and parts(hall) == [["Goals", "Supports"]]


async def test_nothing_of_it_stays_where_nothing_is_sent_any_more_and_it_was_to_change(hall: Hall) -> None:
    assert (await hall.push())["state"] == "delivered"
    found = await registers.connection(hall.store, hall.district, "board")
    async with hall.store.transaction(hall.district) as c:
        await rollouts.put(c, found, "shadow", [], hall.actor)
    await half_an_hour_later(hall)
    assert await hall.queued() == [], "of itself the stage is no reason"
    await forbid_strengths(hall)
    await half_an_hour_later(hall)
    [ended] = await the_rest(hall)
    assert (ended["kind"], ended["state"], hall.board.hangs) == ("withdraw", "withdrawn", {})


async def test_what_is_to_change_in_a_blackout_changes_after_it(hall: Hall) -> None:
    assert (await hall.push())["state"] == "delivered"
    now, found = clock.now(), await board(hall)
    await forbid_strengths(hall)
    lasting = await blackouts.add(
        hall.store, hall.district, found, now - timedelta(hours=1), now + timedelta(hours=1), "Report.", hall.actor
    )
    await half_an_hour_later(hall)
    assert await hall.queued() == []
    await blackouts.end(hall.store, hall.district, lasting, hall.actor)
    await half_an_hour_later(hall)
    assert [one["state"] for one in await the_rest(hall)] == ["delivered"] and parts(hall) == [["Goals", "Supports"]]


async def test_a_number_that_became_two_students_is_not_left_to_both(hall: Hall) -> None:
    assert (await hall.push())["state"] == "delivered"
    hall.school.files["users"].append(user("stu-new", "student", "Nil", "Nemo", identifier=NUMBER))
    held = await hall.school.pull()
    run = held["id"]
    assert held["state"] == "held" and isinstance(run, int)
    await jobs.decide_hold(hall.store, hall.district, run, "approved", hall.actor, "It is so.")
    await jobs.run_job(hall.store, hall.district, run)
    await half_an_hour_later(hall)
    [ended] = await the_rest(hall)
    assert (ended["kind"], ended["state"], hall.board.hangs) == ("withdraw", "withdrawn", {})


async def test_whoever_coordinated_it_and_left_sees_it_no_more(hall: Hall) -> None:
    hall.board.viewers = [Viewer("staff", COUNSELOR)]
    assert (await hall.push())["state"] == "delivered"
    await half_an_hour_later(hall)
    hall.school.files["users"] = [one for one in hall.school.files["users"] if one["sourcedId"] != "cou-1"]
    assert (await hall.school.pull())["state"] == "published"
    await half_an_hour_later(hall)
    [ended] = await the_rest(hall)
    assert (ended["kind"], ended["cause"], hall.board.hangs) == ("withdraw", "audience", {})
