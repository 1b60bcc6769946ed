"""What a restored database forgot: what the file of purges knows is done again before anything is served."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError
from gateway.store import denials, districts, gathering, marks, purges, standing, traces
from gateway.store.database import Store
from gateway.store.purge_file import Lifted, Line, Purged, Stood, StoodDown
from gateway.store.registers import Actor, log_act

US = Actor("Planbridge", "system")


async def catch_up(store: Store) -> None:
    """Bring the database and the file of purges to the same: what one lacks, it learns from the other.

    ConfigError when a purge was made with a key that is not here: nobody could tell then whom it was about.
    """
    await copy_out(store)
    lines = store.purges.read()
    async with store.owner.connect() as c:
        rows = await c.execute(text("SELECT CAST(id AS text), lifted IS NOT NULL AS lifted FROM purge"))
        lifted: dict[str, bool] = {row.id: row.lifted for row in rows}
        kept = list((await c.execute(text("SELECT DISTINCT mark FROM purged_mark"))).scalars())
        stands = await standing.known(c)
    kept += [mark for line in lines if isinstance(line, Purged) for _, mark in line.marks]
    kept += [mark for line in lines if isinstance(line, Stood) for mark in line.subject]
    _refuse_lost_keys(store, kept)
    done = [line.id for line in lines if not _is_known(line, lifted, stands) and await _again(store, line)]
    if done:
        await purges.finish(store, done)


def _is_known(line: Line, lifted: Mapping[str, bool], stands: Mapping[str, bool]) -> bool:
    known = stands if isinstance(line, Stood | StoodDown) else lifted
    return line.id in known if isinstance(line, Purged | Stood) else known.get(line.id, False)


async def copy_out(store: Store) -> None:
    """Add to the file what only the database knows."""
    lines = store.purges.read()
    async with store.owner.connect() as c:
        if await c.scalar(text("SELECT to_regclass('purge')")) is None:
            return
        kept = await _kept(c)
    known = {(type(line), line.id) for line in lines}
    if missing := [line for line in kept if (type(line), line.id) not in known]:
        store.purges.append(missing)


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
        if isinstance(line, Stood | StoodDown):
            if (where := await standing.again(store, c, line, US)) is not None:
                await denials.again(store, c, where, line)
            return False
        if isinstance(line, Lifted):
            await purges.end(c, line)
            return False
        known = await c.scalar(text("SELECT 1 FROM purge WHERE CAST(id AS text) = :id"), {"id": line.id})
        district = await c.scalar(
            text("SELECT id FROM district WHERE name = :name AND created_at < :at"),
            {"name": line.district, "at": line.at},
        )
        if known or district is None:
            return False
        if line.what == "district":
            await districts.sweep(c, district)
            await purges.keep(c, district, line)
            return True
        await gathering.begin(c, district)
        theirs = set(line.marks)
        await gathering.note_keys(
            c,
            district,
            lambda connection, key: any((connection, mark) in theirs for mark in store.marks.every(*marks.person(key))),
        )
        await gathering.gather(c, district, store.secrets.open)
        sealed = await traces.let_go(c, district, line.id)
        swept = await traces.sweep(c, district)
        await purges.keep(c, district, line)
        await log_act(c, district, US, "purge-again", line.id, {"rows": swept, "sealed": sealed})
        return True


async def _kept(c: AsyncConnection) -> list[Line]:
    """What the database knows, as lines of the file."""
    rows = await c.execute(
        text(
            "SELECT CAST(p.id AS text) AS id, at, what, district, subject, counts, remote, because, actor, "
            "  coalesce((SELECT json_agg(json_build_array(connection, mark)) FROM purged_mark m "
            "    WHERE m.purge_id = p.id), '[]') AS marks, CAST(lifted AS text) AS lifted FROM purge p ORDER BY at"
        )
    )
    found: list[Line] = []
    for row in rows:
        found.append(
            Purged(
                row.id, row.at, row.what, row.district, row.subject, [(name, mark) for name, mark in row.marks],
                row.counts, row.remote, row.because, row.actor,
            )
        )  # fmt: skip
        if row.lifted is not None:
            found.append(msgspec.json.decode(row.lifted, type=Lifted))
    return [*found, *await standing.kept(c)]
