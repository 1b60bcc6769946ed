"""A page of what is served: its rows and the total, both from what was found out once and is remembered."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import text

from gateway.errors import ConfigError
from gateway.queries import Clause, Filter, Query, View
from gateway.served import COLLECTIONS
from gateway.store import served
from gateway.store.database import Transaction
from gateway.store.questions import AT, LIVE, Question

LISTED = 10_000
"""Of every answer the ids of so many rows are remembered, in its order: a page of these is found by its ids."""
STEP = 500
"""Beyond, every so many rows a place is remembered, from which a page is reached without counting from the start."""
MOST_REMEMBERED = 500_000
"""Ids in all: about 50 MB."""


@dataclass(frozen=True)
class Row:
    """One row of a page. `document` is the record of 1.2 but for its status and dateLastModified, and None of a row
    that is no longer there, or no longer for this program; `survivor`: the row that it was merged into."""

    sourced_id: str
    at: datetime
    document: str | None
    survivor: str | None


@dataclass(frozen=True)
class Page:
    rows: list[Row]
    total: int


async def page(c: Transaction, district: int, agreement: int, query: Query) -> Page:
    """The rows that answer, and how many there are beyond this page. ConfigError for a parent that is not there
    (`parent-unknown`) and for a filter that cannot be (`filter-unusable`)."""
    question = Question(district, agreement, query)
    state = await _state(c, question)
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


async def _state(c: Transaction, question: Question) -> tuple[Any, ...]:
    """What totals depend on: which projection, and when this program's reach last moved. ConfigError where a parent
    is not there. Until the end of this transaction no projection is committed, so what is read fits together."""
    number, _ = await served.reading(c, question.district)
    collections = question.value(sorted(question.query.told))
    parents = "".join(f", {question.parent(n)}" for n in range(len(question.query.parents)))
    row = (
        await c.execute(
            text(
                "SELECT (SELECT string_agg(CAST(m.at AS text), ' ') FROM unnest(CAST("
                f"{collections} AS text[])) k (name), LATERAL (SELECT max(at) AS at FROM reach "
                f"WHERE agreement_id = :agreement AND collection = k.name) m){parents}"
            ),
            question.values,
        )
    ).one()
    moved, *there = row
    for parent, found in zip(question.query.parents, there, strict=True):
        if not found:
            raise ConfigError(
                "parent-unknown",
                f"Among the {parent.view.name} there is none with this {parent.name}"
                f"{' below the one named before it' if parent.below else ''}.",
                "Ask for the list of them: whatever is within the agreement is in it.",
            )
    return number, moved


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
    there = f"s.sourced_id = ANY(CAST({question.value(list(ids))} AS text[]))"
    if not question.gone_too:
        there += f" AND {LIVE.format(row='s', reach='r')}"
    found = await _selected(c, question, f"{question.reached(question.collection, 's', 'r')} WHERE {there}")
    by_id = {row.sourced_id: row for row in found}
    return [by_id[id] for id in ids if id in by_id]


async def _selected(c: Transaction, question: Question, source: str) -> list[Row]:
    merged = "NULL"
    if question.collection.name in _PEOPLE:  # who they are now is told to whoever has them
        merged = (
            "CASE WHEN s.gone AND r.visible AND EXISTS (SELECT FROM reach v WHERE v.agreement_id = r.agreement_id "
            "AND v.collection = r.collection AND v.sourced_id = s.survivor AND v.visible) THEN s.survivor END"
        )
    live = LIVE.format(row="s", reach="r")
    rows = await c.execute(
        text(
            f"SELECT s.sourced_id, {AT}, CASE WHEN {live} THEN CAST(s.doc AS text) END, CAST({merged} AS text) "
            f"FROM {source}"
        ),
        question.values,
    )
    return [Row(*row) for row in rows]
