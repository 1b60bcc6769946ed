"""The rows that the OneRoster provider serves: kept beside what is published, and stamped when they can be seen."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Unavailable
from gateway.served import COLLECTIONS, OF_KIND, Collection
from gateway.store.database import STEADY, Store, together

UNSTAMPED = "infinity"
"""The time of a row whose transaction has not said yet when it ends."""
FOLLOWED = (*OF_KIND, "relationship")
"""The kinds whose changes move what is served."""


@dataclass(frozen=True)
class State:
    """How far the rows of a district follow its changes. `number` counts the projections that changed something, `at`
    is the time of the last; `everything`: nothing is known yet, or all of it is to be looked at anew."""

    xid: int
    seq: int
    number: int
    at: datetime | None
    everything: bool
    restamp: bool

    @property
    def first(self) -> bool:
        """Whether nobody can have read anything yet."""
        return self.at is None


@dataclass(frozen=True)
class Place:
    """A place in the change log, the last publication up to it, and whether that is all there is."""

    xid: int
    seq: int
    publication: int
    complete: bool


async def reading(c: AsyncConnection, district: int) -> tuple[int, datetime]:
    """Before anything that is served is read in this transaction, each statement of which must see what is committed:
    the number and the time of what is there. Whoever asked at that time or later sees it. Unavailable while nothing is
    ready to be served yet."""
    await steady(c, district)
    [rows] = await together(c, (f"SELECT p.number, p.at FROM projection p WHERE {READY}", {}))
    if not rows:
        raise not_ready()
    return rows[0].number, rows[0].at


async def steady(c: AsyncConnection, district: int) -> None:
    """Until this transaction ends no projection is committed, so what is read in it from now on fits together."""
    await together(c, (f"SELECT {STEADY}", {"district": district}))


def not_ready() -> Unavailable:
    return Unavailable(
        "not-served-yet",
        "What this district has published is being made ready to be served.",
        "Ask again in some minutes; `planbridge serve status` shows how far it is.",
    )


READY = "p.at IS NOT NULL AND NOT p.restamp"
"""SQL: of a projection p. In a restored database what is reached goes by what families and the district said until the
backup."""


@asynccontextmanager
async def projecting(store: Store, district: int) -> AsyncIterator[AsyncConnection]:
    """The district as it is at one moment, for the only one who writes what is served. Purges wait for it, and it for
    them: it must not write again what it read of somebody before they were purged."""
    async with store.engine.connect() as connection:
        c = await connection.execution_options(isolation_level="REPEATABLE READ")
        async with c.begin():  # a lock of the session: the moment that is looked at begins once it is had
            await c.execute(text("SELECT pg_advisory_lock(hashtext('planbridge.project'), :d)"), {"d": district})
        try:
            async with c.begin():
                await c.execute(text("SELECT set_config('planbridge.district', :d, true)"), {"d": str(district)})
                await c.execute(text(_WORKING_TABLE))
                yield c
        finally:
            if not c.invalidated:
                async with c.begin():
                    await c.execute(
                        text("SELECT pg_advisory_unlock(hashtext('planbridge.project'), :d)"), {"d": district}
                    )


async def ready(c: AsyncConnection) -> bool:
    """Whether anything is served yet."""
    return bool(await c.scalar(text("SELECT EXISTS (SELECT FROM projection WHERE at IS NOT NULL)")))


async def alone(c: AsyncConnection, district: int) -> None:
    """Keep anybody from writing what is served until this transaction ends."""
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.project'), :d)"), {"d": district})


_WORKING_TABLE = (
    'CREATE TEMP TABLE projecting (kind text COLLATE "C", round int, id uuid, PRIMARY KEY (kind, round, id)) '
    "ON COMMIT DROP"
)


async def state(c: AsyncConnection, district: int) -> State:
    await c.execute(
        text("INSERT INTO projection (district_id, again) VALUES (:district, true) ON CONFLICT DO NOTHING"),
        {"district": district},
    )
    row = (
        await c.execute(
            text(
                "SELECT CAST(p.xid AS text) AS xid, p.seq, p.number, p.at, p.restamp, "
                "  p.again OR p.followed_at < d.history_from AS everything "
                "FROM projection p JOIN district d ON d.id = p.district_id WHERE p.district_id = :district"
            ),
            {"district": district},
        )
    ).one()
    return State(int(row.xid), row.seq, row.number, row.at, bool(row.everything), row.restamp)


# A place that this server has not reached yet is one of the server that was before a restore.
_AFTER = (
    "(xid, seq) > (CASE WHEN CAST(:xid AS xid8) < pg_snapshot_xmax(pg_current_snapshot()) "
    "THEN CAST(:xid AS xid8) ELSE '0' END, :seq)"
)
_SETTLED = "xid < pg_snapshot_xmin(pg_current_snapshot())"


async def note_changes(c: AsyncConnection, now: State) -> Place:
    """Note every entity that changed since then, or every one there is; returns up to where."""
    values = {"xid": str(now.xid), "seq": now.seq, "kinds": list(FOLLOWED)}
    last = (
        await c.execute(
            text(
                f"SELECT CAST(xid AS text) AS xid, seq FROM change WHERE {_AFTER} AND {_SETTLED} "
                "ORDER BY change.xid DESC, seq DESC LIMIT 1"
            ),
            values,
        )
    ).one_or_none()
    xid, seq = (int(last.xid), int(last.seq)) if last else (now.xid, now.seq)
    if now.everything:
        await c.execute(
            text("INSERT INTO projecting SELECT kind, 0, id FROM entity WHERE kind = ANY(:kinds)"),
            {"kinds": list(OF_KIND)},
        )
        for collection in COLLECTIONS.values():
            await c.execute(
                text(
                    f"INSERT INTO projecting SELECT :kind, 0, entity_id FROM {collection.table} WHERE NOT gone "
                    "UNION SELECT :kind, 0, entity_id FROM served_gap WHERE collection = :name ON CONFLICT DO NOTHING"
                ),
                {"kind": collection.kind, "name": collection.name},
            )
    else:
        await c.execute(
            text(
                "INSERT INTO projecting SELECT DISTINCT kind, 0, entity_id FROM change "
                f"WHERE {_AFTER} AND {_SETTLED} AND kind = ANY(:kinds)"
            ),
            values,
        )
    await c.execute(text("ANALYZE projecting"))
    rest = {"xid": str(xid), "seq": seq}
    complete = not await c.scalar(text(f"SELECT EXISTS (SELECT FROM change WHERE {_AFTER})"), rest)
    newest = await c.scalar(text("SELECT max(id) FROM publication"))
    return Place(xid, seq, int(newest or 0), complete)


async def end(
    c: AsyncConnection, district: int, now: State, place: Place, changed: Iterable[Collection], *, moved: bool
) -> tuple[datetime | None, dict[str, int]]:
    """The last statements: whatever was written is true from now on, and nobody reads meanwhile. Returns the time, or
    None where nothing changed (`moved`: something that is served with it did), and how many rows of each collection."""
    rows = {}
    touched = list(COLLECTIONS.values()) if now.restamp else list(changed)
    values: dict[str, Any] = {
        "district": district,
        "xid": str(place.xid),
        "seq": place.seq,
        "publication": place.publication,
        "complete": place.complete,
        "at": None,
        "moved": False,
    }
    if touched or moved or now.first:
        await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.served'), :district)"), values)
        values["at"] = await c.scalar(
            text(
                "SELECT greatest(clock_timestamp(), at + interval '1 microsecond') FROM projection "
                "WHERE district_id = :district"
            ),
            values,
        )
        values["moved"] = True
        for collection in touched:
            if now.first:
                rows[collection.name] = int(str(await c.scalar(text(f"SELECT count(*) FROM {collection.table}"))))
                continue
            which = "" if now.restamp else " WHERE at = 'infinity'"
            done = await c.execute(text(f"UPDATE {collection.table} SET at = :at{which}"), values)
            rows[collection.name] = done.rowcount
    await c.execute(text(_FOLLOWED_UP_TO), values)
    at: datetime | None = values["at"]
    return at, rows


_FOLLOWED_UP_TO = """
    UPDATE projection SET xid = CAST(:xid AS xid8), seq = :seq, followed_at = clock_timestamp(), failed_at = NULL,
        again = false, restamp = false, at = coalesce(CAST(:at AS timestamptz), at),
        number = number + CASE WHEN :moved THEN 1 ELSE 0 END,
        publication = CASE WHEN :complete THEN :publication ELSE publication END
    WHERE district_id = :district
"""


async def note_publication(c: AsyncConnection, publication: int, kinds: Iterable[str]) -> None:
    """Note what one publication of this transaction moved of these kinds."""
    await c.execute(text(_WORKING_TABLE))
    await c.execute(
        text(
            "INSERT INTO projecting SELECT DISTINCT kind, 0, entity_id FROM change "
            "WHERE publication = :publication AND kind = ANY(:kinds)"
        ),
        {"publication": publication, "kinds": list(kinds)},
    )


async def settle(c: AsyncConnection, district: int, changed: Iterable[Collection]) -> datetime:
    """Let what this transaction wrote of these be seen once it is committed, and nobody reads meanwhile. How far the
    change log was followed stays as it is."""
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.served'), :d)"), {"d": district})
    at: datetime = (
        await c.execute(
            text(
                "UPDATE projection SET number = number + 1, "
                "  at = greatest(clock_timestamp(), at + interval '1 microsecond') "
                "WHERE district_id = :d RETURNING at"
            ),
            {"d": district},
        )
    ).scalar_one()
    for collection in changed:
        await c.execute(text(f"UPDATE {collection.table} SET at = :at WHERE at = 'infinity'"), {"at": at})
    return at


async def ask_again(c: AsyncConnection, district: int) -> None:
    """Have everything looked at anew the next time."""
    await c.execute(
        text(
            "INSERT INTO projection (district_id, again) VALUES (:district, true) "
            "ON CONFLICT (district_id) DO UPDATE SET again = true"
        ),
        {"district": district},
    )


async def look_anew(c: AsyncConnection) -> None:
    """The same, where anything is served at all."""
    await c.execute(text("UPDATE projection SET again = true"))


async def note_failure(store: Store, district: int) -> None:
    """It is not tried again at once."""
    async with store.transaction(district) as c:
        await c.execute(
            text(
                "INSERT INTO projection (district_id, again, failed_at) VALUES (:district, true, now()) "
                "ON CONFLICT (district_id) DO UPDATE SET failed_at = now()"
            ),
            {"district": district},
        )


async def due(store: Store) -> list[int]:
    """The districts in which something was published since, or a day began with which agreements may begin or end, and
    of which somebody may ask; a hint."""
    async with store.owner.begin() as c:
        rows = await c.execute(
            text(
                "SELECT d.id FROM district d LEFT JOIN projection p ON p.district_id = d.id "
                "WHERE (p.district_id IS NOT NULL OR EXISTS (SELECT FROM client n WHERE n.district_id = d.id "
                "  AND n.revoked_at IS NULL AND CAST(n.scopes AS text) LIKE '%purl.imsglobal.org/spec/or/%') "
                "  OR EXISTS (SELECT FROM vendor_agreement a WHERE a.district_id = d.id AND a.ended_at IS NULL)) "
                "AND (coalesce(p.again, true) OR p.followed_at < current_date "
                "  OR EXISTS (SELECT FROM publication q WHERE q.district_id = d.id AND q.id > p.publication)) "
                "AND d.suspended_at IS NULL "
                "AND coalesce(p.failed_at < now() - interval '5 minutes', true) ORDER BY d.id"
            )
        )
        return list(rows.scalars())


@dataclass(frozen=True)
class Status:
    """How far what is served follows what is published. `behind`: publications that are not in it yet, and `since`,
    when the first of them was; `counts`: rows by collection, and how many of them are gone; `gaps`: what is left out
    (`whole`), or lacks a field; `failed_at`: the last try failed then, by a fault of ours."""

    number: int
    at: datetime | None
    followed_at: datetime | None
    failed_at: datetime | None
    behind: int
    since: datetime | None
    counts: list[dict[str, Any]]
    gaps: list[dict[str, Any]]


async def status(c: AsyncConnection) -> Status:
    row = (
        await c.execute(
            text(
                "SELECT p.number, p.at, p.followed_at, p.failed_at, count(q.id) AS behind, min(q.at) AS since "
                "FROM (VALUES (1)) one LEFT JOIN projection p ON true "
                "LEFT JOIN publication q ON q.id > coalesce(p.publication, 0) "
                "GROUP BY 1, 2, 3, 4"
            )
        )
    ).one()
    counts = await c.execute(
        text(
            " UNION ALL ".join(
                f"SELECT '{one.name}' AS collection, count(*) FILTER (WHERE NOT gone) AS served, "
                f"count(*) FILTER (WHERE gone) AS gone FROM {one.table}"
                for one in COLLECTIONS.values()
            )
        )
    )
    gaps = await c.execute(
        text(
            "SELECT collection, field, whole, target IS NOT NULL AS refers, count(DISTINCT entity_id) AS records "
            "FROM served_gap GROUP BY 1, 2, 3, 4 ORDER BY 1, 3 DESC, 2, 4"
        )
    )
    return Status(
        row.number or 0,
        row.at,
        row.followed_at,
        row.failed_at,
        row.behind,
        row.since,
        [dict(one._mapping) for one in counts],
        [dict(one._mapping) for one in gaps],
    )
