"""The chain of acts: whatever is changed past the program is found, and a lawful purge is no break."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import jobs
from gateway.store import chain, purges, reading, registers
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act
from tests.store.school import NUMBER, School

SECOND = Actor("counselor@district.example.org", "coordinator")


@pytest.fixture
async def acts(store: Store, district: int, actor: Actor) -> AsyncIterator[int]:
    """A district with four acts, sealed."""
    async with store.transaction(district) as c:
        for n in range(4):
            await log_act(c, district, actor, "pause", str(n), {"because": f"reason {n}"})
    await jobs.tick(store)
    yield district


async def change(store: Store, statement: str, district: int) -> None:
    """Past the program, as whoever owns the database can."""
    async with store.owner.begin() as c:
        await c.execute(text(statement), {"d": district})


async def first(store: Store, district: int, *heads: str) -> tuple[int | None, str, str]:
    found = await chain.verify(store, district, heads)
    one = found.breaks[0]
    return one.entry, one.table, one.what


async def test_what_was_done_is_sealed_by_the_next_tick(store: Store, acts: int, actor: Actor) -> None:
    found = await chain.verify(store, acts)
    assert (found.entries, found.waiting, list(found.breaks)) == (4, 0, [])
    assert found.head == await chain.head(store, acts)
    async with store.transaction(acts) as c:
        await log_act(c, acts, actor, "resume", "1", {})
    assert (await chain.verify(store, acts)).waiting == 1
    assert acts in await chain.waiting(store)
    await jobs.tick(store)
    assert (await chain.verify(store, acts)).entries == 5
    assert acts not in await chain.waiting(store)


NTH = "(SELECT min(seq) FROM act WHERE district_id = :d)"
CHANGES = {
    "a byte of a detail": (f'UPDATE act SET detail = \'{{"because": "reason  1"}}\' WHERE seq = {NTH} + 1', 2, "act"),
    "only its spelling": (f'UPDATE act SET detail = \'{{"because":"reason 1"}}\' WHERE seq = {NTH} + 1', 2, "act"),
    "an actor": (f"UPDATE act SET actor = '{{}}' WHERE seq = {NTH} + 2", 3, "act"),
    "when": (f"UPDATE act SET at = at - interval '1 microsecond' WHERE seq = {NTH}", 1, "act"),
    "a row is gone": (f"DELETE FROM act WHERE seq = {NTH} + 1", 2, "act"),
    "an entry is gone": ("DELETE FROM chain WHERE district_id = :d AND n = 2", 3, "act"),
    "an entry says other": (
        "UPDATE chain SET content_sha256 = repeat('a', 64) WHERE district_id = :d AND n = 3",
        3,
        "act",
    ),
    "two changed places": (
        "UPDATE chain SET n = -1 WHERE district_id = :d AND n = 2; UPDATE chain SET n = 2 WHERE district_id = :d "
        "AND n = 3; UPDATE chain SET n = 3 WHERE district_id = :d AND n = -1",
        2,
        "act",
    ),
    "called purged": (
        f"DELETE FROM act WHERE seq = {NTH} + 1; UPDATE chain SET salt = NULL, gone_by = 'me' "
        "WHERE district_id = :d AND n = 2",
        None,
        "",
    ),
    "gone before it was sealed": (
        "INSERT INTO act (district_id, actor, act, subject, detail) VALUES (:d, '{}', 'x', 'x', '{}'); "
        "DELETE FROM act WHERE district_id = :d AND act = 'x'",
        5,
        "act",
    ),
    "put in beside the queue": (
        "ALTER TABLE act DISABLE TRIGGER to_seal; INSERT INTO act (district_id, actor, act, subject, detail) "
        "VALUES (:d, '{}', 'x', 'x', '{}'); ALTER TABLE act ENABLE TRIGGER to_seal",
        None,
        "act",
    ),
    "only the entries cut off": ("DELETE FROM chain WHERE district_id = :d AND n > 2", None, "act"),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_past_the_program_is_found(store: Store, acts: int, what: str) -> None:
    statements, entry, table = CHANGES[what]
    for statement in statements.split("; "):
        await change(store, statement, acts)
    await jobs.seal(store)
    assert (await first(store, acts))[:2] == (entry, table)


async def test_a_cut_off_end_is_found_by_the_head_that_was_kept(store: Store, acts: int) -> None:
    kept = await chain.head(store, acts)
    assert not (await chain.verify(store, acts, [kept])).breaks
    await change(store, f"DELETE FROM act WHERE seq > {NTH} + 1 AND district_id = :d", acts)
    await change(store, "DELETE FROM chain WHERE district_id = :d AND n > 2", acts)
    assert not (await chain.verify(store, acts)).breaks, "nothing inside the database tells of it"
    assert await first(store, acts, kept) == (4, "", "the chain ends before this entry, which was kept")
    async with store.transaction(acts) as c:
        for n in range(4):
            await log_act(c, acts, SECOND, "pause", str(n), {})
    await jobs.tick(store)
    assert await first(store, acts, kept) == (4, "act", "the entry is another one than was kept")


async def test_the_application_cannot_change_the_chain(store: Store, acts: int) -> None:
    for statement in ("UPDATE chain SET own = ''", "DELETE FROM chain"):
        with pytest.raises(Exception, match="permission denied"):
            async with store.transaction(acts) as c:
                await c.execute(text(statement))


async def test_each_district_has_a_chain_of_its_own(store: Store, acts: int, actor: Actor) -> None:
    other = await registers.district(store, "beside-the-chain")
    async with store.transaction(other) as c:
        await log_act(c, other, actor, "pause", "1", {})
    await jobs.tick(store)
    assert (await chain.verify(store, other)).entries == 1
    assert (await chain.verify(store, acts)).entries == 4


PLANNED = (
    "INSERT INTO plan (id, district_id, student_id, state, content) VALUES "
    "('00000000-0000-4000-8000-0000000000aa', :d, CAST(:id AS uuid), 'finalized', '{}')",
    "INSERT INTO plan_event (district_id, plan_id, act, actor, detail) VALUES "
    "(:d, '00000000-0000-4000-8000-0000000000aa', 'created', '{}', '{}')",
    "INSERT INTO plan_version (plan_id, version, district_id, content, sha256, finalized_at, finalized_by, "
    " guard_report) VALUES ('00000000-0000-4000-8000-0000000000aa', 1, :d, '{}', '', now(), '{}', '[]')",
    "INSERT INTO identity_decision (district_id, act, entity_id, other_id, actor, because, run_id) VALUES "
    "(:d, 'merge', '00000000-0000-4000-8000-000000000009', CAST(:id AS uuid), '{}', 'the same', 1)",
)


async def test_a_purge_takes_rows_and_salts_and_is_no_break(
    store: Store, district: int, actor: Actor, tmp_path: Path
) -> None:
    school = School(tmp_path / "roster", store=store, district=district, actor=actor)
    await school.connect()
    await school.pull()
    [student] = await reading.find_students(store, district, NUMBER)
    async with store.owner.begin() as c:
        for statement in PLANNED:
            await c.execute(text(statement), {"d": district, "id": student["id"]})
    kept = await chain.head(store, district)
    done = await purges.purge_student(store, district, student["id"], actor, "The family asked.")
    await jobs.seal(store)
    found = await chain.verify(store, district, [kept])
    assert list(found.breaks) == []
    assert found.purged == 3
    assert await entries(store, district) == [("identity_decision", None), ("plan_event", None), ("plan_version", None)]

    # Who removes a row more, and calls it purged by that purge, is found; so is who forgets the purge itself.
    await change(store, f"UPDATE chain SET gone_by = '{done.id}' WHERE district_id = :d AND n = 1", district)
    assert "no act on record purged" in (await first(store, district))[2]
    await change(store, "UPDATE chain SET gone_by = NULL WHERE district_id = :d AND n = 1", district)
    assert not (await chain.verify(store, district)).breaks
    await change(
        store,
        "DELETE FROM chain e USING act a WHERE e.district_id = :d AND e.tab = 'act' AND e.ref = CAST(a.seq AS text) "
        "AND a.act = 'purge-student' AND a.district_id = :d",
        district,
    )
    await change(store, "DELETE FROM act WHERE district_id = :d AND act = 'purge-student'", district)
    whats = [one.what for one in (await chain.verify(store, district)).breaks]
    assert "the file knows a purge that no act tells of" in whats


async def entries(store: Store, district: int) -> list[tuple[str, Any]]:
    async with store.transaction(district) as c:
        rows = await c.execute(text("SELECT tab, salt FROM chain WHERE gone_by IS NOT NULL ORDER BY tab"))
        return [(row.tab, row.salt) for row in rows]


async def test_every_table_that_names_an_actor_is_sealed_or_says_why_not(store: Store) -> None:
    async with store.owner.connect() as c:
        rows = await c.execute(
            text(
                "SELECT t.relname FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid WHERE a.attname = 'actor' "
                "AND t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace"
            )
        )
        named = set(rows.scalars())
        triggers = await c.execute(
            text("SELECT CAST(CAST(tgrelid AS regclass) AS text) FROM pg_trigger WHERE tgname = 'to_seal'")
        )
        assert set(triggers.scalars()) == set(chain.SEALED)
    assert named - set(chain.SEALED) - set(chain.APART) == set(), "name these in gateway/store/chain.py"
    assert not set(chain.SEALED) & set(chain.APART)
