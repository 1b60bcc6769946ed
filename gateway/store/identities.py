"""Who is compared with whom: traits of people, keys that came back as somebody else, links that a rule or a person
makes. All of it inside the transaction that resolves."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.candidates import RULES, Rule, Traits
from gateway.store.runs import Attempt, Reject

Key = tuple[int, str]
"""A source key of a person, by its connection."""


@dataclass(frozen=True)
class Returned:
    """A key that denotes `entity` and that this run says something new about: names, a birth date.

    `traits` are those of the person as published (the last time, where it is not now). `changed` names the records
    of this run that state the person; `staged` are their claims: (collection, record key, rank, anchor, values).
    """

    key: str
    entity: str
    traits: Traits
    changed: list[tuple[str, str]]
    staged: list[tuple[str, str, int, bool, dict[str, Any]]]


_STATES_PERSON = "a.j->>0 = 'person' AND a.j->>2 IS NULL"
_RETURNED = text(
    f"""
    WITH said AS MATERIALIZED (
        SELECT x.collection, x.key AS record_key, x.op, a.j->>1 AS key, CAST(a.j->>3 AS boolean) AS anchor,
               CAST(a.j->>4 AS int) AS rank, a.j->5 AS stated
        FROM changed x JOIN staged s ON s.run_id = :run AND s.page = x.page AND s.place = x.place,
             json_array_elements(s.claims) a(j)
        WHERE CAST(s.claims AS text) ~ '"(given_name|family_name|birth_date)":' AND {_STATES_PERSON}
    ), news AS (
        SELECT DISTINCT l.key, l.entity_id FROM said n
        JOIN link l ON l.connection_id = :connection AND l.kind = 'person' AND l.key = n.key
        WHERE NOT EXISTS (
            SELECT FROM claim c WHERE c.connection_id = :connection AND c.collection = n.collection
            AND c.record_key = n.record_key AND c.kind = 'person' AND c.key = n.key
            AND c.stated->>'given_name' IS NOT DISTINCT FROM n.stated->>'given_name'
            AND c.stated->>'family_name' IS NOT DISTINCT FROM n.stated->>'family_name'
            AND c.stated->>'birth_date' IS NOT DISTINCT FROM n.stated->>'birth_date')
    )
    SELECT w.key, CAST(w.entity_id AS text) AS entity, p.named, p.born,
           json_agg(json_build_array(n.collection, n.record_key)) AS changed,
           json_agg(json_build_array(n.collection, n.record_key, n.rank, n.anchor, n.stated)) AS staged
    FROM news w JOIN said n ON n.key = w.key LEFT JOIN person_trait p ON p.entity_id = w.entity_id
    GROUP BY 1, 2, 3, 4
    """
)


async def returned(c: AsyncConnection, attempt: Attempt) -> list[Returned]:
    """The known keys whose name or birth date this run would change, in the change set that `compare` found."""
    values = {"run": attempt.run, "connection": attempt.connection}
    known = "SELECT EXISTS (SELECT FROM link WHERE connection_id = :connection AND kind = 'person')"
    if not await c.scalar(text(known), values):
        return []
    return [
        Returned(
            row.key, row.entity, Traits(named=row.named, born=row.born),
            [(collection, key) for collection, key in row.changed],
            [tuple(claim) for claim in row.staged],
        )
        for row in await c.execute(_RETURNED, values)
    ]  # fmt: skip


async def confirmed(c: AsyncConnection, attempt: Attempt) -> set[tuple[str, int | None, int | None]]:
    """What a person called the same child in spite of it all: (key, named, born) of this connection."""
    rows = await c.execute(
        text(
            "SELECT key, named, born FROM identity_decision WHERE act = 'same' AND undone_by IS NULL "
            "AND connection_id = :connection AND named IS NOT NULL"
        ),
        {"connection": attempt.connection},
    )
    return {(row.key, row.named, row.born) for row in rows}


@dataclass(frozen=True)
class Conflict:
    """A key that came back as somebody else, and what is held out of the change set because of it."""

    returned: Returned
    doc: dict[str, Any]
    traits: Traits


HELD_OUT = Reject(
    "identity-conflict",
    "This key stands for somebody with another name and another birth date. What is published stays as it is.",
)


async def hold_out(c: AsyncConnection, attempt: Attempt, conflicts: Sequence[Conflict]) -> dict[str, int]:
    """Take the records of these keys out of the change set and list them; returns collection -> how many.

    A conflict that the connection's new pull does not confirm is over: `settle` takes it off the list.
    """
    values = {
        "district": attempt.district,
        "run": attempt.run,
        "connection": attempt.connection,
        "code": HELD_OUT.code,
        "reason": HELD_OUT.reason,
        "records": json.dumps([[*record, one.returned.key] for one in conflicts for record in one.returned.changed]),
        "conflicts": json.dumps(
            [
                [
                    one.returned.key, one.returned.entity, sorted({name for name, _ in one.returned.changed}),
                    one.doc, one.traits.named, one.traits.born,
                ]
                for one in conflicts
            ]
        ),
    }  # fmt: skip
    for statement in _LIST_CONFLICTS:
        await c.execute(text(statement), values)
    return {row.collection: row.n for row in await c.execute(text(_HOLD_OUT), values)}


_LIST_CONFLICTS = (
    "UPDATE identity_conflict i SET over = true WHERE connection_id = :connection "
    "AND EXISTS (SELECT FROM run WHERE id = :run AND kind = 'pull') "
    "AND NOT EXISTS (SELECT FROM unnest(i.collections) said WHERE NOT EXISTS (SELECT FROM run_page p "
    "  WHERE p.run_id = :run AND p.collection = said HAVING max(absent) = '' AND sum(unkeyed) = 0 "
    "  AND NOT bool_or(partial)))",
    "INSERT INTO identity_conflict (district_id, connection_id, key, entity_id, collections, doc, named, "
    "  born, run_id) "
    "SELECT :district, :connection, j->>0, CAST(j->>1 AS uuid), ARRAY(SELECT json_array_elements_text(j->2)), j->3, "
    "  CAST(j->>4 AS bigint), CAST(j->>5 AS bigint), :run FROM json_array_elements(CAST(:conflicts AS json)) j "
    "ON CONFLICT (key, connection_id) DO UPDATE SET doc = excluded.doc, entity_id = excluded.entity_id, "
    "  collections = excluded.collections, named = excluded.named, born = excluded.born, over = false",
    "DELETE FROM reject WHERE run_id = :run AND code = :code",
    "INSERT INTO reject (district_id, run_id, connection_id, collection, key, position, field, code, reason) "
    "SELECT :district, :run, :connection, j->>0, j->>1, '', '', :code, :reason "
    "FROM json_array_elements(CAST(:records AS json)) j",
)
_HOLD_OUT = (
    "WITH held AS (DELETE FROM changed x USING json_array_elements(CAST(:records AS json)) j "
    "WHERE x.collection = j->>0 AND x.key = j->>1 RETURNING x.collection) "
    "SELECT collection, count(*) AS n FROM held GROUP BY 1"
)


async def keep_open(c: AsyncConnection, attempt: Attempt, *, gone: bool) -> None:
    """What is not published ends no conflict: none of the connection's, or (`gone`) none of whose key is only said to
    be gone, in the change set as long as its removals are in it."""
    await c.execute(
        text(
            "UPDATE identity_conflict i SET over = false WHERE i.over AND i.connection_id = :connection "
            "AND (NOT :gone OR EXISTS (SELECT FROM changed x JOIN claim c ON c.connection_id = i.connection_id "
            "  AND c.collection = x.collection AND c.record_key = x.key "
            "  WHERE x.op = 'gone' AND c.kind = 'person' AND c.key = i.key))"
        ),
        {"connection": attempt.connection, "gone": gone},
    )


async def any_over(c: AsyncConnection) -> bool:
    """Whether a conflict is over that is on the list still."""
    return bool(await c.scalar(text("SELECT EXISTS (SELECT FROM identity_conflict WHERE over)")))


async def settle(c: AsyncConnection) -> None:
    """Take conflicts that are over off the list, and touch their keys: what waited for them is resolved again."""
    await c.execute(
        text(
            "WITH over AS (DELETE FROM identity_conflict WHERE over RETURNING connection_id, key) "
            "INSERT INTO touched SELECT connection_id, 'person', key FROM over ON CONFLICT DO NOTHING"
        )
    )


async def in_conflict(c: AsyncConnection) -> dict[Key, int]:
    """Every key in conflict -> the first run whose statements about it wait."""
    rows = await c.execute(text("SELECT connection_id, key, run_id FROM identity_conflict"))
    return {(row.connection_id, row.key): row.run_id for row in rows}


async def rules(c: AsyncConnection) -> list[Rule]:
    """The district's rules beyond the configured identifier; none unless switched on."""
    rows = await c.execute(text("SELECT rule, systems FROM identity_rule ORDER BY rule"))
    return [Rule(frozenset(row.systems), RULES[row.rule][0]) for row in rows]


async def alike(c: AsyncConnection) -> list[tuple[Key, str, dict[str, Any]]]:
    """For each key that is being recognised and is not yet: published people with one of its numbers and its birth
    date whom no living key of its source denotes and no person has refused: (key, entity, doc)."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT ON (w.connection_id, w.key, e.id) w.connection_id, w.key, CAST(e.id AS text) AS entity, "
            "  e.doc FROM word w JOIN person_number n ON n.number = ANY(w.numbers) AND NOT n.former "
            "JOIN person_trait p ON p.entity_id = n.entity_id AND p.born = w.born "
            "JOIN entity e ON e.id = n.entity_id AND e.kind = 'person' "
            "WHERE NOT EXISTS (SELECT FROM link l WHERE l.connection_id = w.connection_id AND l.kind = 'person' "
            "  AND l.key = w.key) "
            f"AND NOT {refused('w', 'e')} "
            "AND NOT EXISTS (SELECT FROM link l JOIN claim c ON c.connection_id = l.connection_id AND c.kind = l.kind "
            "  AND c.key = l.key AND c.anchor WHERE l.entity_id = e.id AND l.kind = 'person' AND l.method <> 'alias' "
            "  AND l.connection_id = w.connection_id)"
        )
    )
    return [((row.connection_id, row.key), row.entity, row.doc) for row in rows]


def refused(key: str, person: str) -> str:
    """SQL: a person said that this row's key does not denote this entity. The arguments are aliases."""
    return (
        f"EXISTS (SELECT FROM identity_decision d WHERE d.key = {key}.key "
        f"AND d.connection_id = {key}.connection_id AND d.entity_id = {person}.id "
        "AND d.act IN ('different', 'split') AND d.undone_by IS NULL)"
    )


def contradicted(key: str, person: str) -> str:
    """SQL: what a key says of itself cannot be this person, although the number says so. `key` is an alias of a row
    with traits: named, born, numbers."""
    return (
        # Another name and another birth date; or another name, and somebody else has just this name and birth date.
        f"EXISTS (SELECT FROM person_trait p WHERE p.entity_id = {person}.id AND ("
        f"  ({key}.named <> p.named AND ({key}.born <> p.born OR EXISTS ("
        "    SELECT FROM person_trait o JOIN entity x ON x.id = o.entity_id AND x.kind = 'person' "
        f"    WHERE o.named = {key}.named AND o.born = {key}.born AND o.entity_id <> {person}.id))) "
        # Nothing but the number speaks for it, and the number was somebody else's before.
        f"  OR (({key}.named = p.named OR {key}.born = p.born) IS NOT TRUE AND EXISTS ("
        "    SELECT FROM person_number f JOIN person_trait q ON q.entity_id = f.entity_id "
        f"    WHERE f.number = ANY({key}.numbers) AND f.former AND f.entity_id <> {person}.id "
        "    AND q.named <> p.named AND q.born <> p.born))))"
    )


async def add_ruled(c: AsyncConnection, attempt: Attempt, links: Iterable[tuple[Key, str]]) -> None:
    """Link keys to the people a rule of the district finds."""
    await c.execute(
        text(
            "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
            "SELECT :district, CAST(j->>0 AS int), 'person', j->>1, CAST(j->>2 AS uuid), 'ruled', :run, :run "
            "FROM json_array_elements(CAST(:links AS json)) j ON CONFLICT DO NOTHING"
        ),
        {
            "district": attempt.district,
            "run": attempt.run,
            "links": json.dumps([[*key, entity] for key, entity in links]),
        },
    )


_COME_BACK = f"""
    WITH found AS MATERIALIZED (
        SELECT DISTINCT w.connection_id, w.key, p.entity_id FROM word w
        JOIN person_number n ON n.number = ANY(w.numbers)
        JOIN person_trait p ON p.entity_id = n.entity_id AND p.named = w.named AND p.born = w.born
        CROSS JOIN LATERAL (SELECT p.entity_id AS id) e
        WHERE w.first IS NOT NULL AND NOT {refused("w", "e")}
        AND NOT EXISTS (SELECT FROM link l WHERE l.key = w.key AND l.kind = 'person'
            AND l.connection_id = w.connection_id)
        AND NOT EXISTS (SELECT FROM entity x WHERE x.id = p.entity_id AND x.kind = 'person')
        AND NOT EXISTS (SELECT FROM identity_decision d WHERE d.entity_id = p.entity_id AND d.act = 'merge'
            AND d.undone_by IS NULL)
        AND w.about = (SELECT h.before->>'population' FROM change h
            WHERE h.entity_id = p.entity_id AND h.kind = 'person' ORDER BY h.seq DESC LIMIT 1)
    )
    INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since)
    SELECT :district, f.connection_id, 'person', f.key, f.entity_id, 'matched', :run, :run FROM found f
    WHERE (SELECT count(*) FROM found o WHERE o.entity_id = f.entity_id) = 1
    AND (SELECT count(*) FROM found o WHERE o.key = f.key AND o.connection_id = f.connection_id) = 1
"""


async def add_come_back(c: AsyncConnection, attempt: Attempt) -> None:
    """Link keys that nobody published is recognised by to the one person who was published once and is that person by
    number, name and birth date: whoever comes back under a new key keeps their id."""
    await c.execute(text(_COME_BACK), {"district": attempt.district, "run": attempt.run})


_AGED = "UPDATE person_number n SET former = true FROM next WHERE n.entity_id = next.id AND NOT n.former"
_TAKEN_BACK = (
    "DELETE FROM person_number n USING next WHERE n.entity_id = next.id AND next.numbers IS NOT NULL AND NOT n.former"
)
_PUT_TRAITS = """
    WITH next AS MATERIALIZED (
        SELECT CAST(j->>0 AS uuid) AS id, CAST(j->>1 AS bigint) AS named, CAST(j->>2 AS bigint) AS born,
               CAST(j->>3 AS bigint) AS email, CAST(j->>4 AS bigint) AS phone,
               CAST(j->>5 AS json) AS numbers
        FROM json_array_elements(CAST(:rows AS json)) j
    ), number AS MATERIALIZED (
        SELECT id, CAST(v AS bigint) AS number FROM next, json_array_elements_text(numbers) v
    ), put AS (
        INSERT INTO person_trait (district_id, entity_id, named, born, email, phone)
        SELECT :district, id, named, born, email, phone FROM next WHERE numbers IS NOT NULL
        ON CONFLICT (entity_id) DO UPDATE SET named = excluded.named, born = excluded.born, email = excluded.email,
            phone = excluded.phone
        WHERE (person_trait.named, person_trait.born, person_trait.email, person_trait.phone)
            IS DISTINCT FROM (excluded.named, excluded.born, excluded.email, excluded.phone)
    ), gone AS (
        {gone} AND NOT EXISTS (SELECT FROM number m WHERE m.id = n.entity_id AND m.number = n.number)
    )
    INSERT INTO person_number (district_id, entity_id, number) SELECT :district, id, number FROM number
    ON CONFLICT (entity_id, number) DO UPDATE SET former = false WHERE person_number.former
"""


async def put_traits(c: AsyncConnection, attempt: Attempt, people: Sequence[tuple[str, Traits | None]]) -> None:
    """Keep by what these people are compared. None: a person who is not published any more keeps the traits, for the
    day the key comes back.

    A number that a source takes back becomes a former one. One that leaves with a key, because a person decided so,
    was never this person's.
    """
    values = {
        "district": attempt.district,
        "rows": json.dumps([[id, *(_row(has) if has else [None] * 5)] for id, has in people]),
    }
    statements = [_AGED] if attempt.kind != "decision" else [_TAKEN_BACK, _AGED]
    for gone in statements:
        await c.execute(text(_PUT_TRAITS.format(gone=gone)), values)


def _row(has: Traits) -> list[Any]:
    return [has.named, has.born, has.email, has.phone, sorted(has.numbers)]
