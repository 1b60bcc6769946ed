"""One connection in the place of another: made as its clone, in shadow beside it, until it takes over all it has.

To take over is one transaction: records, claims, links and decisions become the successor's before its run is compared
with them. So the same key denotes whom it did, and whatever does not come any more is a removal like any other.
"""

import json
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError, Refused
from gateway.store import purges, registers, runs
from gateway.store.database import Store
from gateway.store.registers import Actor, Connection, log_act
from gateway.store.runs import Attempt


async def clone(
    store: Store, old: Connection, name: str, settings: dict[str, Any], hidden: dict[str, str], on: date, actor: Actor
) -> int:
    """A connection like another one, in shadow, which takes its place on a day: guards, custom fields, what is
    collected and why, what may leave, schedule and limit are copied; code tables are the district's and count for
    both. Refused where that one has a successor."""
    async with store.transaction(old.district) as c:
        await _refuse_second(c, old)
        made = await c.scalar(
            text(
                "INSERT INTO connection (district_id, name, connector, settings, sealed_secrets, shadow, guards, "
                "  fresh_seconds) SELECT district_id, :name, connector, CAST(:settings AS json), :sealed, true, "
                "  guards, fresh_seconds FROM connection WHERE id = :old "
                "ON CONFLICT (district_id, name) DO NOTHING RETURNING id"
            ),
            {
                "name": name,
                "settings": json.dumps(settings),
                "sealed": store.secrets.seal(json.dumps(hidden).encode()),
                "old": old.id,
            },
        )
        if made is None:
            raise ConfigError(
                "connection-exists", f"A connection named {name!r} exists already.", "Choose another name."
            )
        for statement in _COPIED:
            await c.execute(text(statement), {"new": made, "old": old.id})
        await purges.inherit(c, old.district, name, old.name)
        await c.execute(
            text(
                "INSERT INTO succession (new_id, old_id, district_id, on_day, actor) "
                "VALUES (:new, :old, :district, :on, CAST(:actor AS json))"
            ),
            {"new": made, "old": old.id, "district": old.district, "on": on, "actor": actor.as_json()},
        )
        await log_act(c, old.district, actor, "new-year", name, {"old": old.name, "on": on.isoformat()})
        return int(made)


_COPIED = (
    "INSERT INTO field_override (district_id, connection_id, collection, kind, field, expression, crosswalk, actor) "
    "SELECT district_id, :new, collection, kind, field, expression, crosswalk, actor FROM field_override "
    "WHERE connection_id = :old",
    "INSERT INTO collected (district_id, connection_id, name, purpose, basis, actor, at) "
    "SELECT district_id, :new, name, purpose, basis, actor, at FROM collected WHERE connection_id = :old",
    # What may leave, and how far it is rolled out, was chosen for the system, whichever connection it is.
    "INSERT INTO destination (connection_id, district_id, profile, edited_there, stage, schools) "
    "SELECT :new, district_id, profile, edited_there, stage, schools FROM destination WHERE connection_id = :old",
    "INSERT INTO schedule (connection_id, district_id, cron, zone, jitter_seconds, window_from, window_until, "
    "  next_due_at, enabled) SELECT :new, district_id, cron, zone, jitter_seconds, window_from, window_until, "
    "  next_due_at, enabled FROM schedule WHERE connection_id = :old",
)


async def _refuse_second(c: AsyncConnection, old: Connection) -> None:
    name = await c.scalar(
        text(
            "SELECT n.name FROM succession s JOIN connection n ON n.id = s.new_id "
            "WHERE s.old_id = :id OR (s.new_id = :id AND s.done_at IS NULL)"
        ),
        {"id": old.id},
    )
    if name is not None:
        raise Refused(
            "connection-has-successor",
            f"{name} is to take a place already, or took it: {old.name} cannot have a successor.",
            "`planbridge connections` shows who takes whose place.",
        )


async def plans(c: AsyncConnection) -> dict[int, dict[str, Any]]:
    """Successor -> whose place it takes, on which day, and since when it has it, if it has."""
    rows = await c.execute(
        text(
            "SELECT s.new_id, o.name AS old, s.on_day, s.begun_at, s.done_at FROM succession s "
            "JOIN connection o ON o.id = s.old_id"
        )
    )
    return {row.new_id: dict(row._mapping) for row in rows}


async def planned(c: AsyncConnection, new: Connection) -> dict[str, Any]:
    """The same of one that has not taken it yet. ConfigError where it is to take nobody's place."""
    found = (await plans(c)).get(new.id)
    if found is None or found["done_at"] is not None:
        raise ConfigError(
            "no-successor",
            f"{new.name} is not to take the place of another connection.",
            "`planbridge connections new-year OLD NEW --on DATE` makes one that is.",
        )
    return found


async def postpone(c: AsyncConnection, new: Connection, on: date, actor: Actor) -> None:
    """Another day; a successor that has left the shadow for a run that waits goes back into it."""
    await planned(c, new)
    await c.execute(
        text("UPDATE succession SET on_day = :on, begun_at = NULL WHERE new_id = :new"), {"on": on, "new": new.id}
    )
    await c.execute(text("UPDATE connection SET shadow = true WHERE id = :new"), {"new": new.id})
    await runs.end_held(c, new.id, "superseded")
    await log_act(c, new.district, actor, "new-year", new.name, {"on": on.isoformat()})


async def due(store: Store, now: datetime) -> list[tuple[int, int]]:
    """(district, successor) whose day has come, in the zone of its schedule; a hint, as of schedules. While the old one
    rests after an undo nothing comes by itself: it could be the same again."""
    async with store.owner.begin() as c:
        rows = await c.execute(
            text(
                "SELECT s.district_id, s.new_id, s.on_day, coalesce(t.zone, 'UTC') AS zone FROM succession s "
                "JOIN connection o ON o.id = s.old_id LEFT JOIN schedule t ON t.connection_id = s.new_id "
                "WHERE s.begun_at IS NULL AND o.paused_code IS DISTINCT FROM 'undo' ORDER BY s.on_day"
            )
        )
        return [
            (row.district_id, row.new_id) for row in rows if row.on_day <= now.astimezone(ZoneInfo(row.zone)).date()
        ]


async def begin(c: AsyncConnection, new: Connection, actor: Actor) -> bool:
    """Leave the shadow, once; the run that the caller asks for then takes over. False where somebody else did so."""
    mine = await c.scalar(
        text(
            "UPDATE succession SET begun_at = now() WHERE new_id = :new AND begun_at IS NULL AND done_at IS NULL "
            "RETURNING new_id"
        ),
        {"new": new.id},
    )
    if mine is None:
        return False
    await c.execute(text("UPDATE connection SET shadow = false WHERE id = :new"), {"new": new.id})
    await log_act(c, new.district, actor, "switch", new.name, {})
    return True


async def refuse_retired(c: AsyncConnection, connection: int) -> None:
    """Refused where another connection has taken this one's place: what it had is that one's."""
    name = await c.scalar(
        text(
            "SELECT n.name FROM succession s JOIN connection n ON n.id = s.new_id "
            "WHERE s.old_id = :connection AND s.done_at IS NOT NULL"
        ),
        {"connection": connection},
    )
    if name is not None:
        raise Refused(
            "connection-retired",
            f"{name} has taken the place of this connection, with all that it had.",
            f"Work with {name} instead.",
        )


# Of what is only added to, planbridge_hand_over takes care, when it becomes true.
_MOVED = (
    *("record", "claim", "link", "waiting", "difference", "reject"),
    *("leniency", "quality_report"),
    *("person_trait", "person_number", "identity_conflict", "identity_proposal"),
)
_TAKEN = (
    *(f"UPDATE {table} SET connection_id = :new WHERE connection_id = :old" for table in _MOVED),
    "UPDATE survivorship SET connections = (SELECT json_agg(CASE WHEN CAST(v AS int) = :old THEN :new "
    "  ELSE CAST(v AS int) END ORDER BY n) FROM json_array_elements_text(connections) WITH ORDINALITY AS s(v, n)) "
    "WHERE EXISTS (SELECT FROM json_array_elements_text(connections) v WHERE CAST(v AS int) = :old)",
    "UPDATE connection SET place = (SELECT coalesce(o.place, o.id) FROM connection o WHERE o.id = :old) "
    "WHERE id = :new",
    "SELECT planbridge_grown((SELECT count(*) FROM record WHERE connection_id = :new), 'record', 'claim', 'link')",
)


async def take_over(c: AsyncConnection, attempt: Attempt) -> str | None:
    """Give the run's connection all that the one has whose place it is to take: true when the transaction commits.
    The name of that one; None where there is none, or the run is no pull. Refused where it was put off meanwhile."""
    found = (
        await c.execute(
            text(
                "SELECT s.old_id, o.name AS old, n.name AS new, s.begun_at, s.on_day FROM succession s "
                "JOIN connection o ON o.id = s.old_id JOIN connection n ON n.id = s.new_id "
                "WHERE s.new_id = :new AND s.done_at IS NULL"
            ),
            {"new": attempt.connection},
        )
    ).one_or_none()
    if found is None or attempt.kind != "pull":
        return None
    if attempt.mode == "publish" and found.begun_at is None:
        raise Refused(
            "switch-postponed",
            f"{found.new} was to take the place of {found.old} with this run, and is to do so on {found.on_day} now.",
            f"Nothing was published. `planbridge connections switch {found.new} --now` does not wait for the day.",
        )
    values = {"old": found.old_id, "new": attempt.connection}
    owned = await registers.owners(c, attempt.district, await registers.order(c))
    for statement in _TAKEN:
        await c.execute(text(statement), values)
    await c.execute(
        text(
            "INSERT INTO system_of_record SELECT :district, u, :new FROM unnest(CAST(:owned AS text[])) u "
            "ON CONFLICT (district_id, collection) DO UPDATE SET connection_id = excluded.connection_id"
        ),
        {
            "district": attempt.district,
            "new": attempt.connection,
            "owned": [collection for collection, owner in owned.items() if owner == found.old_id],
        },
    )
    await purges.inherit(c, attempt.district, found.new, found.old)
    return str(found.old)


async def settle(c: AsyncConnection, attempt: Attempt, old: str) -> None:
    """Before the taking over is committed: the history goes along, and the old connection is pulled no more."""
    found = await c.execute(
        text("SELECT s.old_id, n.name FROM succession s JOIN connection n ON n.id = s.new_id WHERE s.new_id = :new"),
        {"new": attempt.connection},
    )
    old_id, new = found.one()
    values = {"old": old_id, "new": attempt.connection, "run": attempt.run}
    await c.execute(text("SELECT planbridge_hand_over(:old, :new)"), values)
    await c.execute(text("UPDATE succession SET done_at = now(), run_id = :run WHERE new_id = :new"), values)
    await c.execute(text("UPDATE schedule SET enabled = false WHERE connection_id = :old"), values)
    await c.execute(text("UPDATE connection SET secret_ends = NULL WHERE id = :old"), values)
    await runs.end_held(c, old_id, "superseded")
    await registers.pause_in(c, old_id, "person", f"{new} took its place with run {attempt.run}.")
    who = Actor("year change", "system")
    await log_act(c, attempt.district, who, "took-over", new, {"old": old, "run": attempt.run})
