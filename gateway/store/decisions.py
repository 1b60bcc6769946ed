"""What people decided about who is who: rows that are only added to, and the links they move."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.applying import KEEP_LINKS
from gateway.store.identities import Key
from gateway.store.registers import Actor
from gateway.store.runs import Attempt


@dataclass(frozen=True)
class Link:
    """Whom a key denotes, and by which method it came to. `person` is None where it denotes nobody."""

    connection: int
    key: str
    person: str | None
    method: str | None

    @property
    def of(self) -> Key:
        return self.connection, self.key


@dataclass(frozen=True)
class Decision:
    """One decision; see the table identity_decision for what each act means by `person` and `other`."""

    act: str
    person: str
    other: str | None = None
    key: Key | None = None
    named: int | None = None
    born: int | None = None
    before: tuple[Link, ...] = ()
    part_of: int | None = None


@dataclass(frozen=True)
class Decided(Decision):
    """A decision that was taken. `undone_by`: by which later one it was undone."""

    id: int = 0
    undone_by: int | None = None


async def open_run(c: AsyncConnection, district: int, actor: Actor, connection: int) -> Attempt:
    """A run in which a decision publishes, begun and ended in this transaction. It belongs to no connection; the
    attempt names the one whose records the decision ends, if any."""
    run = await c.scalar(
        text(
            "INSERT INTO run (district_id, kind, state, told, actor, started_at) "
            "VALUES (:district, 'decision', 'published', 'published', :actor, now()) RETURNING id"
        ),
        {"district": district, "actor": actor.as_json()},
    )
    return Attempt(int(run), district, connection, 0, True, kind="decision")


async def add(
    c: AsyncConnection, district: int, decision: Decision, actor: Actor, because: str, run: int | None = None
) -> int:
    """Keep a decision for good; returns its number. `run`: in which it is published, where it changes anything."""
    connection, key = decision.key or (None, None)
    number = await c.scalar(
        text(
            "INSERT INTO identity_decision (district_id, act, connection_id, key, entity_id, other_id, named, born, "
            "  before, part_of, actor, because, run_id) VALUES (:district, :act, :connection, :key, "
            "  CAST(:person AS uuid), CAST(:other AS uuid), :named, :born, CAST(:before AS json), :part_of, "
            "  CAST(:actor AS json), :because, :run) RETURNING id"
        ),
        {
            "district": district,
            "act": decision.act,
            "connection": connection,
            "key": key,
            "person": decision.person,
            "other": decision.other,
            "named": decision.named,
            "born": decision.born,
            "before": json.dumps([[one.connection, one.key, one.person, one.method] for one in decision.before]),
            "part_of": decision.part_of,
            "actor": actor.as_json(),
            "because": because,
            "run": run,
        },
    )
    return int(number)


async def mark_undone(c: AsyncConnection, decision: int, by: int) -> None:
    """A decision holds no more, nor does what belongs to it."""
    await c.execute(
        text("UPDATE identity_decision SET undone_by = :by WHERE :decision IN (id, part_of)"),
        {"decision": decision, "by": by},
    )


_DECISION = (
    "SELECT id, act, CAST(entity_id AS text) AS person, CAST(other_id AS text) AS other, connection_id, key, named, "
    "born, before, part_of, undone_by FROM identity_decision"
)


async def one(c: AsyncConnection, number: int) -> Decided | None:
    row = (await c.execute(text(f"{_DECISION} WHERE id = :number"), {"number": number})).one_or_none()
    return None if row is None else _decided(row)


async def parts(c: AsyncConnection, number: int) -> list[Decided]:
    """What belongs to a decision and is undone with it."""
    rows = await c.execute(text(f"{_DECISION} WHERE part_of = :number ORDER BY id"), {"number": number})
    return [_decided(row) for row in rows]


async def later(c: AsyncConnection, decision: Decided) -> list[int]:
    """Decisions in force that moved the same keys or people after this one did: they must be undone first."""
    people = [who for who in (decision.person, decision.other) if who]
    rows = await c.execute(
        text(
            "SELECT id FROM identity_decision d WHERE id > :number AND undone_by IS NULL AND part_of IS NULL "
            "AND act IN ('same', 'merge', 'split') AND ("
            "  (act = 'merge' AND (d.entity_id = ANY(CAST(:people AS uuid[])) "
            "    OR d.other_id = ANY(CAST(:people AS uuid[])))) OR EXISTS ("
            "    SELECT FROM json_array_elements(d.before) b, json_array_elements(CAST(:before AS json)) k "
            "    WHERE b->>0 = k->>0 AND b->>1 = k->>1)) ORDER BY id"
        ),
        {
            "number": decision.id,
            "people": people,
            "before": json.dumps([[link.connection, link.key] for link in decision.before]),
        },
    )
    return list(rows.scalars())


def _decided(row: Any) -> Decided:
    return Decided(
        act=row.act,
        person=row.person,
        other=row.other,
        key=None if row.key is None else (row.connection_id, row.key),
        named=row.named,
        born=row.born,
        before=tuple(Link(*link) for link in row.before),
        part_of=row.part_of,
        id=row.id,
        undone_by=row.undone_by,
    )


async def listed(c: AsyncConnection, limit: int) -> list[dict[str, Any]]:
    """The newest decisions: who decided what, why, and whether it was undone. Keys are left out."""
    rows = await c.execute(
        text(
            "SELECT d.id, d.act, n.name AS connection, CAST(d.entity_id AS text) AS person, "
            "  CAST(d.other_id AS text) AS other, d.actor->>'name' AS decided_by, d.because, d.at, d.undone_by "
            "FROM identity_decision d LEFT JOIN connection n ON n.id = d.connection_id "
            "WHERE d.part_of IS NULL ORDER BY d.id DESC LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [dict(row._mapping) for row in rows]


async def links_of(c: AsyncConnection, person: str) -> list[Link]:
    """Every key that denotes a person, in a stable order; keys that only stand for another key come last."""
    rows = await c.execute(
        text(
            "SELECT connection_id, key, CAST(entity_id AS text) AS person, method FROM link "
            "WHERE kind = 'person' AND entity_id = CAST(:person AS uuid) ORDER BY method = 'alias', 1, 2"
        ),
        {"person": person},
    )
    return [Link(*row) for row in rows]


async def link_of(c: AsyncConnection, key: Key) -> Link | None:
    row = (
        await c.execute(
            text(
                "SELECT connection_id, key, CAST(entity_id AS text) AS person, method FROM link "
                "WHERE kind = 'person' AND connection_id = :connection AND key = :key"
            ),
            {"connection": key[0], "key": key[1]},
        )
    ).one_or_none()
    return None if row is None else Link(*row)


async def lives(c: AsyncConnection, key: Key) -> bool:
    """Whether the source still has this key's own record."""
    return bool(
        await c.scalar(
            text(
                "SELECT EXISTS (SELECT FROM claim WHERE connection_id = :connection AND kind = 'person' "
                "AND key = :key AND anchor AND same_as IS NULL)"
            ),
            {"connection": key[0], "key": key[1]},
        )
    )


async def person(c: AsyncConnection, id: str) -> tuple[str, dict[str, Any]] | None:
    """A published person, merges followed: (id, doc)."""
    row = (
        await c.execute(
            text(
                "SELECT CAST(id AS text), doc FROM entity WHERE kind = 'person' "
                "AND id = planbridge_survivor(CAST(:id AS uuid))"
            ),
            {"id": id},
        )
    ).one_or_none()
    return None if row is None else (row[0], row[1])


async def was_ever(c: AsyncConnection, person: str) -> bool:
    """Whether an id was given to anybody: ids are never given twice."""
    return bool(
        await c.scalar(
            text(
                "SELECT EXISTS (SELECT FROM link WHERE entity_id = CAST(:id AS uuid)) "
                "OR EXISTS (SELECT FROM link_history WHERE entity_id = CAST(:id AS uuid)) "
                "OR EXISTS (SELECT FROM change WHERE entity_id = CAST(:id AS uuid))"
            ),
            {"id": person},
        )
    )


async def plans_of(c: AsyncConnection, person: str) -> list[str]:
    """The plans of a student, those of people merged into the student included."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) FROM plan WHERE planbridge_survivor(student_id) = CAST(:person AS uuid) "
            "ORDER BY created_at"
        ),
        {"person": person},
    )
    return list(rows.scalars())


async def end_records(c: AsyncConnection, attempt: Attempt, keys: Sequence[str]) -> None:
    """Put every record of the connection that states one of these people into the change set, as gone: what it says
    was about somebody else, and the next pull brings what is true now."""
    await c.execute(
        text(
            "INSERT INTO changed (collection, key, op, remapped) SELECT DISTINCT collection, record_key, 'gone', false "
            "FROM claim WHERE connection_id = :connection AND kind = 'person' AND same_as IS NULL "
            "AND key = ANY(:keys)"
        ),
        {"connection": attempt.connection, "keys": list(keys)},
    )


async def end_conflict(c: AsyncConnection, key: Key) -> None:
    """What was decided is in conflict no more."""
    await c.execute(
        text("UPDATE identity_conflict SET over = true WHERE connection_id = :connection AND key = :key"),
        {"connection": key[0], "key": key[1]},
    )


async def conflicting(c: AsyncConnection, key: Key) -> tuple[int | None, int | None]:
    """The name and the birth date with which a key came back, as traits."""
    row = (
        await c.execute(
            text("SELECT named, born FROM identity_conflict WHERE connection_id = :connection AND key = :key"),
            {"connection": key[0], "key": key[1]},
        )
    ).one()
    return row.named, row.born


async def taken_over(c: AsyncConnection, decision: Decided) -> bool:
    """Whether the person is published by now as this decision allowed."""
    return bool(
        await c.scalar(
            text(
                "SELECT EXISTS (SELECT FROM person_trait WHERE entity_id = CAST(:person AS uuid) "
                "AND named = :named AND born = :born)"
            ),
            {"person": decision.person, "named": decision.named, "born": decision.born},
        )
    )


async def move_links(c: AsyncConnection, attempt: Attempt, links: Sequence[Link], touched: Sequence[Key] = ()) -> None:
    """Let keys denote whom these links say; whoever they denoted is resolved again, and so is what refers to them.

    `touched`: keys that are resolved again although they denote whom they did.
    """
    values = {
        "district": attempt.district,
        "run": attempt.run,
        "links": json.dumps([[one.connection, one.key, one.person, one.method] for one in links]),
        "touched": json.dumps(list(touched)),
    }
    for statement in _MOVE:
        await c.execute(text(statement), values)


_MOVED = (
    "json_array_elements(CAST(:links AS json)) j JOIN link l ON l.connection_id = CAST(j->>0 AS int) "
    "AND l.kind = 'person' AND l.key = j->>1"
)
_MOVE = (
    f"INSERT INTO orphan SELECT DISTINCT 'person', l.entity_id FROM {_MOVED} ON CONFLICT DO NOTHING",
    # A key that stands for a moved one moves with it, by its alias.
    "INSERT INTO loose SELECT CAST(j->>0 AS int), 'person', j->>1, NULL, false "
    "FROM json_array_elements(CAST(:links AS json)) j ON CONFLICT DO NOTHING",
    "INSERT INTO loose SELECT c.connection_id, 'person', c.key, NULL, false "
    "FROM json_array_elements(CAST(:links AS json)) j JOIN claim c ON c.connection_id = CAST(j->>0 AS int) "
    "  AND c.kind = 'person' AND c.same_as = j->>1 ON CONFLICT DO NOTHING",
    "INSERT INTO touched SELECT connection_id, 'person', key FROM loose ON CONFLICT DO NOTHING",
    "INSERT INTO touched SELECT CAST(j->>0 AS int), 'person', j->>1 "
    "FROM json_array_elements(CAST(:touched AS json)) j ON CONFLICT DO NOTHING",
    f"{KEEP_LINKS} FROM {_MOVED}",
    "DELETE FROM link l USING json_array_elements(CAST(:links AS json)) j "
    "WHERE l.connection_id = CAST(j->>0 AS int) AND l.kind = 'person' AND l.key = j->>1",
    "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
    "SELECT :district, CAST(j->>0 AS int), 'person', j->>1, CAST(j->>2 AS uuid), j->>3, :run, :run "
    "FROM json_array_elements(CAST(:links AS json)) j WHERE j->>2 IS NOT NULL",
)
