"""What is due is queued once, whoever looks first; what cannot be pulled is noted; what was missed is made up for."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from gateway import jobs
from gateway.errors import ConfigError
from gateway.schedules import Schedule, read
from gateway.store import registers, schedules
from gateway.store.database import Store
from gateway.store.registers import Actor, Connection

NIGHTLY = read("0 2 * * *", "America/Chicago")
DAY = timedelta(days=1)


@pytest.fixture
async def connection(store: Store, district: int, actor: Actor) -> Connection:
    return await connected(store, district, actor, "sis", NIGHTLY)


async def connected(store: Store, district: int, actor: Actor, name: str, schedule: Schedule) -> Connection:
    await registers.add_connection(store, district, name, "oneroster", {}, {}, actor)
    made = await registers.connection(store, district, name)
    await schedules.save(store, made, schedule, timedelta(hours=26), actor)
    return made


async def do(store: Store, district: int, statement: str) -> None:
    async with store.transaction(district) as c:
        await c.execute(text(statement))


async def missed(store: Store, connection: Connection, by: timedelta) -> None:
    """Its time came, and nobody was there."""
    await do(
        store,
        connection.district,
        f"UPDATE schedule SET next_due_at = now() - interval '{by.total_seconds()} seconds' "
        f"WHERE connection_id = {connection.id}",
    )


async def kept(store: Store, connection: Connection) -> Any:
    async with store.transaction(connection.district) as c:
        return next(row for row in await schedules.listed(c) if row["connection"] == connection.name)


async def runs(store: Store, connection: Connection) -> list[tuple[int, str, str]]:
    async with store.transaction(connection.district) as c:
        query = f"SELECT id, state, actor FROM run WHERE connection_id = {connection.id} ORDER BY id"
        return [tuple(row) for row in await c.execute(text(query))]


async def test_nothing_happens_before_its_time(store: Store, connection: Connection) -> None:
    await jobs.tick(store)
    assert await runs(store, connection) == []
    due = (await kept(store, connection))["next_due_at"]
    assert due == NIGHTLY.next_due(datetime.now(UTC), connection.id)


async def test_however_many_times_were_missed_they_are_made_up_for_once(store: Store, connection: Connection) -> None:
    await missed(store, connection, 5 * DAY)
    await jobs.tick(store)
    await jobs.tick(store)
    [(run, state, actor)] = await runs(store, connection)
    assert state == "queued" and '"schedule"' in actor
    found = await kept(store, connection)
    assert (found["last_run"], found["last_skipped"]) == (run, None)
    assert found["next_due_at"] == NIGHTLY.next_due(datetime.now(UTC), connection.id)


async def test_workers_that_look_at_the_same_moment_queue_one_run_each_connection(
    store: Store, district: int, actor: Actor
) -> None:
    several = [await connected(store, district, actor, f"sis-{n}", NIGHTLY) for n in range(4)]
    for one in several:
        await missed(store, one, DAY)
    await asyncio.gather(*(jobs.tick(store) for _ in range(6)))
    assert [len(await runs(store, one)) for one in several] == [1, 1, 1, 1]
    assert [(await kept(store, one))["last_skipped"] for one in several] == [None] * 4
    async with store.owner.begin() as c:
        locks = [f"connection/{one.id}" for one in several]
        queued = await c.scalar(
            text("SELECT count(*) FROM procrastinate_jobs WHERE lock = ANY(:locks)"), {"locks": locks}
        )
    assert queued == 4


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("UPDATE connection SET paused_because = 'refused' WHERE id = {id}", "connection-paused"),
        (
            "INSERT INTO run (district_id, connection_id, state, actor) VALUES ({district}, {id}, 'pulling', '{{}}')",
            "run-under-way",
        ),
        (
            "INSERT INTO blackout (district_id, from_at, until_at, because, actor) "
            "VALUES ({district}, now() - interval '1 h', now() + interval '1 h', 'summer', '{{}}')",
            "blackout",
        ),
    ],
    ids=lambda value: value if " " not in value else "",
)
async def test_what_cannot_be_pulled_is_noted_and_waits_for_its_next_time(
    store: Store, connection: Connection, trouble: str, code: str
) -> None:
    await do(store, connection.district, trouble.format(id=connection.id, district=connection.district))
    before = await runs(store, connection)
    await missed(store, connection, DAY)
    await jobs.tick(store)
    assert await runs(store, connection) == before
    found = await kept(store, connection)
    assert (found["last_skipped"], found["last_run"]) == (code, None)
    assert found["next_due_at"] > datetime.now(UTC) and found["last_due_at"] < datetime.now(UTC)


@pytest.mark.parametrize("good_at", ["now()", "NULL"], ids=["its removals", "all of it"])
async def test_a_run_that_waits_is_replaced_by_what_comes_next(
    store: Store, connection: Connection, good_at: str
) -> None:
    await do(
        store,
        connection.district,
        "INSERT INTO run (district_id, connection_id, state, actor, good_at) "
        f"VALUES ({connection.district}, {connection.id}, 'held', '{{}}', {good_at})",
    )
    await missed(store, connection, DAY)
    await jobs.tick(store)
    assert [state for _, state, _ in await runs(store, connection)] == ["superseded", "queued"]


async def test_what_was_missed_waits_for_its_window(store: Store, district: int, actor: Actor) -> None:
    now = datetime.now(UTC)
    opens, closes = now + timedelta(hours=3), now + timedelta(hours=5)
    window = f"{opens:%H:%M}-{closes:%H:%M}"
    closed = await connected(store, district, actor, "sis", read(f"{opens:%M} {opens:%H} * * *", "UTC", window=window))
    await missed(store, closed, DAY)
    await jobs.tick(store)
    assert await runs(store, closed) == []
    found = await kept(store, closed)
    assert found["next_due_at"] == opens.replace(second=0, microsecond=0)
    assert found["last_skipped"] == "outside-window"


async def test_a_connection_that_cannot_be_opened_does_not_stop_the_others(
    store: Store, district: int, actor: Actor, connection: Connection
) -> None:
    other = await registers.district(store, f"beside-{district}")
    later = await connected(store, other, actor, "sis", NIGHTLY)
    await missed(store, connection, 2 * DAY)
    await missed(store, later, DAY)
    await do(store, district, "UPDATE connection SET sealed_secrets = ''")
    await jobs.tick(store)
    assert await runs(store, connection) == [] and len(await runs(store, later)) == 1


async def test_off_means_off_until_it_is_set_again(store: Store, connection: Connection, actor: Actor) -> None:
    await schedules.switch_off(store, connection, actor)
    await missed(store, connection, DAY)
    await jobs.tick(store)
    assert await runs(store, connection) == []
    with pytest.raises(ConfigError, match="schedule-missing"):
        await schedules.switch_off(store, connection, actor)
    await schedules.save(store, connection, NIGHTLY, DAY, actor)
    assert (await kept(store, connection))["enabled"]
    async with store.transaction(connection.district) as c:
        acts = (await c.execute(text("SELECT act FROM act ORDER BY seq"))).scalars().all()
    assert acts == ["connect", "schedule", "schedule-off", "schedule"]
