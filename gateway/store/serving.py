"""A page of what is served: its rows and the total, both from what was found out once and is remembered."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text

from gateway import clock
from gateway.errors import ConfigError
from gateway.queries import Clause, Filter, Query, View
from gateway.served import COLLECTIONS
from gateway.served import Collection as Collected
from gateway.store import reads, served, vendors
from gateway.store.database import Ask, Transaction, literal, together
from gateway.store.questions import AT, LIVE, Question
from gateway.vendors import Agreement

State = tuple[Any, ...]

LISTED = 10_000
"""Of every answer the ids of so many rows are remembered, in its order: a page of these is found by its ids."""
STEP = 100
"""Beyond, every so many rows a place is remembered, from which a page is reached without counting from the start."""
MOST_REMEMBERED = 500_000
"""Ids in all: about 50 MB."""


class Row(NamedTuple):
    """One row of a page. `document` is the record of 1.2 but for its status and dateLastModified, and None of a row
    that is no longer there, or no longer for this program; `survivor`: the row that it was merged into; `student`: the
    id of the student of whom it tells."""

    sourced_id: str
    at: datetime
    document: str | None
    survivor: str | None
    student: str | None


@dataclass(frozen=True)
class Page:
    rows: list[Row]
    total: int


@dataclass(frozen=True)
class Look:
    """What a program is served by: its agreement, the number of the projection, and when its reach last moved."""

    agreement: Agreement
    number: int | None
    moved: str | None

    @property
    def state(self) -> State:
        """What totals depend on. Unavailable while nothing is ready to be served."""
        if self.number is None:
            raise served.not_ready()
        return self.number, self.moved


def looking(whose: Ask, collections: Collection[str]) -> Ask:
    """What to ask instead of who holds a token, to know in one also by what that program is served, as far as an answer
    tells of these collections; in a transaction that is steady."""
    statement, values = whose
    today = {"today": clock.today().isoformat(), "collections": sorted(collections)}
    return _LOOK.format(whose=statement), {**values, **today}


async def look(c: Transaction, district: int, client: str, collections: Collection[str]) -> Look:
    """The same of a program that is known already."""
    await served.steady(c, district)
    [[found]] = await together(c, looking(("SELECT CAST(:client AS text) AS id", {"client": client}), collections))
    return looked(found, client)


def looked(found: Any, client: str) -> Look:
    """What came of it. Refused where no agreement is in force today."""
    return Look(vendors.agreed(found, client, clock.today()), found.number, found.moved)


_LOOK = (
    "SELECT w.*, a.*, p.number, m.moved FROM ({whose}) w "
    f"LEFT JOIN LATERAL ({vendors.IN_FORCE.replace(':client', 'w.id')}) a ON true "
    f"LEFT JOIN projection p ON {served.READY} LEFT JOIN LATERAL ("
    "  SELECT string_agg(CAST(e.at AS text), ' ') AS moved FROM unnest(CAST(:collections AS text[])) k (name), "
    "  LATERAL (SELECT max(at) AS at FROM reach WHERE agreement_id = a.agreement AND collection = k.name) e) m ON true"
)


async def page(c: Transaction, district: int, agreement: int, query: Query, state: State | None = None) -> Page:
    """The rows that answer, and how many there are beyond this page; `state` as a look at it found it in the same
    transaction. ConfigError for a parent that is not there (`parent-unknown`) and for a filter that cannot be
    (`filter-unusable`)."""
    question = Question(district, agreement, query)
    state = state or await _state(c, question)
    await _demand_parents(c, question)
    key = (district, agreement, state, repr(replace(query, limit=0, offset=0)))
    known = _recall(key)
    if known is None:
        known = await _measure(c, question)
        _remember(key, known)
    return Page(await _rows(c, question, known), known.total)


async def single(c: Transaction, district: int, agreement: int, view: View, sourced_id: str) -> Row | None:
    """One row of a view; None where this program has none such, or no longer."""
    wanted = Filter((Clause("sourcedId", "=", sourced_id),))
    question = Question(district, agreement, Query(view, filter=wanted, limit=1))
    await served.reading(c, district)
    found = await _selected(c, question, question.source)
    return found[0] if found else None


async def survivor(c: Transaction, district: int, agreement: int, view: View, sourced_id: str) -> str | None:
    """Into which row, that this program has, somebody of whom it knew was merged."""
    table = COLLECTIONS[view.collection].table
    if view.collection not in _PEOPLE:
        return None
    found: str | None = await c.scalar(
        text(
            f"SELECT s.survivor FROM {table} s JOIN {table} t ON t.district_id = s.district_id "
            "  AND t.sourced_id = s.survivor AND NOT t.gone "
            "JOIN reach r ON r.agreement_id = :agreement AND r.collection = :collection "
            "  AND r.sourced_id = s.sourced_id "
            "JOIN reach v ON v.agreement_id = :agreement AND v.collection = :collection "
            "  AND v.sourced_id = t.sourced_id AND v.visible "
            "WHERE s.district_id = :district AND s.sourced_id = :id AND s.gone"
        ),
        {"agreement": agreement, "collection": view.collection, "district": district, "id": sourced_id},
    )
    return found


_PEOPLE = ("users", "demographics")


async def _state(c: Transaction, question: Question) -> State:
    number, _ = await served.reading(c, question.district)
    return number, None


async def _demand_parents(c: Transaction, question: Question) -> None:
    """ConfigError where a parent is not there."""
    if not question.query.parents:
        return
    parents = ", ".join(question.parent(n) for n in range(len(question.query.parents)))
    there = (await c.execute(text(f"SELECT {parents}"), question.values)).one()
    for parent, found in zip(question.query.parents, there, strict=True):
        if not found:
            raise ConfigError(
                "parent-unknown",
                f"Among the {parent.view.name} there is none with this {parent.name}"
                f"{' below the one named before it' if parent.below else ''}.",
                "Ask for the list of them: whatever is within the agreement is in it.",
            )


# --- what is found out once ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Known:
    """How many rows answer a question; the ids of the first of them, and of every STEP-th one behind, in its order."""

    total: int
    listed: Sequence[str]
    places: Sequence[str]


async def _measure(c: Transaction, question: Question) -> _Known:
    row = (
        await c.execute(
            text(
                "SELECT count(*), array_agg(x.id ORDER BY x.n) FILTER (WHERE x.n <= :listed), "
                "array_agg(x.id ORDER BY x.n) FILTER (WHERE x.n >= :listed AND (x.n - :listed) % :step = 0) "
                f"FROM (SELECT s.sourced_id, row_number() OVER (ORDER BY {question.order}) "
                f"FROM {question.source}) x (id, n)"
            ),
            {**question.values, "listed": LISTED, "step": STEP},
        )
    ).one()
    return _Known(row[0], tuple(row[1] or ()), tuple(row[2] or ()))


_REMEMBERED: OrderedDict[tuple[Any, ...], _Known] = OrderedDict()


def _recall(key: tuple[Any, ...]) -> _Known | None:
    found = _REMEMBERED.get(key)
    if found is not None:
        _REMEMBERED.move_to_end(key)
    return found


def _remember(key: tuple[Any, ...], known: _Known) -> None:
    """In this process alone: another one finds it out for itself."""
    _REMEMBERED[key] = known
    held = sum(_size(one) for one in _REMEMBERED.values())
    while held > MOST_REMEMBERED:
        held -= _size(_REMEMBERED.popitem(last=False)[1])


def _size(known: _Known) -> int:
    return len(known.listed) + len(known.places) + 10


# --- the rows of a page --------------------------------------------------------------------------------------


async def _rows(c: Transaction, question: Question, known: _Known) -> list[Row]:
    offset, limit = question.query.offset, question.query.limit
    if offset >= known.total:
        return []
    if offset + limit <= len(known.listed) or known.total == len(known.listed):
        return await _by_ids(c, question, known.listed[offset : offset + limit])
    source = question.source
    if question.by_id and offset >= LISTED:
        steps = (offset - LISTED) // STEP
        after = question.value(known.places[steps])
        source += f" AND s.sourced_id > {after} AND r.sourced_id > {after}"
        offset -= LISTED + steps * STEP
    limited = f"{source} ORDER BY {question.order} LIMIT {question.value(limit)} OFFSET {question.value(offset)}"
    return await _selected(c, question, limited)


async def _by_ids(c: Transaction, question: Question, ids: Sequence[str]) -> list[Row]:
    """Of these nothing but whether they are still there has to be looked at again."""
    there = "" if question.gone_too else f" AND {LIVE.format(row='s', reach='r')}"
    collection = question.collection
    asked = {
        "district": question.district,
        "agreement": question.agreement,
        "collection": collection.name,
        "ids": literal(ids),
    }
    [rows] = await together(
        c,
        (
            f"SELECT {_columns(collection)} FROM {collection.table} s JOIN reach r ON r.sourced_id = s.sourced_id "
            "WHERE r.agreement_id = CAST(:agreement AS bigint) AND r.collection = :collection "
            "AND s.district_id = CAST(:district AS int) AND r.district_id = CAST(:district AS int) "
            f"AND s.sourced_id = ANY(CAST(:ids AS text[])) AND r.sourced_id = ANY(CAST(:ids AS text[])){there}",
            asked,
        ),
    )
    by_id = {row.sourced_id: row for row in rows}
    return [by_id[id] for id in ids if id in by_id]


async def _selected(c: Transaction, question: Question, source: str) -> list[Row]:
    rows = await c.execute(text(f"SELECT {_columns(question.collection)} FROM {source}"), question.values)
    return [Row(*row) for row in rows]


def _columns(collection: Collected) -> str:
    live = LIVE.format(row="s", reach="r")
    merged = "CAST(NULL AS text)"
    if collection.name in _PEOPLE:  # who they are now is told to whoever has them
        merged = (
            "CASE WHEN EXISTS (SELECT FROM reach v WHERE v.agreement_id = r.agreement_id "
            "AND v.collection = r.collection AND v.sourced_id = s.survivor AND v.visible) THEN s.survivor END"
        )
    return (
        f"s.sourced_id, {AT} AS at, CASE WHEN {live} THEN CAST(s.doc AS text) END AS document, "
        f"CASE WHEN s.gone AND r.visible THEN {merged} END AS survivor, "
        f"CAST(({reads.student(collection.name)}) AS text) AS student"
    )
