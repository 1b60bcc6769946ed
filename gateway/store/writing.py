"""What a program's request needs of the database: the district to itself, whose a record is, what it may refer to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Unavailable
from gateway.served import COLLECTIONS, OF_KIND, Collection
from gateway.store import changes, served
from gateway.store.database import DatabaseError, is_late
from gateway.store.registers import Actor
from gateway.store.runs import Attempt

PATIENCE = 10.0
"""Seconds that a request waits for its turn; then it is told to come again."""
COME_AGAIN = 15.0
"""Seconds after which it may."""


def busy(what: str) -> Unavailable:
    return Unavailable("district-busy", what, "Send the same once more.", retry_after=COME_AGAIN)


async def alone(c: AsyncConnection, district: int) -> None:
    """Nobody else publishes in this district, or makes ready what is served, until this transaction ends. Unavailable
    where somebody is at it for longer than a request waits, or nothing is served yet."""
    await c.execute(text("SELECT set_config('lock_timeout', :ms, true)"), {"ms": str(round(PATIENCE * 1_000))})
    try:
        # Staging takes it too, and a purge has it before it waits for the others.
        await c.execute(text("SELECT planbridge_has_purged(:district)"), {"district": district})
        await changes.lock_district(c, district)
        await served.alone(c, district)
    except DatabaseError as error:
        if is_late(error):
            raise busy("The district is publishing just now, so nothing was written.") from None
        raise
    if not await served.ready(c):
        raise busy("What this district has published is being made ready to be served, so nothing was written.")


async def connection(c: AsyncConnection, client: str) -> int | None:
    """The connection by which a program writes, once it has one."""
    found: int | None = await c.scalar(text("SELECT id FROM connection WHERE client_id = :client"), {"client": client})
    return found


@dataclass(frozen=True)
class Standing:
    """How a sourcedId stands for a program. `others`: the record is, or was, somebody else's; `here`: it is served now;
    `reached`: to this program."""

    others: bool
    here: bool
    reached: bool


async def standing(
    c: AsyncConnection, collection: Collection, connection: int, agreement: int, entities: Mapping[str, str]
) -> dict[str, Standing]:
    """Of each of these sourcedIds; `entities`: to each the entity that the connection's record would be."""
    rows = await c.execute(
        text(
            "SELECT u.id, coalesce(s.entity_id <> CAST(u.entity AS uuid), false) "
            "    OR EXISTS (SELECT FROM written w WHERE w.kind = :kind AND w.sourced_id = u.id "
            "      AND w.connection_id <> :connection) AS others, "
            "  coalesce(NOT s.gone, false) AS here, "
            "  EXISTS (SELECT FROM reach r WHERE r.agreement_id = :agreement AND r.collection = :collection "
            "    AND r.sourced_id = u.id AND r.visible) AS reached "
            "FROM unnest(CAST(:ids AS text[]), CAST(:entities AS text[])) u (id, entity) "
            f"LEFT JOIN {collection.table} s ON s.sourced_id = u.id"
        ),
        {
            "ids": list(entities),
            "entities": list(entities.values()),
            "kind": collection.kind,
            "connection": connection,
            "agreement": agreement,
            "collection": collection.name,
        },
    )
    return {row.id: Standing(row.others, row.here, row.reached) for row in rows}


async def reached(c: AsyncConnection, agreement: int, kind: str, ids: Iterable[str]) -> dict[str, str]:
    """sourcedId -> entity of those of these that are served and that the agreement reaches; of people, students."""
    collection = OF_KIND[kind][0]
    people = kind == "person"
    rows = await c.execute(
        text(
            f"SELECT s.sourced_id, CAST(s.entity_id AS text) FROM {collection.table} s JOIN reach r "
            f"ON r.agreement_id = :agreement AND r.collection = :collection AND r.visible AND r.sourced_id = "
            f"{'CAST(s.entity_id AS text)' if people else 's.sourced_id'} "
            "WHERE s.sourced_id = ANY(CAST(:ids AS text[])) AND NOT s.gone"
        ),
        {"agreement": agreement, "collection": "students" if people else collection.name, "ids": list(ids)},
    )
    return {row[0]: row[1] for row in rows}


async def open_run(c: AsyncConnection, district: int, connection: int, actor: Actor) -> Attempt:
    """A run of one request, begun and ended in this transaction. Unavailable while another run of the connection is
    under way."""
    run = await c.scalar(
        text(
            "INSERT INTO run (district_id, connection_id, kind, state, told, actor, started_at, fence) "
            "VALUES (:district, :connection, 'write', 'pulling', 'published', :actor, now(), 1) "
            "ON CONFLICT (connection_id) WHERE state IN ('queued', 'pulling', 'resolving', 'approved') "
            "DO NOTHING RETURNING id"
        ),
        {"district": district, "connection": connection, "actor": actor.as_json()},
    )
    if run is None:
        raise busy("Something else is being done with what this program wrote, so nothing was written.")
    return Attempt(int(run), district, connection, 1, True, kind="write")


async def staged(c: AsyncConnection, attempt: Attempt) -> int:
    """How many records the request has staged."""
    return int(str(await c.scalar(text("SELECT count(*) FROM staged WHERE run_id = :run"), {"run": attempt.run})))


async def point(c: AsyncConnection, attempt: Attempt, kind: str, named: Mapping[str, str]) -> None:
    """Let the keys by which the program names these entities denote them: it refers to them, and states nothing."""
    await c.execute(
        text(
            "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
            "SELECT :district, :connection, :kind, j->>0, CAST(j->>1 AS uuid), 'alias', :run, :run "
            "FROM json_array_elements(CAST(:named AS json)) j ON CONFLICT DO NOTHING"
        ),
        {
            "district": attempt.district,
            "connection": attempt.connection,
            "kind": kind,
            "run": attempt.run,
            "named": msgspec.json.encode(list(named.items())).decode(),
        },
    )


async def unserved(
    c: AsyncConnection, collection: Collection, connection: int, agreement: int, ids: Sequence[str]
) -> tuple[str, str] | None:
    """A record among these that the program would not be served, and the field that it lacks, empty where nobody can
    tell."""
    row = (
        await c.execute(
            text(
                "SELECT u.id, coalesce((SELECT min(g.field) FROM served_gap g "
                "    JOIN written w ON w.entity_id = g.entity_id "
                "    AND w.kind = :kind AND w.connection_id = :connection AND w.sourced_id = u.id "
                "    WHERE g.whole), '') AS field "
                f"FROM unnest(CAST(:ids AS text[])) u (id) LEFT JOIN {collection.table} s "
                "  ON s.sourced_id = u.id AND NOT s.gone "
                "LEFT JOIN reach r ON r.agreement_id = :agreement AND r.collection = :collection "
                "  AND r.sourced_id = u.id AND r.visible "
                "WHERE s.sourced_id IS NULL OR r.sourced_id IS NULL ORDER BY 1 LIMIT 1"
            ),
            {
                "ids": list(ids),
                "kind": collection.kind,
                "connection": connection,
                "agreement": agreement,
                "collection": collection.name,
            },
        )
    ).one_or_none()
    return None if row is None else (row.id, row.field)


async def row(c: AsyncConnection, collection: str, sourced_id: str) -> dict[str, Any] | None:
    """A record as it is served, to whomever."""
    found: dict[str, Any] | None = await c.scalar(
        text(f"SELECT doc FROM {COLLECTIONS[collection].table} WHERE sourced_id = :id AND NOT gone"),
        {"id": sourced_id},
    )
    return found
