"""What an agreement would reach before it is approved: how many, of whom, and what is new."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.masking import shape, tail
from gateway.store.reach import wanting, whole
from gateway.vendors import Terms, Widening, new_fields

EXAMPLES = 10
_TELLING = ("plans", "record", "events", "demographics", "results", "assessmentResults")
"""Collections that tell of students, where neither users nor enrollments are agreed."""


@dataclass(frozen=True)
class Preview:
    """What terms would reach. `people`: by what they are; `rows`: of each collection; `schools`: each with its classes,
    students, staff, and students by grade; `newly` and `no_longer`: people, against the terms in force; `examples`:
    some whom it would reach, those first who are new, masked."""

    people: dict[str, int]
    rows: dict[str, int]
    schools: list[dict[str, Any]]
    newly: int
    no_longer: int
    examples: list[dict[str, Any]]
    widening: Widening

    def as_document(self) -> dict[str, Any]:
        return asdict(self) | {"confirm": self.widening.people if self.widening.large else None}


async def preview(c: AsyncConnection, client: str, terms: Terms, before: Terms | None, today: date) -> Preview:
    """What these terms would reach now, and how that differs from the terms in force, if any are."""
    await whole(c)
    found = await _found(c, client, terms, today)
    known = (await _found(c, client, before, today)).people if before else {}
    people = found.people
    schools = await _schools(c, found)
    new = people.keys() - known.keys()
    there = {place for one in known.values() for place in one.places}
    opened = tuple(one["name"] for one in schools if one["students"] and one["school"] not in there) if before else ()
    await c.execute(text("SELECT set_config('enable_nestloop', 'on', true)"))
    widening = Widening(len(known), len(new), opened, new_fields(before, terms))
    return Preview(
        dict(Counter(one.what for one in people.values())),
        found.rows,
        schools,
        len(new),
        len(known.keys() - people.keys()),
        await _examples(c, [*sorted(new), *sorted(people.keys() & known.keys())][:EXAMPLES], people),
        widening,
    )


@dataclass(frozen=True)
class _Reached:
    what: str
    grades: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """`people` by sourcedId; how many `rows` of each collection, and how many `classes` at each school."""

    people: dict[str, _Reached]
    rows: dict[str, int]
    classes: dict[str, int]


async def _found(c: AsyncConnection, client: str, terms: Terms, today: date) -> _Found:
    """What these terms reach, in one look at it."""
    of: tuple[str, ...] = ()
    if {"users", "enrollments"} & set(terms.collections):
        of = ("child", "staff", "contact")
    elif set(_TELLING) & set(terms.collections):
        of = ("child",)
    wanted = wanting(client, terms, today)
    each = " UNION ALL ".join(f"SELECT '{one}' AS what, sourced_id FROM {one}" for one in of)
    people = (
        "SELECT p.what, p.sourced_id AS id, s.grades, at.places, CAST(NULL AS bigint) AS n "
        f"FROM ({each}) p JOIN served_users s ON s.sourced_id = p.sourced_id "
        "LEFT JOIN at ON at.sourced_id = p.sourced_id UNION ALL "
    )
    rows = await c.execute(
        text(
            f"{wanted.sql}, at AS (SELECT t.sourced_id, array_agg(DISTINCT t.org) AS places FROM part t "
            "  JOIN place l ON l.sourced_id = t.org GROUP BY 1) "
            f"{people if of else ''}"
            "SELECT 'rows' AS what, collection AS id, NULL AS grades, NULL AS places, count(*) AS n FROM wanted "
            "WHERE collection <> 'students' GROUP BY 2 "
            "UNION ALL SELECT 'classes', school_id, NULL, NULL, count(*) FROM class GROUP BY 2"
        ),
        wanted.values,
    )
    words = {"child": "students", "staff": "staff", "contact": "family"}
    found = _Found({}, {}, {})
    for row in rows:
        if row.what == "rows":
            found.rows[row.id] = row.n
        elif row.what == "classes":
            found.classes[row.id] = row.n
        else:
            found.people[row.id] = _Reached(words[row.what], tuple(row.grades or ()), tuple(row.places or ()))
    return _Found(found.people, dict(sorted(found.rows.items())), found.classes)


async def _schools(c: AsyncConnection, found: _Found) -> list[dict[str, Any]]:
    at: dict[str, Counter[str]] = {school: Counter() for school in found.classes}
    for one in found.people.values():
        for place in one.places:
            at.setdefault(place, Counter())[one.what] += 1
            if one.what == "students":
                at[place].update(f"grade {grade}" for grade in one.grades or ("none",))
    named = await c.execute(
        text("SELECT sourced_id, doc->>'name' AS name FROM served_orgs WHERE sourced_id = ANY(CAST(:ids AS text[]))"),
        {"ids": list(at)},
    )
    names = {row.sourced_id: row.name for row in named}
    return [
        {
            "school": id,
            "name": names.get(id, id),
            "classes": found.classes.get(id, 0),
            "students": n["students"],
            "staff": n["staff"],
            "grades": {key.removeprefix("grade "): m for key, m in sorted(n.items()) if key.startswith("grade ")},
        }
        for id, n in sorted(at.items(), key=lambda one: names.get(one[0], one[0]))
    ]


async def _examples(c: AsyncConnection, ids: Sequence[str], people: Mapping[str, _Reached]) -> list[dict[str, Any]]:
    rows = await c.execute(
        text(
            "SELECT sourced_id, doc->>'givenName' AS given, doc->>'familyName' AS family, "
            "  doc->>'identifier' AS number FROM served_users WHERE sourced_id = ANY(CAST(:ids AS text[]))"
        ),
        {"ids": list(ids)},
    )
    found = {row.sourced_id: row for row in rows}
    return [
        {
            "is": people[id].what,
            "name": f"{shape(found[id].given or '')} {shape(found[id].family or '')}",
            "number": tail(found[id].number),
            "grades": list(people[id].grades),
        }
        for id in ids
    ]
