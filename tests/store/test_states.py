"""How a connection stands, from runs, holds, pauses and blackouts that really stand in the database."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.status import ConnectionState, late
from gateway.store import registers, states
from gateway.store.database import Store
from gateway.store.registers import Actor

HOUR = timedelta(hours=1)


@pytest.fixture
async def connection(store: Store, district: int, actor: Actor) -> int:
    """One that was connected 100 hours ago."""
    made = await registers.add_connection(store, district, "sis", "oneroster", {}, {}, actor)
    await do(store, district, "UPDATE connection SET created_at = now() - interval '100 hours'")
    return made


async def do(store: Store, district: int, statement: str) -> None:
    async with store.transaction(district) as c:
        await c.execute(text(statement))


async def run(store: Store, district: int, connection: int, state: str, hours: float, **more: str) -> int:
    """A run that came to this so many hours ago; what was published or compared was good."""
    columns = {"state": state, "actor": "{}", **more}
    ago = "now() - make_interval(secs => :seconds)"
    async with store.transaction(district) as c:
        made = await c.scalar(
            text(
                f"INSERT INTO run (district_id, connection_id, finished_at, good_at, {', '.join(columns)}) "
                f"VALUES (:district, :connection, CASE WHEN :state NOT IN ('held', 'queued') THEN {ago} END, "
                f"CASE WHEN :state IN ('published', 'compared') THEN {ago} END, "
                f"{', '.join(f':{name}' for name in columns)}) RETURNING id"
            ),
            {"district": district, "connection": connection, "seconds": hours * 3600, **columns},
        )
    return int(made)


async def state(store: Store, district: int) -> ConnectionState:
    [found] = await states.read(store, district)
    return found


def about(found: timedelta | None, hours: float) -> bool:
    return found is not None and abs(found - hours * HOUR) < timedelta(minutes=1)


async def test_one_that_never_came_is_silent_since_it_was_connected(
    store: Store, district: int, connection: int
) -> None:
    found = await state(store, district)
    assert (found.age, found.good_run, found.failing_since) == (None, None, None)
    assert about(found.silence, 100) and found.is_late() and not found.is_late(101 * HOUR)
    assert found.limit == 26 * HOUR


async def test_only_a_pull_that_was_published_is_a_good_sync(store: Store, district: int, connection: int) -> None:
    good = await run(store, district, connection, "published", 30)
    await run(store, district, connection, "published", 9, kind="undo")
    await run(store, district, connection, "published", 8, kind="replay")
    await run(store, district, connection, "compared", 7, mode="shadow")
    await run(store, district, connection, "refused", 6)
    found = await state(store, district)
    assert found.good_run == good and about(found.age, 30) and found.is_late()
    assert [s.name for s in late([found])] == ["sis"] and late([found], 31 * HOUR) == []


async def test_in_shadow_what_was_compared_counts(store: Store, district: int, connection: int) -> None:
    await do(store, district, "UPDATE connection SET shadow = true")
    compared = await run(store, district, connection, "compared", 3, mode="shadow")
    await run(store, district, connection, "compared", 2, mode="dry")
    found = await state(store, district)
    assert found.good_run == compared and found.shadow and not found.is_late()


async def test_it_fails_since_its_first_failure_and_until_it_comes_again(
    store: Store, district: int, connection: int
) -> None:
    await run(store, district, connection, "failed", 60, error_code="unreachable")
    await run(store, district, connection, "published", 50)
    await run(store, district, connection, "failed", 20, error_code="unreachable")
    await run(store, district, connection, "failed", 10, error_code="server-busy")
    found = await state(store, district)
    assert (found.failures, found.error_code) == (2, "server-busy")
    assert found.failing_since is not None and about(found.at - found.failing_since, 20)
    held = await run(store, district, connection, "held", 0)
    found = await state(store, district)
    assert (found.failing_since, found.error_code, found.held_run) == (None, None, held)
    assert found.waits_for == ("held",)


async def test_a_good_sync_whose_removals_wait_says_so(store: Store, district: int, connection: int) -> None:
    published = await run(store, district, connection, "published", 1)
    await do(store, district, f"UPDATE run SET state = 'held', finished_at = NULL WHERE id = {published}")
    found = await state(store, district)
    assert found.removals_held and found.waits_for == ("removals-held",) and not found.is_late()
    await do(store, district, f"UPDATE run SET state = 'refused', finished_at = now() WHERE id = {published}")
    found = await state(store, district)
    assert found.waits_for == () and found.good_run == published


@pytest.mark.parametrize("whole_district", [True, False])
async def test_silence_that_was_ordered_is_none(
    store: Store, district: int, connection: int, whole_district: bool
) -> None:
    await run(store, district, connection, "published", 90)

    async def blackout(begins: int, ends: int) -> ConnectionState:
        await do(store, district, "DELETE FROM blackout")
        which = "NULL" if whole_district else connection
        await do(
            store,
            district,
            f"INSERT INTO blackout (district_id, connection_id, from_at, until_at, because, actor) VALUES ({district}, "
            f"{which}, now() - interval '{begins} hours', now() - interval '{ends} hours', 'summer', '{{}}')",
        )
        return await state(store, district)

    now = await blackout(80, -50)
    assert now.silence == timedelta(0) and about(now.age, 90) and not now.is_late()
    over = await blackout(80, 20)
    assert about(over.silence, 20) and not over.is_late() and over.is_late(19 * HOUR)
    to_come = await blackout(-10, -20)
    assert about(to_come.silence, 90) and to_come.is_late()


async def test_where_plans_are_only_sent_nothing_is_late(store: Store, district: int, connection: int) -> None:
    await do(store, district, f"INSERT INTO destination VALUES ({connection}, {district}, '{{}}')")
    found = await state(store, district)
    assert not found.watched and not found.is_late()
    await run(store, district, connection, "failed", 60)
    assert (await state(store, district)).is_late()


async def test_a_pause_waits_for_a_person_and_stays_late(
    store: Store, district: int, connection: int, actor: Actor
) -> None:
    await registers.pause(store, district, connection, "The credentials were refused.", actor)
    found = await state(store, district)
    assert found.waits_for == ("paused",) and found.is_late()


async def test_monitors_see_all_districts_and_a_district_its_own(
    store: Store, district: int, connection: int, actor: Actor
) -> None:
    other = await registers.district(store, f"beside-{district}")
    await registers.add_connection(store, other, "sis", "oneroster", {}, {}, actor)
    assert {s.district for s in await states.read(store)} >= {district, other}
    assert {s.district for s in await states.read(store, other)} == {other}
