"""Districts as a whole: added with a link for their first administrator, suspended, resumed, deleted for good."""

import json
import secrets
import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock
from gateway.errors import ConfigError, Refused
from gateway.store import clients, purges
from gateway.store.database import Store
from gateway.store.erasure import Erased, tables
from gateway.store.purge_file import Purged
from gateway.store.registers import Actor, log_act

LINK_HOURS = 72
EXPORT_DAYS = 7
"""How old the export may be, at most, without which a district is not deleted."""
FIRST = Actor("first administrator", "district_it")
OWN = clients.Grant("sis")
"""A program of the district's own, which needs no agreement."""


async def add(store: Store, name: str, actor: Actor) -> str:
    """A new district; returns the secret part of the link for its first administrator. ConfigError when it exists."""
    async with store.owner.begin() as c:
        made = await c.scalar(
            text(
                "INSERT INTO district (name, sealed_key) VALUES (:name, :key) ON CONFLICT (name) DO NOTHING "
                "RETURNING id"
            ),
            {"name": name, "key": store.secrets.seal(secrets.token_bytes(32))},
        )
        if made is None:
            raise ConfigError("district-exists", f"There is a district {name!r} already.", "Choose another name.")
        await log_act(c, made, actor, "district-add", name, {})
        return await _link(c, made)


async def link(store: Store, name: str, actor: Actor) -> str:
    """Another link, because the first one was lost or its time is over; earlier ones end."""
    async with store.owner.begin() as c:
        district = await _id(c, name)
        await c.execute(text("DELETE FROM first_link WHERE district_id = :d AND used_at IS NULL"), {"d": district})
        await log_act(c, district, actor, "district-link", name, {})
        return await _link(c, district)


async def _link(c: AsyncConnection, district: int) -> str:
    token = secrets.token_urlsafe(32)
    await c.execute(
        text("INSERT INTO first_link VALUES (:hash, :district, now() + make_interval(hours => :hours))"),
        {"hash": clients.fingerprint(token), "district": district, "hours": LINK_HOURS},
    )
    return token


async def redeem(store: Store, token: str) -> tuple[str, str] | None:
    """The first client of the link's district, with every scope: its id and secret, once. None when the link is
    unknown, used or too old."""
    values = {"hash": clients.fingerprint(token)}
    async with store.transaction() as c:
        district = await c.scalar(text("SELECT district_id FROM first_link WHERE token_hash = :hash"), values)
    if district is None:
        return None
    async with store.transaction(district) as c:
        await refuse_suspended(c, district)
        mine = await c.scalar(
            text(
                "UPDATE first_link SET used_at = now() WHERE token_hash = :hash AND used_at IS NULL "
                "AND expires_at > now() RETURNING 1"
            ),
            values,
        )
        return await clients.add_in(c, district, FIRST.name, clients.SCOPES, FIRST, OWN) if mine else None


async def named(store: Store, name: str) -> int:
    """The id of a district. ConfigError when there is none of that name: unlike at work in it, none is made."""
    async with store.owner.connect() as c:
        return await _id(c, name)


async def _id(c: AsyncConnection, name: str) -> int:
    found = await c.scalar(text("SELECT id FROM district WHERE name = :name"), {"name": name})
    if found is None:
        raise ConfigError("district-unknown", f"There is no district {name!r}.", "`planbridge district list`.")
    return int(found)


async def listed(store: Store) -> list[dict[str, Any]]:
    """Every district, and those that were deleted: name, state, since when, why, and how much is in it."""
    async with store.owner.connect() as c:
        rows = await c.execute(
            text(
                "SELECT d.name, CASE WHEN d.suspended_at IS NULL THEN 'active' ELSE 'suspended' END AS state, "
                "  coalesce(d.suspended_at, d.created_at) AS since, d.suspended_because AS because, "
                "  (SELECT count(*) FROM connection n WHERE n.district_id = d.id) AS connections, "
                "  (SELECT count(*) FROM entity e WHERE e.district_id = d.id AND e.kind = 'person' "
                "     AND e.doc->>'population' = 'student') AS students, "
                "  (SELECT count(*) FROM plan p WHERE p.district_id = d.id) AS plans FROM district d "
                "UNION ALL SELECT p.district, 'deleted', p.at, p.because, 0, 0, 0 FROM purge p "
                "WHERE p.what = 'district' ORDER BY 1, 3"
            )
        )
        return [dict(row._mapping) for row in rows]


async def suspend(store: Store, name: str, actor: Actor, because: str) -> None:
    """Let a district rest: what runs ends, nothing begins, the API refuses its clients. Everything it has stays."""
    _refuse_empty(because)
    async with store.owner.begin() as c:
        district = await _id(c, name)
        await c.execute(
            text("UPDATE district SET suspended_at = now(), suspended_because = :because WHERE id = :district"),
            {"because": because, "district": district},
        )
        await _end_work(c, district)
        await log_act(c, district, actor, "district-suspend", name, {"because": because})


async def resume(store: Store, name: str, actor: Actor) -> None:
    """Let it work again: its schedules go on; a delivery that was parked is sent again by a person."""
    async with store.owner.begin() as c:
        district = await _id(c, name)
        await c.execute(
            text("UPDATE district SET suspended_at = NULL, suspended_because = NULL WHERE id = :district"),
            {"district": district},
        )
        await log_act(c, district, actor, "district-resume", name, {})


async def refuse_suspended(c: AsyncConnection, district: int) -> None:
    """In the transaction that would begin something. Refused with district-suspended."""
    because = await c.scalar(
        text("SELECT coalesce(suspended_because, '') FROM district WHERE id = :id AND suspended_at IS NOT NULL"),
        {"id": district},
    )
    if because is not None:
        raise Refused(
            "district-suspended", f"The district is suspended: {because}", "`planbridge district resume` ends that."
        )


_END_WORK = (
    # Nobody has to be told of what was ordered.
    "UPDATE run SET state = 'failed', told = 'failed', finished_at = now(), error_code = 'district-suspended', "
    "  error = 'The district was suspended.', exit_code = 6 "
    "WHERE district_id = :district AND state IN ('queued', 'pulling', 'resolving', 'approved')",
    "DELETE FROM staged s USING run r WHERE r.id = s.run_id AND r.district_id = :district AND r.state = 'failed'",
    "UPDATE delivery SET state = 'parked', told = true, finished_at = now(), "
    "  reason = 'The district was suspended.' WHERE district_id = :district AND state IN ('queued', 'sending')",
)


async def _end_work(c: AsyncConnection, district: int) -> None:
    """Whoever is at work there can write nothing more."""
    for statement in _END_WORK:
        await c.execute(text(statement), {"district": district})


async def note_export(store: Store, district: int, actor: Actor, sha256: str) -> None:
    """Write down that everything of a district was handed out."""
    await note_act(store, district, actor, "district-export", sha256, {})


async def note_act(store: Store, district: int, actor: Actor, act: str, subject: str, detail: dict[str, Any]) -> None:
    """Write down what somebody did that changed nothing here."""
    async with store.transaction(district) as c:
        await log_act(c, district, actor, act, subject, detail)


async def delete(store: Store, name: str, actor: Actor, because: str, *, without_export: bool = False) -> Erased:
    """Remove a district with everything it has, for good. What stays is a proof with counts, and, so that no restored
    backup brings it back, a line in the file of purges. Refused unless it was exported lately."""
    _refuse_empty(because)
    async with store.owner.begin() as c:
        district = await _id(c, name)
        if not without_export:
            await _refuse_unexported(c, district)
        await _refuse_held(c, district)
        await _end_work(c, district)
        purged = Purged(
            id=str(uuid.uuid4()),
            at=clock.now(),
            what="district",
            district=name,
            subject=store.marks.new("district", name),
            marks=[],
            counts=await sweep(c, district),
            remote={},
            because=because,
            actor=json.loads(actor.as_json()),
        )
        await purges.keep(c, district, purged)
        store.purges.append([purged])
    return await purges.finish(store, [purged.id])


async def sweep(c: AsyncConnection, district: int) -> dict[str, int]:
    """Every row of a district, in every table that has districts: table -> how many there were."""
    values = {"district": district}
    for lock in ("purge", "publish"):
        await c.execute(text(f"SELECT pg_advisory_xact_lock(hashtext('planbridge.{lock}'), :district)"), values)
    swept = [table for table in await tables(c) if table != "purge"]
    counts = {
        table: int(str(await c.scalar(text(f"SELECT count(*) FROM {table} WHERE district_id = :district"), values)))
        for table in swept
    }
    await c.execute(text("DELETE FROM procrastinate_jobs WHERE CAST(args->>'district' AS int) = :district"), values)
    await c.execute(text("DELETE FROM identity_decision WHERE district_id = :district"), values)  # it names connections
    await c.execute(text("DELETE FROM district WHERE id = :district"), values)
    for table in swept:
        await c.execute(text(f"DELETE FROM {table} WHERE district_id = :district"), values)
    return {table: n for table, n in counts.items() if n}


async def _refuse_unexported(c: AsyncConnection, district: int) -> None:
    at: datetime | None = await c.scalar(
        text("SELECT max(at) FROM act WHERE district_id = :district AND act = 'district-export'"),
        {"district": district},
    )
    if at is None or at < clock.now() - timedelta(days=EXPORT_DAYS):
        raise Refused(
            "district-not-exported",
            f"Nothing of this district was exported in the last {EXPORT_DAYS} days.",
            "`planbridge district export` first, or add --without-export.",
        )


async def _refuse_held(c: AsyncConnection, district: int) -> None:
    held = text("SELECT id FROM legal_hold WHERE district_id = :district AND lifted_at IS NULL LIMIT 1")
    if (hold := await c.scalar(held, {"district": district})) is not None:
        raise Refused(
            "legal-hold",
            f"Legal hold {hold} keeps what there is of a student of this district.",
            f"When the case is over: planbridge retention lift {hold} --because ...",
        )


def _refuse_empty(because: str) -> None:
    if not because.strip():
        raise Refused("reason-missing", "This needs a reason.", "Give --because.")
