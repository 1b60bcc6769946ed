"""What has had its time is removed, everything else stays, and every pass can be shown."""

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import clock
from gateway.errors import Refused
from gateway.settings import Settings
from gateway.store import history, retention
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.store.school import School


@pytest.fixture
async def school(store: Store, district: int, actor: Actor, tmp_path: Path) -> School:
    """Pulled, with a record set aside and a record replaced."""
    made = School(tmp_path / "roster", store=store, district=district, actor=actor)
    await made.connect()
    made.row("users", "stu-other-0")["enabledUser"] = "perhaps"
    await made.pull()
    made.row("users", "stu-other-1")["givenName"] = "Maude"
    await made.pull()
    return made


async def sql(school: School, statement: str, **values: Any) -> list[Any]:
    """As the owner, of this district."""
    async with school.store.owner.begin() as c:
        done = await c.execute(text(statement), {"d": school.district} | values)
        return list(done.all()) if done.returns_rows else []


async def one(school: School, query: str, **values: Any) -> Any:
    [[value]] = await sql(school, query, **values)
    return value


PAYLOADS = {
    "payloads": ("record", "body", "fetched_at", 14),
    "payloads of replaced records": ("record_history", "body", "fetched_at", 14),
    "payloads of what was set aside": ("reject", "sealed_body", "at", 30),
}


async def test_a_payload_goes_the_day_its_time_is_over_and_not_before(school: School, settings: Settings) -> None:
    for table, column, at, days in PAYLOADS.values():
        full = f"SELECT count(*) FROM {table} WHERE district_id = :d AND {column} IS NOT NULL"
        there = await one(school, full)
        assert there > 0
        age = f"UPDATE {table} SET {at} = now() - make_interval(days => :days, hours => -1) WHERE district_id = :d"
        await sql(school, age, days=days)
        await retention.keep(school.store, settings)
        assert await one(school, full) == there
        await sql(school, age, days=days + 1)
        assert await due_now(school, settings) >= there
        await retention.keep(school.store, settings)
        assert await one(school, full) == 0
        assert await due_now(school, settings) == 0
    # What the records said stays, and the next pull of an unchanged source finds nothing new.
    run = await school.pull()
    assert {c["added"] + c["changed"] + c["gone"] for c in run["counts"]["collections"]} == {0}  # type: ignore[index]


async def due_now(school: School, settings: Settings) -> int:
    return sum(int(rule["due_now"]) for rule in await retention.shown(school.store, settings))


async def test_what_is_of_no_use_any_more_goes_at_once_or_after_its_days(school: School, settings: Settings) -> None:
    run, connection = await one(school, "SELECT max(id) FROM run WHERE district_id = :d"), school.connection
    values = {"run": run, "connection": connection}
    for statement in (
        "INSERT INTO staged (district_id, run_id, page, place, collection, key, op) "
        "VALUES (:d, :run, 1, 1, 'users', 'left', 'same')",
        "INSERT INTO preview SELECT :d, :run, 'person', gen_random_uuid(), 'added', NULL, '{}'",
        "INSERT INTO notice (district_id, event, key, message, at) VALUES "
        "(:d, 'held', 'sent', '{}', now() - interval '91 days'), (:d, 'held', 'new', '{}', now())",
        "UPDATE run SET finished_at = now() - interval '15 days' WHERE id = :run",
        "INSERT INTO client (id, district_id, name, secret_hash, scopes) VALUES (:d, :d, 'planner', '', '[]')",
        "INSERT INTO client_token (jti, client_id, scopes, expires_at, district_id) VALUES "
        "('over' || :d, :d, '[]', now() - interval '1 minute', :d), "
        "('good' || :d, :d, '[]', now() + interval '1 hour', :d)",
        "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, args, status) "
        "VALUES ('default', 'run', 'done/' || :d, '{}', 'todo'), ('default', 'run', 'waits/' || :d, '{}', 'todo')",
        "UPDATE procrastinate_jobs SET status = 'failed' WHERE lock = 'done/' || :d",
        "UPDATE procrastinate_events SET at = now() - interval '31 days' WHERE job_id IN "
        "(SELECT id FROM procrastinate_jobs WHERE lock IN ('done/' || :d, 'waits/' || :d))",
    ):
        await sql(school, statement.replace(":d", str(school.district)), **values)
    done = await retention.keep(school.store, settings)
    assert {name for name, counts in done.items() if counts["due"]} >= {
        "rows of finished runs", "previews of finished runs", "notices", "expired tokens", "finished jobs",
    }  # fmt: skip
    assert {name: counts["left"] for name, counts in done.items() if counts["left"]} == {}
    for kept in (
        "SELECT count(*) FROM notice WHERE district_id = :d",
        "SELECT count(*) FROM client_token WHERE jti IN ('good' || :d, 'over' || :d)",
        "SELECT count(*) FROM procrastinate_jobs WHERE lock IN ('done/' || :d, 'waits/' || :d)",
    ):
        assert await one(school, kept.replace(":d", str(school.district))) == 1


async def test_history_goes_but_for_the_last_thirty_runs_and_what_is_gone_is_refused(
    school: School, settings: Settings
) -> None:
    """Old enough are all; of the connection's runs the two that were pulled are the oldest."""
    first, second = [
        row.id for row in await sql(school, "SELECT id FROM run WHERE district_id = :d ORDER BY id")
    ]  # fmt: skip
    person = await one(
        school, "SELECT CAST(entity_id AS text) FROM change WHERE district_id = :d AND op = 'changed' LIMIT 1"
    )
    await sql(school, "UPDATE run SET finished_at = now() - interval '401 days' WHERE district_id = :d")
    await sql(school, "UPDATE publication SET at = now() - interval '401 days' WHERE district_id = :d")
    replaced = "SELECT count(*) FROM record_history WHERE district_id = :d"
    assert await one(school, replaced) > 0
    for n in range(29):
        await publish_nothing(school)
        if n == 27:
            await retention.keep(school.store, settings)
            assert await one(school, replaced) > 0, "thirty with this one: it can still be undone"
            async with school.store.transaction(school.district) as c:
                assert (await history.undoable(c, second)).runs[0] == second
    await publish_nothing(school)
    await retention.keep(school.store, settings)
    assert await one(school, replaced) == 0
    assert await one(school, "SELECT count(*) FROM claim_history WHERE district_id = :d") == 0
    assert await one(school, "SELECT count(*) FROM change WHERE district_id = :d") == 0
    for run in (first, second):
        with pytest.raises(Refused, match="is gone") as refusal:
            async with school.store.transaction(school.district) as c:
                await history.undoable(c, run)
        assert refusal.value.code == "history-gone"
    long_ago = clock.now() - timedelta(days=500)
    with pytest.raises(Refused, match="is gone"):
        await history.as_of(school.store, school.district, "person", person, long_ago)
    then = await history.as_of(school.store, school.district, "person", person, clock.now() - timedelta(days=400))
    assert then is not None and then["given_name"] == "Maude"


async def test_what_a_connection_had_whose_place_was_taken_has_its_time_too(school: School, settings: Settings) -> None:
    """Not a year less, because the runs of the other one began only today."""
    kept = [f"SELECT count(*) FROM {table} WHERE district_id = :d" for table in ("record_history", "claim_history")]
    kept.append("SELECT count(*) FROM reject WHERE district_id = :d")
    await school.succeed("sis-next-year")
    await school.succeed("sis-after-that")
    before = [await one(school, query) for query in kept]
    assert 0 not in before
    await retention.keep(school.store, settings)
    assert [await one(school, query) for query in kept] == before
    await sql(school, "UPDATE run SET finished_at = now() - interval '401 days' WHERE connection_id <> :n AND "
              "district_id = :d", n=school.connection)  # fmt: skip
    await retention.keep(school.store, settings)
    assert [await one(school, query) for query in kept[:2]] == [0, 0]
    published = "JOIN publication p ON p.id = t.publication JOIN run u ON u.id = p.run_id"
    old = f"SELECT count(*) FROM change t {published} WHERE u.connection_id <> :n AND t.district_id = :d"
    assert await one(school, old, n=school.connection) == 0, "nobody can undo the other ones' runs any more"


async def test_where_history_begins_never_moves_back(school: School, settings: Settings) -> None:
    """Two connections, of which the one forgets last year after the other has forgotten this one."""
    often = school.connection
    await school.connect("seldom")
    await sql(school, "UPDATE run SET finished_at = now() - interval '900 days' WHERE district_id = :d")
    await sql(school, "UPDATE publication SET at = now() - interval '900 days' WHERE district_id = :d")
    for n in range(31):
        await publish_nothing(school, often, ago=500 - n)
    begins = "SELECT history_from FROM district WHERE id = :d"
    await retention.keep(school.store, settings)
    first = await one(school, begins)
    for n in range(31):
        await publish_nothing(school, ago=700 - n)
    await retention.keep(school.store, settings)
    assert first is not None and await one(school, begins) == first


async def publish_nothing(school: School, connection: int | None = None, ago: int = 0) -> None:
    await sql(
        school,
        "WITH r AS (INSERT INTO run (district_id, connection_id, state, actor, finished_at) "
        "  VALUES (:d, :n, 'published', '{}', now() - interval '401 days') RETURNING id), "
        "p AS (INSERT INTO publication (district_id, run_id, at) SELECT :d, id, now() - make_interval(days => :ago) "
        "  FROM r RETURNING id, run_id) SELECT 1 FROM p",
        n=connection or school.connection,
        ago=ago,
    )
    await sql(
        school,
        "UPDATE run r SET publication = p.id FROM publication p WHERE p.run_id = r.id AND r.publication IS NULL "
        "AND r.district_id = :d",
    )


async def test_of_many_workers_one_keeps_time_once_an_hour(store: Store, settings: Settings) -> None:
    async with store.owner.begin() as c:
        await c.execute(text("UPDATE retention_pass SET at = at - interval '61 minutes'"))
        before = await c.scalar(text("SELECT count(*) FROM retention_pass"))
    await asyncio.gather(*(retention.keep_hourly(store, settings) for _ in range(3)))
    await retention.keep_hourly(store, settings)
    async with store.owner.connect() as c:
        assert await c.scalar(text("SELECT count(*) FROM retention_pass")) == before + 1
    assert all(rule["last_pass"] is not None for rule in await retention.shown(store, settings))


async def test_old_log_files_go(store: Store, settings: Settings) -> None:
    old, new = (settings.home / "postgres" / "cluster" / "log" / name for name in ("old.log", "new.log"))
    old.parent.mkdir(parents=True, exist_ok=True)  # there is none where the database is not the embedded one
    for path, days in ((old, 91), (new, 89)):
        path.write_text("a line")
        os.utime(path, (time.time(), time.time() - days * 86_400))
    done = await retention.keep(store, settings)
    assert (old.exists(), new.exists()) == (False, True)
    assert done[retention.LOG_FILES] == {"due": 1, "left": 0}
    new.unlink()
