"""Districts, their connections with sealed secrets, systems of record, and who did what."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError, Refused
from gateway.schema import KINDS
from gateway.store.database import Store

RECORD_COLLECTIONS = (
    "organization",
    "session",
    "course",
    "class",
    "enrollment",
    "student",
    "staff",
    "contact",
)
"""What has one system of record each; people are told apart by population."""


BEHIND_ALL = 1_000_000_000
"""The place of connections that keep no roster: their word counts last, and none of them is a system of record by
being the first."""
NONE_YET = 0
"""Stands for the system of record where no connection keeps a roster yet: no connection has this number."""


@dataclass(frozen=True)
class Actor:
    """Who does something, in which role: every act names one."""

    name: str
    role: str
    person: str | None = None
    client: str | None = None

    def as_json(self) -> str:
        return json.dumps({k: v for k, v in vars(self).items() if v is not None}, sort_keys=True)


@dataclass(frozen=True)
class Connection:
    """A configured system. `settings` holds no secret; `secrets` are opened only to talk to it. `wires` says as which
    wire record its last pull read each collection. `client`: the program whose writes come in by it; then nothing is
    pulled from it or pushed to it."""

    id: int
    district: int
    name: str
    connector: str
    settings: dict[str, Any]
    secrets: dict[str, str]
    paused_because: str | None
    paused_code: str | None
    shadow: bool
    wires: dict[str, str]
    client: str | None = None

    def __repr__(self) -> str:
        return f"Connection({self.name!r}, {self.connector!r})"


async def district(store: Store, name: str) -> int:
    """The district of that name, made on first use with a key of its own."""
    async with store.owner.begin() as c:
        found = await c.scalar(text("SELECT id FROM district WHERE name = :name"), {"name": name})
        if found is None:
            found = await c.scalar(
                text(
                    "INSERT INTO district (name, sealed_key) VALUES (:name, :key) "
                    "ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id"
                ),
                {"name": name, "key": store.secrets.seal(secrets.token_bytes(32))},
            )
        return int(found)


async def districts(store: Store) -> list[int]:
    async with store.transaction() as c:
        return list((await c.execute(text("SELECT id FROM district ORDER BY id"))).scalars())


async def invented_day(c: AsyncConnection, district: int) -> date | None:
    """The day that it is in a district of invented people; None in every real one. What marks it is the act that made
    it, which nobody can add to a district, or take away."""
    found = await c.scalar(
        text(
            "SELECT detail->>'day' FROM act WHERE district_id = :id AND act IN ('sandbox', 'sandbox-day') "
            "ORDER BY seq DESC LIMIT 1"
        ),
        {"id": district},
    )
    return None if found is None else date.fromisoformat(found)


async def refuse_invented(c: AsyncConnection, district: int) -> None:
    """Refused in a district of invented people: what is real does not come to it."""
    if await invented_day(c, district) is not None:
        raise Refused(
            "sandbox-apart",
            "This is a sandbox: it has one system, which is as invented as the people in it.",
            "Connect a real system to a district of its own: give its name with --district.",
        )


async def district_key(store: Store, c: AsyncConnection, district: int) -> bytes:
    """The key under which this district's entity ids are made."""
    sealed = await c.scalar(text("SELECT sealed_key FROM district WHERE id = :id"), {"id": district})
    return store.secrets.open(sealed)


async def add_connection(
    store: Store,
    district: int,
    name: str,
    connector: str,
    settings: dict[str, Any],
    hidden: dict[str, str],
    actor: Actor,
    *,
    keeps_roster: bool = True,
    client: str | None = None,
    invented: bool = False,
) -> int:
    """Save a connection; its secrets rest encrypted. ConfigError when the name is taken. One that keeps no roster
    comes after all that do, whenever it was connected. Refused where invented people would meet real ones. `client`:
    the program that writes by it, in a sandbox too."""
    async with store.transaction(district) as c:
        if not invented and client is None:
            await refuse_invented(c, district)
        made = await c.scalar(
            text(
                "INSERT INTO connection (district_id, name, connector, settings, sealed_secrets, place, client_id) "
                "VALUES (:district, :name, :connector, :settings, :sealed, :place, :client) "
                "ON CONFLICT (district_id, name) DO NOTHING RETURNING id"
            ),
            {
                "district": district,
                "name": name,
                "connector": connector,
                "settings": json.dumps(settings),
                "sealed": store.secrets.seal(json.dumps(hidden).encode()),
                "place": None if keeps_roster else BEHIND_ALL,
                "client": client,
            },
        )
        if made is None:
            raise ConfigError(
                "connection-exists", f"A connection named {name!r} exists already.", "Choose another name."
            )
        await log_act(c, district, actor, "connect", name, {"connector": connector})
    return int(made)


async def change_settings(
    store: Store, connection: Connection, settings: dict[str, Any], hidden: dict[str, str], actor: Actor
) -> None:
    """Give a connection other settings and secrets. The act names the settings that differ, and repeats none."""
    before = connection.settings | connection.secrets
    differing = sorted(name for name, value in (settings | hidden).items() if before.get(name) != value)
    async with store.transaction(connection.district) as c:
        await refuse_invented(c, connection.district)
        await c.execute(
            text("UPDATE connection SET settings = CAST(:settings AS json), sealed_secrets = :sealed WHERE id = :id"),
            {
                "settings": json.dumps(settings),
                "sealed": store.secrets.seal(json.dumps(hidden).encode()),
                "id": connection.id,
            },
        )
        if not {"student_identifier", "staff_identifier"}.isdisjoint(differing):
            # Nothing of it changes at the source: who is recognised by other numbers shows when all is resolved again.
            await c.execute(text("UPDATE district SET resolve_all = true WHERE id = :id"), {"id": connection.district})
        await log_act(c, connection.district, actor, "settings-changed", connection.name, {"settings": differing})


async def connection(store: Store, district: int, name: str | int) -> Connection:
    """One connection by name or id. ConfigError when there is none."""
    async with store.transaction(district) as c:
        return await connection_in(store, c, name)


async def connection_in(store: Store, c: AsyncConnection, name: str | int) -> Connection:
    """The same in the caller's transaction."""
    for found in await connections_in(store, c):
        if name in (found.name, found.id):
            return found
    raise ConfigError("connection-unknown", f"There is no connection {name!r}.", "`planbridge connections` lists them.")


async def connections(store: Store, district: int) -> list[Connection]:
    """Every connection, the first connected first."""
    async with store.transaction(district) as c:
        return await connections_in(store, c)


async def connections_in(store: Store, c: AsyncConnection) -> list[Connection]:
    """The same in the caller's transaction."""
    rows = await c.execute(
        text(
            "SELECT id, district_id, name, connector, settings, sealed_secrets, paused_because, "
            "  paused_code, shadow, wires, client_id "
            "FROM connection ORDER BY id"
        )
    )
    return [
        Connection(
            r.id, r.district_id, r.name, r.connector, r.settings,
            json.loads(store.secrets.open(r.sealed_secrets)), r.paused_because,
            r.paused_code, r.shadow, r.wires, r.client_id,
        )
        for r in rows
    ]  # fmt: skip


async def pause(store: Store, district: int, connection: int, because: str, actor: Actor) -> None:
    """Stop a connection from being pulled or pushed to until a person lifts it."""
    if not because.strip():
        raise Refused("reason-missing", "A pause needs a reason.", "Give --reason.")
    async with store.transaction(district) as c:
        await pause_in(c, connection, "person", because)
        await log_act(c, district, actor, "pause", str(connection), {"because": because})


async def pause_in(c: AsyncConnection, connection: int, code: str, because: str) -> None:
    """The same within a transaction. `code`: credentials, undo or person."""
    await c.execute(
        text("UPDATE connection SET paused_because = :because, paused_code = :code WHERE id = :id"),
        {"because": because, "code": code, "id": connection},
    )


async def resume(store: Store, district: int, connection: int, actor: Actor) -> None:
    """Lift a pause."""
    async with store.transaction(district) as c:
        await c.execute(
            text("UPDATE connection SET paused_because = NULL, paused_code = NULL WHERE id = :id"), {"id": connection}
        )
        await log_act(c, district, actor, "resume", str(connection), {})


async def set_shadow(store: Store, district: int, connection: int, shadow: bool, actor: Actor) -> None:
    """In shadow, a connection's pulls compare and publish nothing. Refused where it waits to take another one's place:
    that is when it leaves the shadow."""
    async with store.transaction(district) as c:
        waits = text("SELECT EXISTS (SELECT FROM succession WHERE new_id = :id AND done_at IS NULL)")
        if not shadow and await c.scalar(waits, {"id": connection}):
            raise Refused(
                "successor-in-shadow",
                "It is to take the place of another connection, and leaves the shadow by that.",
                "`planbridge connections switch` with its name and --now, or --on another day.",
            )
        await c.execute(
            text("UPDATE connection SET shadow = :shadow WHERE id = :id"), {"shadow": shadow, "id": connection}
        )
        await log_act(c, district, actor, "shadow-on" if shadow else "shadow-off", str(connection), {})


async def set_wires(store: Store, connection: Connection, wires: dict[str, str]) -> None:
    """Remember as which wire records a connection's collections are read, so that what is stored is read so again."""
    if wires != connection.wires:
        async with store.transaction(connection.district) as c:
            await c.execute(
                text("UPDATE connection SET wires = CAST(:wires AS json) WHERE id = :id"),
                {"wires": json.dumps(wires), "id": connection.id},
            )


async def set_system_of_record(store: Store, district: int, collection: str, connection: int, actor: Actor) -> None:
    """Choose whose word counts for a collection; it takes effect with the next run of any connection."""
    check_record_collection(collection)
    async with store.transaction(district) as c:
        await c.execute(
            text(
                "INSERT INTO system_of_record VALUES (:district, :collection, :connection) "
                "ON CONFLICT (district_id, collection) DO UPDATE SET connection_id = excluded.connection_id"
            ),
            {"district": district, "collection": collection, "connection": connection},
        )
        await c.execute(text("UPDATE district SET resolve_all = true WHERE id = :id"), {"id": district})
        await log_act(c, district, actor, "system-of-record", collection, {"connection": connection})


def check_record_collection(collection: str) -> None:
    """ConfigError when there is no system of record for that."""
    if collection not in RECORD_COLLECTIONS:
        raise ConfigError(
            "collection-unknown",
            f"{collection!r} has no system of record.",
            f"Choose one of {', '.join(RECORD_COLLECTIONS)}.",
        )


async def chosen_owners(c: AsyncConnection) -> dict[str, int]:
    """Collection -> the connection that was chosen as its system of record; those nobody chose are left out."""
    return {row.collection: row.connection_id for row in await c.execute(text("SELECT * FROM system_of_record"))}


async def survivors(c: AsyncConnection) -> dict[str, dict[str, list[int]]]:
    """Kind -> field -> connections whose word counts more for this field, the first one most."""
    found: dict[str, dict[str, list[int]]] = {}
    for row in await c.execute(text("SELECT kind, field, connections FROM survivorship ORDER BY 1, 2")):
        found.setdefault(row.kind, {})[row.field] = list(row.connections)
    return found


async def set_survivors(
    store: Store, district: int, kind: str, field: str, connections: Sequence[int], actor: Actor
) -> None:
    """Say whose word counts for a field (nobody named: the usual order); takes effect with the next run of any
    connection. ConfigError where there is no such field, or its values are not chosen but collected."""
    check_survivors(kind, field)
    async with store.transaction(district) as c:
        values = {"district": district, "kind": kind, "field": field, "connections": json.dumps(list(connections))}
        await c.execute(text("DELETE FROM survivorship WHERE kind = :kind AND field = :field"), values)
        if connections:
            await c.execute(
                text("INSERT INTO survivorship VALUES (:district, :kind, :field, CAST(:connections AS json))"), values
            )
        await c.execute(text("UPDATE district SET resolve_all = true WHERE id = :district"), values)
        await log_act(c, district, actor, "survivorship", f"{kind}.{field}", {"connections": list(connections)})


def check_survivors(kind: str, field: str) -> None:
    """ConfigError when nobody's word can be chosen for that field."""
    merge = KINDS[kind].merge.get(field) if kind in KINDS else None
    if merge not in ("one", "owned"):
        raise ConfigError(
            "field-unknown",
            f"{kind}.{field} has no one source that could be chosen.",
            "Name it as kind.field, for instance person.email.",
        )


async def order(c: AsyncConnection) -> list[int]:
    """The connections in the order in which their word counts where nobody chose: the first connected first, and who
    took another one's place, there."""
    return list((await c.execute(text("SELECT id FROM connection ORDER BY coalesce(place, id), id"))).scalars())


async def owners(c: AsyncConnection, district: int, order: list[int]) -> dict[str, int]:
    """Collection -> the connection whose word counts. Default: the first one connected that keeps a roster; for family
    contacts the first one that has any, which is then remembered."""
    chosen = await chosen_owners(c)
    if "contact" not in chosen:
        first = await c.scalar(text("SELECT min(connection_id) FROM claim WHERE kind = 'relationship'"))
        if first is not None:
            await c.execute(
                text("INSERT INTO system_of_record VALUES (:district, 'contact', :connection)"),
                {"district": district, "connection": first},
            )
            chosen["contact"] = first
    behind = set(
        (await c.execute(text("SELECT id FROM connection WHERE place >= :behind"), {"behind": BEHIND_ALL})).scalars()
    )
    first = next((connection for connection in order if connection not in behind), NONE_YET)
    return {collection: chosen.get(collection, first) for collection in RECORD_COLLECTIONS}


async def log_act(
    c: AsyncConnection, district: int, actor: Actor, act: str, subject: str, detail: dict[str, Any]
) -> None:
    """Keep who did what, in the transaction that does it. Somebody at the district's own machine under the name of an
    account is kept as the person whose it is."""
    if actor.person is None and actor.client is None:
        person = await c.scalar(
            text("SELECT CAST(person_id AS text) FROM account WHERE district_id = :district AND name = lower(:name)"),
            {"district": district, "name": actor.name},
        )
        actor = replace(actor, person=person)
    await c.execute(
        text(
            "INSERT INTO act (district_id, actor, act, subject, detail) "
            "VALUES (:district, :actor, :act, :subject, :detail)"
        ),
        {
            "district": district,
            "actor": actor.as_json(),
            "act": act,
            "subject": subject,
            "detail": json.dumps(detail),
        },
    )
