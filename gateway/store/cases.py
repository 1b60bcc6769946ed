"""The queue of people whom no rule could place: which keys wait, and who they might be."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.identities import Key, refused


@dataclass(frozen=True)
class Open:
    """A key that waits. `denotes`: whom it denoted before it came back as somebody else, who is then `doc`."""

    connection: int
    key: str
    population: str
    code: str
    denotes: str | None = None
    doc: dict[str, Any] | None = None

    @property
    def of(self) -> Key:
        return self.connection, self.key


@dataclass(frozen=True)
class Pair:
    """A waiting key and a published person it resembles. `former`: they share only a number the person had once.
    `score`: how likely a proposal takes it that they are one, where there is a proposal."""

    key: Key
    person: str
    doc: dict[str, Any]
    former: bool
    score: float | None
    fields: dict[str, Any] | None


async def open_cases(c: AsyncConnection) -> list[Open]:
    """Every person key that waits for somebody to say who it is, in a stable order."""
    rows = await c.execute(
        text(
            "SELECT connection_id, key, field, code, NULL, CAST(NULL AS json) FROM waiting "
            "WHERE kind = 'person' AND code IN ('unmatched', 'ambiguous', 'identity-conflict') "
            "UNION ALL SELECT connection_id, key, coalesce(doc->>'population', ''), 'identity-conflict', "
            "  CAST(entity_id AS text), doc FROM identity_conflict WHERE NOT over ORDER BY 1, 2"
        )
    )
    return [Open(*row) for row in rows]


# A waiting key with its traits. In a conflict they are those of whoever the key says it is now.
_WAITING = (
    "SELECT connection_id, key, named, born, email, phone FROM person_trait WHERE key IS NOT NULL "
    "UNION ALL SELECT connection_id, key, named, born, NULL, NULL FROM identity_conflict WHERE NOT over"
)
_NUMBERS = (
    "SELECT k.connection_id, k.key, n.entity_id, n.former FROM person_number k "
    "JOIN person_number n ON n.number = k.number AND n.entity_id IS NOT NULL WHERE k.key IS NOT NULL "
)
_NAMES = (
    f"SELECT k.connection_id, k.key, p.entity_id, false AS former FROM ({_WAITING}) k "
    "JOIN person_trait p ON p.named = k.named AND p.entity_id IS NOT NULL "
    "  AND (p.born = k.born OR p.email = k.email OR p.phone = k.phone) WHERE true "
)
_DENOTED = "SELECT connection_id, key, entity_id, false FROM identity_conflict k WHERE NOT over "
_PROPOSED = (
    "SELECT k.connection_id, k.key, k.entity_id, false FROM identity_proposal k WHERE EXISTS ("
    "  SELECT FROM person_trait t WHERE t.key = k.key AND t.connection_id = k.connection_id) "
)


_PARTS = ((_NUMBERS, "n"), (_NAMES, "p"), (_DENOTED, "k"), (_PROPOSED, "k"))
"""SQL of (connection_id, key, person, former), and the alias that has the person."""


def _pairs(narrowed: str) -> str:
    """SQL of every pair worth a look, the refused left out; `narrowed` may name {key} and {person}."""
    union = " UNION ALL ".join(part + narrowed.format(key="k", person=alias) for part, alias in _PARTS)
    return (
        "SELECT w.connection_id, w.key, e.id, e.doc, bool_and(w.former) AS former "
        f"FROM ({union}) w JOIN entity e ON e.kind = 'person' AND e.id = w.entity_id "
        f"WHERE NOT {refused('w', 'e')} GROUP BY 1, 2, e.id, e.kind, e.district_id"
    )


async def pairs(c: AsyncConnection, keys: Iterable[Key]) -> list[Pair]:
    """Whom these waiting keys resemble, in a stable order."""
    of_keys = (
        "AND ({key}.connection_id, {key}.key) IN "
        "(SELECT CAST(j->>0 AS int), j->>1 FROM json_array_elements(CAST(:keys AS json)) j)"
    )
    rows = await c.execute(
        text(
            f"SELECT p.connection_id, p.key, CAST(p.id AS text) AS person, p.doc, p.former, o.score, o.fields "
            f"FROM ({_pairs(of_keys)}) p LEFT JOIN identity_proposal o ON o.key = p.key "
            "  AND o.connection_id = p.connection_id AND o.entity_id = p.id ORDER BY 1, 2, 3"
        ),
        {"keys": json.dumps(list(keys))},
    )
    return [Pair((r.connection_id, r.key), r.person, r.doc, r.former, r.score, r.fields) for r in rows]


async def resembled(c: AsyncConnection) -> set[Key]:
    """The waiting keys that resemble anybody."""
    rows = await c.execute(text(f"SELECT DISTINCT connection_id, key FROM ({_pairs('')}) p"))
    return {(row.connection_id, row.key) for row in rows}


async def is_open(c: AsyncConnection, person: str) -> bool:
    """Whether a waiting key may be this person, or the person's own key came back as somebody else."""
    of_person = "AND {person}.entity_id = planbridge_survivor(CAST(:person AS uuid))"
    return bool(await c.scalar(text(f"SELECT EXISTS ({_pairs(of_person)})"), {"person": person}))


async def neighbours(c: AsyncConnection, most: int) -> list[tuple[Key, str, dict[str, Any]]]:
    """So many waiting keys beside every published person of their population who has the same birth date, the same
    name or the same number: those among whom a likeness is looked for. (key, person, doc)"""
    rows = await c.execute(
        text(
            "WITH chosen AS (SELECT * FROM person_trait WHERE key IS NOT NULL "
            "  ORDER BY connection_id, key LIMIT :most), "
            "near AS (SELECT k.connection_id, k.key, p.entity_id FROM chosen k JOIN person_trait p "
            "    ON p.entity_id IS NOT NULL AND (p.born = k.born OR p.named = k.named) "
            f"  UNION SELECT n.connection_id, n.key, n.entity_id FROM ({_NUMBERS}) n "
            "  JOIN chosen k ON k.connection_id = n.connection_id AND k.key = n.key) "
            "SELECT w.connection_id, w.key, CAST(e.id AS text) AS person, e.doc FROM near w "
            f"JOIN entity e ON e.kind = 'person' AND e.id = w.entity_id WHERE NOT {refused('w', 'e')} ORDER BY 1, 2, 3"
        ),
        {"most": most},
    )
    return [((row.connection_id, row.key), row.person, row.doc) for row in rows]


@dataclass(frozen=True)
class Proposal:
    """How likely a waiting key is a person, and which fields speak for it and against it."""

    key: Key
    person: str
    score: float
    fields: dict[str, Any]


async def put_proposals(c: AsyncConnection, district: int, proposals: Sequence[Proposal]) -> None:
    """Keep these instead of what was proposed before. Proposing links nobody."""
    await c.execute(text("DELETE FROM identity_proposal"))
    await c.execute(
        text(
            "INSERT INTO identity_proposal (district_id, connection_id, key, entity_id, score, fields) "
            "SELECT :district, CAST(j->>0 AS int), j->>1, CAST(j->>2 AS uuid), CAST(j->>3 AS real), j->4 "
            "FROM json_array_elements(CAST(:rows AS json)) j"
        ),
        {
            "district": district,
            "rows": json.dumps([[*one.key, one.person, one.score, one.fields] for one in proposals]),
        },
    )


async def rules_set(c: AsyncConnection) -> dict[str, list[str]]:
    """Rule -> the identifier systems it looks at, of those that are switched on."""
    rows = await c.execute(text("SELECT rule, systems FROM identity_rule ORDER BY rule"))
    return {row.rule: row.systems for row in rows}


async def set_rule(c: AsyncConnection, district: int, rule: str, systems: Sequence[str]) -> None:
    """Switch a rule on for these identifier systems, or off where there are none; the next run goes by it."""
    values = {"district": district, "rule": rule, "systems": json.dumps(list(systems))}
    await c.execute(text("DELETE FROM identity_rule WHERE rule = :rule"), values)
    if systems:
        await c.execute(text("INSERT INTO identity_rule VALUES (:district, :rule, CAST(:systems AS json))"), values)
    await c.execute(text("UPDATE district SET resolve_all = true WHERE id = :district"), values)


@dataclass(frozen=True)
class Stranger:
    """A key that matches nobody, the numbers it is said to have, and how many records wait for it."""

    key: str
    code: str
    reason: str
    numbers: list[dict[str, str]]
    results: int


async def unmatched(c: AsyncConnection, connection: int) -> tuple[int, list[Stranger]]:
    """How many people a connection's records name, and who of them matches nobody."""
    named = await c.scalar(
        text(
            "SELECT count(DISTINCT key) FROM claim WHERE connection_id = :connection AND kind = 'person' "
            "AND same_as IS NULL"
        ),
        {"connection": connection},
    )
    rows = await c.execute(
        text(
            "SELECT DISTINCT ON (w.key) w.key, w.code, w.reason, (SELECT coalesce(json_agg(i), '[]') "
            "    FROM claim m, json_array_elements(m.stated->'identifiers') i WHERE m.connection_id = w.connection_id "
            "    AND m.kind = 'person' AND m.key = w.key AND m.same_as IS NULL) AS numbers, "
            "  (SELECT count(*) FROM waiting o WHERE o.connection_id = w.connection_id AND o.target_kind = 'person' "
            "    AND o.target_key = w.key) AS results "
            "FROM waiting w "
            "WHERE w.connection_id = :connection AND w.kind = 'person' "
            "AND w.code IN ('unmatched', 'ambiguous', 'identity-conflict') ORDER BY w.key, w.code"
        ),
        {"connection": connection},
    )
    return int(named), [Stranger(r.key, r.code, r.reason, r.numbers, r.results) for r in rows]
