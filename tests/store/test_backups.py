"""A backup goes from one database into another on the same server, whatever server that is."""

from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from gateway import clock
from gateway.errors import Refused
from gateway.settings import Settings
from gateway.store import (
    accounts,
    automation,
    backups,
    clients,
    districts,
    events,
    grants,
    history,
    purges,
    reading,
    registers,
    sessions,
)
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.postgres import SECOND
from tests.store.school import NUMBER, School

TABLES = ("entity", "record", "claim", "link", "change", "run", "district")


async def contents(store: Store) -> dict[str, str]:
    """Table -> hash of its rows, apart from the name of the feed of events, which is another one after a restore."""
    row = "CAST(to_jsonb(t) - 'feed' AS text)"
    rows = f"md5(coalesce(string_agg({row}, '' ORDER BY {row}), ''))"
    async with store.owner.connect() as c:
        return {table: str(await c.scalar(text(f"SELECT {rows} FROM {table} t"))) for table in TABLES}


async def test_what_is_backed_up_is_restored_into_an_empty_database_and_into_no_other(
    store: Store, settings: Settings, district: int, actor: Actor, tmp_path: Path
) -> None:
    school = School(tmp_path / "roster", store=store, district=district, actor=actor)
    await school.connect()
    await school.pull()
    file = tmp_path / "all.dump"
    made = await backups.backup(store, file)
    assert made.rows["entity"] > 10
    assert {one.stat().st_mode & 0o777 for one in (file, backups.manifest_of(file))} == {0o600}

    target = settings.model_copy(update={"database_url": SecretStr(second(store))})
    restored, found = await backups.restore(target, file)
    assert found == made
    assert await contents(restored) == await contents(store)
    async with store.transaction(district) as c, restored.transaction(district) as there:
        # Places given before the restore lead nowhere: neither in this database nor in another one.
        feeds = [
            await one.scalar(text("SELECT feed FROM district WHERE id = :id"), {"id": district}) for one in (c, there)
        ]
        heads = [(await events.head(one, district)).epoch for one in (c, there)]
    assert len(set(feeds)) == len(set(heads)) == 2
    with pytest.raises(Refused, match="There is a database already"):
        await restored.owner.dispose()
        await restored.engine.dispose()
        await backups.restore(target, file)
    async with restored.owner.begin() as c:
        await c.execute(text("DELETE FROM change"))
        with pytest.raises(Refused, match="others are connected"):
            await backups.restore(target, file, replace=True)
    await restored.close()
    again, _ = await backups.restore(target, file, replace=True)
    assert await contents(again) == await contents(store)
    await again.close()


async def test_a_backup_from_before_another_connection_took_the_place_honours_a_purge_of_today(
    store: Store, settings: Settings, district: int, actor: Actor, tmp_path: Path
) -> None:
    school = School(tmp_path / "roster", store=store, district=district, actor=actor)
    await school.connect()
    await school.pull()
    file = tmp_path / "before.dump"
    await backups.backup(store, file)
    await school.succeed("sis-next-year")
    [student] = await reading.find_students(store, district, NUMBER)
    await purges.purge_student(store, district, student["id"], actor, "The family asked.")

    target = settings.model_copy(update={"database_url": SecretStr(second(store))})
    restored, _ = await backups.restore(target, file, replace=True)
    try:
        assert await reading.find_students(restored, district, NUMBER) == []
        school.store, school.connection = restored, 0
        [school.connection] = [one.id for one in await registers.connections(restored, district) if one.name == "sis"]
        assert (await school.pull())["state"] == "published"
        assert await reading.find_students(restored, district, NUMBER) == []
    finally:
        await restored.close()


async def test_links_that_nobody_had_used_then_let_nobody_in_after_a_restore(
    store: Store, settings: Settings, tmp_path: Path, actor: Actor
) -> None:
    """They may have been used, or ended because somebody else saw them, since the backup was made."""
    token = await districts.add(store, f"district of {tmp_path.name}", actor)
    file = tmp_path / "before.dump"
    await backups.backup(store, file)
    assert await districts.redeem(store, token) is not None
    target = settings.model_copy(update={"database_url": SecretStr(second(store))})
    restored, _ = await backups.restore(target, file, replace=True)
    try:
        assert await districts.redeem(restored, token) is None
    finally:
        await restored.close()


async def test_who_asks_what_changed_by_a_place_of_the_server_that_was_lost_is_told_everything(
    store: Store, district: int, actor: Actor, tmp_path: Path
) -> None:
    """A new server counts its transactions from the beginning, and would be behind that place for a year."""
    school = School(tmp_path / "roster", store=store, district=district, actor=actor)
    await school.connect()
    await school.pull()
    everything = await history.changes_since(store, district)
    assert len(everything.changes) > 10
    assert await history.changes_since(store, district, (10**15, everything.place[1])) == everything
    assert (await history.changes_since(store, district, everything.place)).changes == []


def second(store: Store) -> str:
    """Another database of the same server; its owner makes it where it may."""
    url = store.url.set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as c:
        if c.execute("SELECT 1 FROM pg_database WHERE datname = %s", [SECOND]).fetchone() is None:
            c.execute(f"CREATE DATABASE {SECOND}".encode())
    return url.set(database=SECOND).render_as_string(hide_password=False)


async def test_whoever_was_shut_out_since_the_backup_stays_out(
    store: Store, settings: Settings, district: int, actor: Actor, tmp_path: Path
) -> None:
    """And whatever let somebody in then is gone: nobody knows whether it was ended since."""
    school = School(tmp_path / "roster", store=store, district=district, actor=actor)
    await school.connect()
    await school.pull()
    [student] = await reading.find_students(store, district, NUMBER)
    person = str(student["id"])
    async with store.transaction(district) as c:
        people = await c.execute(
            text("SELECT CAST(id AS text) FROM entity WHERE kind = 'person' AND district_id = :d ORDER BY id LIMIT 3"),
            {"d": district},
        )
        ids = [person, *(id for id in people.scalars() if id != person)][:3]
    names = [f"{name}-{district}" for name in ("ann", "bea", "cyd")]
    links = [await accounts.invite(store, district, id, name, actor) for id, name in zip(ids, names, strict=True)]
    async with store.transaction(district) as c:
        await c.execute(text("UPDATE account SET password_hash = 'planted'"))
        session = await sessions.begin(c, district, person, "account", second_factor=True)
    id, secret = await clients.add(store, district, "planner", ["students.read"], actor)
    until = clock.now() + timedelta(days=1)
    automated = await automation.add(store, district, "nightly", ["runs.read"], until, actor)
    program = await clients.authenticate(store, id, secret)
    assert program is not None
    code = await grants.add_code(store, program, person, "https://a.example.org", "c" * 43, ["students.read"], True)
    allowed = await grants.take_code(store, program, code, "https://a.example.org", "c" * 43)
    assert allowed is not None
    issued = await grants.issue(store, program, allowed, allowed.scopes)
    assert issued is not None and issued.refresh is not None

    file = tmp_path / "before.dump"
    await backups.backup(store, file)
    await clients.revoke(store, district, id, actor)
    await automation.revoke(store, district, "nightly", actor)
    await accounts.reset_factor(store, district, names[0], actor)
    await accounts.suspend(store, district, names[1], "On leave.", actor)
    await accounts.suspend(store, district, names[2], "On leave.", actor)
    await accounts.resume(store, district, names[2], actor)
    target = settings.model_copy(update={"database_url": SecretStr(second(store))})
    restored, _ = await backups.restore(target, file, replace=True)
    try:
        assert await clients.authenticate(restored, id, secret) is None
        assert await sessions.found(restored, session) is None
        async with restored.transaction(district) as c:
            assert await automation.held(c, automated) is None
            assert [await accounts.opened_by(restored, c, link) for link in links] == [None] * 3
            found = [await accounts.named(restored, c, name) for name in names]
        assert [(one.password_hash, one.suspended) for one in found if one] == [
            (None, False), ("planted", True), ("planted", False)
        ]  # fmt: skip
        assert await grants.take_refresh(restored, program, issued.refresh) is None
    finally:
        await restored.close()
