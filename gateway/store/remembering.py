"""What a restored database forgot: the purges that the file knows are done again before anything is served."""

from collections.abc import Sequence

from sqlalchemy import text

from gateway.errors import ConfigError
from gateway.store import marks, purges, traces
from gateway.store.database import Store
from gateway.store.purge_file import Line, Purged
from gateway.store.registers import Actor, log_act

US = Actor("Planbridge", "system")


async def catch_up(store: Store) -> None:
    """Bring the database and the file of purges to the same: what one lacks, it learns from the other.

    ConfigError when a purge was made with a key that is not here: nobody could tell then whom it was about.
    """
    lines = store.purges.read()
    async with store.owner.connect() as c:
        rows = await c.execute(text("SELECT CAST(id AS text), lifted IS NOT NULL AS lifted FROM purge"))
        lifted: dict[str, bool] = {row.id: row.lifted for row in rows}
        kept = list((await c.execute(text("SELECT DISTINCT mark FROM purged_mark"))).scalars())
    _refuse_lost_keys(store, [*kept, *(mark for line in lines if isinstance(line, Purged) for _, mark in line.marks)])
    done = [line.id for line in lines if not lifted.get(line.id, False) and await _again(store, line)]
    if done:
        await purges.finish(store, done)
    if missing := lifted.keys() - {line.id for line in lines if isinstance(line, Purged)}:
        store.purges.append(await _known(store, sorted(missing)))


def _refuse_lost_keys(store: Store, kept: Sequence[str]) -> None:
    if store.marks.unreadable(kept):
        raise ConfigError(
            "purge-keys-missing",
            "Somebody was purged under an encryption key that is not here, and could come back unnoticed.",
            "Put the key that was used then behind the present one, in PLANBRIDGE_KEYS or the key file.",
        )


async def _again(store: Store, line: Line) -> bool:
    """Do one purge, or its end, that the database may not know; True if traces may have been removed."""
    async with store.owner.begin() as c:
        await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.remember'))"))
        if not isinstance(line, Purged):
            await purges.end(c, line)
            return False
        known = await c.scalar(text("SELECT 1 FROM purge WHERE CAST(id AS text) = :id"), {"id": line.id})
        district = await c.scalar(text("SELECT id FROM district WHERE name = :name"), {"name": line.district})
        if known or district is None:
            return False
        await traces.begin(c, district)
        theirs = set(line.marks)
        await traces.note_keys(
            c,
            district,
            lambda connection, key: any((connection, mark) in theirs for mark in store.marks.every(*marks.person(key))),
        )
        await traces.gather(c, district, store.secrets.open)
        swept = await traces.sweep(c, district)
        await purges.keep(c, district, line)
        await log_act(c, district, US, "purge-again", line.id, {"rows": swept})
        return True


async def _known(store: Store, ids: Sequence[str]) -> list[Purged]:
    """Purges of the database as lines of the file."""
    async with store.owner.connect() as c:
        rows = await c.execute(
            text(
                "SELECT CAST(p.id AS text) AS id, at, what, district, subject, counts, remote, because, actor, "
                "  coalesce((SELECT json_agg(json_build_array(connection, mark)) FROM purged_mark m "
                "    WHERE m.purge_id = p.id), '[]') AS marks FROM purge p WHERE CAST(p.id AS text) = ANY(:ids) "
                "ORDER BY at"
            ),
            {"ids": list(ids)},
        )
        return [
            Purged(
                row.id, row.at, row.what, row.district, row.subject, [(n, mark) for n, mark in row.marks],
                row.counts, row.remote, row.because, row.actor,
            )
            for row in rows
        ]  # fmt: skip
