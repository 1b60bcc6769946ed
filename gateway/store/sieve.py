"""What a pull may not bring back: rows of a page that speak of somebody who was purged."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.identity import System
from gateway.store import marks
from gateway.store.gathering import STUDENT_OF
from gateway.store.marks import Marks, Parts


class Row(NamedTuple):
    """A row on its way into staging: its key, its claims as JSON if it states any, and what is kept of it."""

    key: str | None
    claims: msgspec.Raw | None = None
    body: msgspec.Raw | None = None


class Sifted(NamedTuple):
    """Places of rows: those that are not to be kept, and those of which only the claims are."""

    dropped: set[int]
    wordless: set[int]


async def sift(c: AsyncConnection, own: Marks, district: int, run: int, collection: str, rows: Iterable[Row]) -> Sifted:
    """What of a page is not to be kept. No purge can happen until the caller's transaction ends. Where nobody was ever
    purged, `rows` are not looked at.

    Somebody who comes under a new key is known by the number that all systems know; their new key is marked then,
    and what the run has staged about it is dropped too.
    """
    if not await c.scalar(text("SELECT planbridge_has_purged(:district)"), {"district": district}):
        return Sifted(set(), set())
    connection = (
        await c.execute(
            text(
                "SELECT n.name, s.name AS system, s.assigned_by FROM run r "
                "JOIN connection n ON n.id = r.connection_id "
                "JOIN number_system s ON s.connection_id = n.id AND s.population = 'student' WHERE r.id = :run"
            ),
            {"run": run},
        )
    ).one()
    system = System(connection.system, connection.assigned_by)
    said = [_said(collection, row, system) for row in rows]
    hits = await _hits(c, own, connection.name, {part for one in said for part in one.every()})
    await _keep_contacts(c, own, run, connection.name, hits, said)
    for one in said:
        if (known := hits.keys() & set(one.numbers)) and one.persons:
            await _mark_anew(c, own, district, run, connection.name, hits[known.pop()], one)
    return Sifted(
        {place for place, one in enumerate(said) if not hits.keys().isdisjoint(one.theirs)},
        {place for place, one in enumerate(said) if not hits.keys().isdisjoint(one.words)},
    )


@dataclass
class _Said:
    """What one row says, as the parts of the marks it would have."""

    record: Parts | None = None
    persons: list[str] = field(default_factory=list)
    theirs: list[Parts] = field(default_factory=list)
    numbers: list[Parts] = field(default_factory=list)
    words: list[Parts] = field(default_factory=list)
    families: list[tuple[Parts, Parts]] = field(default_factory=list)
    """(student, contact) of each relationship."""

    def every(self) -> Iterator[Parts]:
        yield from self.theirs
        yield from self.words
        for _, contact in self.families:
            yield contact


def _said(collection: str, row: Row, number: System) -> _Said:
    said = _Said()
    if row.key is not None:
        said.record = marks.record(collection, row.key)
        said.theirs.append(said.record)
    claims = msgspec.json.decode(row.claims) if row.claims else []
    for kind, key, same_as, _, _, values in claims:
        values = values or {}
        if kind == "person":
            for one in (key, same_as) if same_as else (key,):
                said.persons.append(one)
                said.theirs += [marks.person(one), marks.contact(one)]
            said.numbers += _numbers(values, number)
        elif kind in STUDENT_OF and (student := values.get(STUDENT_OF[kind])):
            said.theirs.append(marks.person(student))
            if kind == "relationship" and "contact" in values:
                said.families.append((marks.person(student), marks.contact(values["contact"])))
    said.theirs += said.numbers
    if row.body is not None and (said.persons or not claims):
        # A parent's record may name the children. What states nothing at all is theirs if it names them.
        said.words = [marks.word(word) for word in marks.words_of(row.key, row.body)]
        if not claims:
            said.theirs += said.words
    return said


def _numbers(values: dict[str, Any], system: System) -> list[Parts]:
    if values.get("population", "student") != "student":
        return []
    return [marks.number(one["value"]) for one in values.get("identifiers", ()) if system.has(one)]


async def _hits(c: AsyncConnection, own: Marks, connection: str, parts: Iterable[Parts]) -> dict[Parts, str]:
    """Those that are marked -> the purge that did it."""
    wanted = {mark: one for one in parts for mark in own.every(*one)}
    rows = await c.execute(
        text(
            "SELECT mark, CAST(purge_id AS text) AS purge FROM purged_mark "
            "WHERE mark = ANY(:marks) AND connection IN ('', :connection)"
        ),
        {"marks": list(wanted), "connection": connection},
    )
    return {wanted[row.mark]: row.purge for row in rows}


async def _keep_contacts(
    c: AsyncConnection, own: Marks, run: int, connection: str, hits: dict[Parts, str], said: Iterable[_Said]
) -> None:
    """Family that went with a purged student, and now belongs to another one, may come back from the next pull on. That
    one is whole: nothing of theirs has changed at the source."""
    freed = {contact for one in said for student, contact in one.families if contact in hits and student not in hits}
    if freed:
        await c.execute(
            text("DELETE FROM purged_mark WHERE connection = :connection AND mark = ANY(:marks)"),
            {"connection": connection, "marks": [mark for contact in freed for mark in own.every(*contact)]},
        )
        await c.execute(
            text(
                "WITH mine AS (UPDATE run SET marks = CASE WHEN marks IS NOT NULL THEN CAST('{}' AS json) END "
                "  WHERE id = :run RETURNING connection_id) "
                "DELETE FROM watermark USING mine WHERE watermark.connection_id = mine.connection_id"
            ),
            {"run": run},
        )


async def _mark_anew(
    c: AsyncConnection, own: Marks, district: int, run: int, connection: str, purge: str, said: _Said
) -> None:
    parts = [marks.person(key) for key in said.persons] + ([said.record] if said.record else [])
    await c.execute(
        text(
            "INSERT INTO purged_mark (district_id, mark, connection, purge_id) "
            "SELECT :district, mark, :connection, CAST(:purge AS uuid) FROM unnest(CAST(:marks AS text[])) mark "
            "ON CONFLICT DO NOTHING"
        ),
        {"district": district, "connection": connection, "purge": purge, "marks": [own.new(*one) for one in parts]},
    )
    await c.execute(text(_UNSTAGE), {"run": run, "keys": said.persons})


_STUDENTS = ", ".join(f"('{kind}', '{name}')" for kind, name in STUDENT_OF.items())
_UNSTAGE = f"""
    WITH dropped AS (
        DELETE FROM staged s WHERE s.run_id = :run AND EXISTS (
            SELECT FROM json_array_elements(s.claims) a LEFT JOIN (VALUES {_STUDENTS}) f(kind, field) ON f.kind = a->>0
            WHERE CASE a->>0 WHEN 'person' THEN a->>1 ELSE a->5->>f.field END = ANY(:keys))
        RETURNING page, key
    ), told AS (
        UPDATE leniency l SET examples = NULL
        WHERE l.run_id = :run AND l.examples && ARRAY(SELECT key FROM dropped)
    )
    UPDATE run_page p SET purged = purged + n FROM (SELECT page, count(*) AS n FROM dropped GROUP BY page) d
    WHERE p.run_id = :run AND p.id = d.page
"""
