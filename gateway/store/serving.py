"""How a question about what is served becomes SQL, and what a page of the answer is; totals and far pages remembered."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from math import isfinite
from typing import Any

from sqlalchemy import text

from gateway.errors import ConfigError
from gateway.queries import Bond, Clause, Filter, Holds, Own, Query, View
from gateway.served import COLLECTIONS, Collection, Column
from gateway.store import served
from gateway.store.database import Transaction

STEP = 500
"""Every so many rows a place is remembered, from which a page is reached without counting from the start."""
MOST_REMEMBERED = 256


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
    (`parent-unknown`), for a filter that cannot be (`filter-unusable`)."""
    asked = _Asked(district, agreement, query)
    state = await _state(c, asked)
    key = (district, agreement, state, replace(query, limit=0, offset=0, sort="", descending=False).__repr__())
    known = _recall(key)
    if known is None:
        known = await _measure(c, asked)
        _remember(key, known)
    if query.offset >= known.total:
        return Page([], known.total)
    return Page(await _rows(c, asked, known), known.total)


async def single(c: Transaction, district: int, agreement: int, view: View, sourced_id: str) -> Row | None:
    """One row of a view; None where this program has none such, or no longer."""
    query = Query(view, filter=Filter((Clause("sourcedId", "=", sourced_id),)), limit=1)
    asked = _Asked(district, agreement, query)
    await served.reading(c, district)
    found = await _rows(c, asked, _Known(1, ()))
    return found[0] if found else None


async def survivor(c: Transaction, district: int, agreement: int, view: View, sourced_id: str) -> str | None:
    """Into which row, that this program has, somebody of whom it knew was merged."""
    table = COLLECTIONS[view.collection].table
    if view.collection not in _PEOPLE:
        return None
    found: str | None = await c.scalar(
        text(
            f"SELECT s.survivor FROM {table} s "
            "JOIN reach r ON r.agreement_id = :agreement AND r.collection = :collection AND r.sourced_id = s.sourced_id "
            f"JOIN {table} t ON t.district_id = :district AND t.sourced_id = s.survivor AND NOT t.gone "
            "JOIN reach v ON v.agreement_id = :agreement AND v.collection = :collection "
            "  AND v.sourced_id = t.sourced_id AND v.visible "
            "WHERE s.district_id = :district AND s.sourced_id = :id AND s.gone"
        ),
        {"agreement": agreement, "collection": view.collection, "district": district, "id": sourced_id},
    )
    return found


_PEOPLE = ("users", "demographics")


# --- a question as SQL ---------------------------------------------------------------------------------------


@dataclass
class _Asked:
    """One question, put together: what follows FROM, and its values."""

    district: int
    agreement: int
    query: Query
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values |= {"district": self.district, "agreement": self.agreement}
        self.gone_too = self.query.filter.tells_of_the_gone
        self.collection = COLLECTIONS[self.query.view.collection]
        self.conditions = self._conditions()

    @property
    def source(self) -> str:
        return f"{self.reached(self.collection, 's', 'r')} WHERE {' AND '.join(self.conditions)}"

    def value(self, value: Any) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def reached(self, collection: Collection, row: str, reach: str) -> str:
        """Rows of a collection and what the agreement says of each; also of those it says so no more."""
        name = self.value(collection.name)
        return (
            f"{collection.table} {row} JOIN reach {reach} ON {reach}.agreement_id = :agreement "
            f"AND {reach}.collection = {name} AND {reach}.sourced_id = {row}.sourced_id "
            f"AND {row}.district_id = :district AND {reach}.district_id = :district"
        )

    def _conditions(self) -> list[str]:
        query = self.query
        found = ["s.district_id = :district"]
        if not self.gone_too:
            found.append(_LIVE.format(row="s", reach="r"))
        found += [self.compared(clause, self.collection, "s") for clause in query.view.where]
        if query.bonds:
            found.append(_any(self.bond(bond, self.collection, "s") for bond in query.bonds))
        found += [self.bond(bond, self.collection, "s") for bond in query.all_of]
        clauses = [self.clause(clause) for clause in query.filter.clauses]
        found += [_any(clauses)] if query.filter.either else clauses
        return found

    def clause(self, clause: Clause) -> str:
        """A comparison of a filter. Of a row that the program is no longer to see nothing can be found out by one: it
        is among the answers whatever its fields say by now."""
        if clause.field == "dateLastModified":
            return self._modified(clause)
        if clause.field == "status":
            live = _LIVE.format(row="s", reach="r")
            return _text(clause, f"CASE WHEN {live} THEN 'active' ELSE 'tobedeleted' END", self)
        compared = self.compared(clause, self.collection, "s")
        if clause.field == "sourcedId" or not self.gone_too:
            return compared
        return f"(NOT r.visible OR {compared})"

    def _modified(self, clause: Clause) -> str:
        """It is shown to the millisecond, so a row counts as what is shown, but for `>`, by which deltas are asked:
        what came within the very millisecond comes once too often rather than never."""
        moment, next = _moment(clause.value), _moment(clause.value) + timedelta(milliseconds=1)
        match clause.op:
            case ">" | ">=" if not self.query.filter.either:
                # Two indexes instead of a look at every row: the delta costs what it holds.
                since, name = self.value(moment), self.value(self.collection.name)
                return (
                    f"s.sourced_id IN (SELECT sourced_id FROM {self.collection.table} WHERE district_id = :district "
                    f"AND at {clause.op} {since} UNION ALL SELECT sourced_id FROM reach WHERE agreement_id = :agreement "
                    f"AND collection = {name} AND at {clause.op} {since})"
                )
            case ">" | ">=" | "<":
                return f"{_AT} {clause.op} {self.value(moment)}"
            case "<=":
                return f"{_AT} < {self.value(next)}"
            case "=":
                return f"({_AT} >= {self.value(moment)} AND {_AT} < {self.value(next)})"
            case "!=":
                return f"NOT ({_AT} >= {self.value(moment)} AND {_AT} < {self.value(next)})"
        raise unusable("dateLastModified cannot be asked for by ~.")

    def compared(self, clause: Clause, collection: Collection, row: str) -> str:
        """A comparison of one field, true or false but never neither."""
        if clause.field == "sourcedId":
            return _text(clause, f"{row}.sourced_id", self, fold=False)
        column = collection.column(clause.field)
        if column is None or (column.type in ("ref", "refs") and not clause.field.endswith(".sourcedId")):
            return self._within(clause, collection, row)
        name = f"{row}.{column.name}"
        match column.type:
            case "text":
                return _text(clause, name, self)
            case "ref":
                return _text(clause, name, self, fold=False)
            case "list":
                return _listed(clause, name, self)
            case "refs":
                return _listed(clause, name, self, fold=False)
        if clause.op == "~":
            raise unusable(f"{clause.field} is no text: ~ cannot be asked of it.")
        if column.type == "boolean" and clause.op not in ("=", "!="):
            raise unusable(f"{clause.field} is true or false: ask by = or !=.")
        return _ordered(clause, name, self.value(_typed(clause, column)))

    def _within(self, clause: Clause, collection: Collection, row: str) -> str:
        """What has no column of its own, such as metadata.something: it is looked for in the record itself."""
        first, *further = clause.field.split(".")
        known = collection.fields.get(first)
        if known is None or not further or known.type not in ("object", "ref", "refs"):
            raise unusable(
                f"{collection.name} have no such field to filter by; a reference is asked for as school.sourcedId."
            )
        path = self.value("lax $" + "".join(f'."{name}"' for name in clause.field.split(".")))
        found = (
            f"FROM jsonb_path_query(CAST({row}.doc AS jsonb), CAST({path} AS jsonpath)) j (v) "
            "WHERE jsonb_typeof(j.v) NOT IN ('object', 'array') AND "
        )
        asked = replace(clause, op="=") if clause.op == "!=" else clause
        exists = f"EXISTS (SELECT {found}{_text(asked, LOWER, self)})"
        return f"NOT {exists}" if clause.op == "!=" else exists

    def bond(self, bond: Bond, collection: Collection, row: str) -> str:
        """That a row belongs to its parent."""
        if isinstance(bond, Own):
            return _names(collection, bond.field, row, self.value(self.query.given[bond.parent]))
        if isinstance(bond, Holds):
            return f"{row}.roles_at @> ARRAY[{self.value(f'{bond.role}@{self.query.given[bond.parent]}')}]"
        theirs = COLLECTIONS[bond.collection]
        conditions = [_LIVE.format(row="x", reach="y")]
        if self.gone_too and row == "s":  # of a row that is gone, what tied it to its parent may be gone too
            conditions = [f"({conditions[0]} OR NOT ({_LIVE.format(row='s', reach='r')}))"]
        for name, parent in bond.where.items():
            conditions.append(_names(theirs, name, "x", self.value(self.query.given[parent])))
        conditions += [self.compared(Clause(name, "=", word), theirs, "x") for name, word in bond.being.items()]
        found = _column(theirs, bond.theirs)
        named = f"unnest(x.{found.name})" if found and found.type == "refs" else f"x.{found.name if found else 'sourced_id'}"
        mine = _column(collection, bond.mine)
        return (
            f"{row}.{mine.name if mine else 'sourced_id'} IN (SELECT {named} FROM {self.reached(theirs, 'x', 'y')} "
            f"WHERE {' AND '.join(conditions)})"
        )

    def parent(self, n: int) -> str:
        """Whether the n-th parent is there for this program."""
        parent = self.query.parents[n]
        collection = COLLECTIONS[parent.view.collection]
        conditions = [
            _LIVE.format(row="p", reach="q"),
            f"p.sourced_id = {self.value(self.query.given[parent.name])}",
            *(self.compared(clause, collection, "p") for clause in parent.view.where),
            *(self.bond(bond, collection, "p") for bond in parent.below),
        ]
        return f"EXISTS (SELECT FROM {self.reached(collection, 'p', 'q')} WHERE {' AND '.join(conditions)})"

    @property
    def order(self) -> str:
        """By the field asked for, then by sourcedId; by this alone where the field is none to sort by."""
        direction = "DESC" if self.query.descending else "ASC"
        name = self.query.sort
        if name == "dateLastModified":
            return f"{_AT} {direction}, s.sourced_id"
        column = None if name == "sourcedId" else self.collection.column(name)
        if column is None or column.type in ("list", "refs"):
            return f"s.sourced_id {direction if name == 'sourcedId' else 'ASC'}"
        shown = f"CASE WHEN r.visible THEN s.{column.name} END" if self.gone_too else f"s.{column.name}"
        return f"{shown} {direction} NULLS LAST, s.sourced_id"

    @property
    def by_id(self) -> bool:
        return self.order == "s.sourced_id ASC"


_LIVE = "(NOT {row}.gone AND {reach}.visible)"
_AT = "greatest(s.at, r.at)"
LOWER = "lower(j.v #>> '{}')"


def _any(conditions: Iterable[str]) -> str:
    return f"({' OR '.join(conditions)})"


def _column(collection: Collection, name: str) -> Column | None:
    """The column of a field; None for sourcedId, which every table has."""
    return None if name == "sourcedId" else collection.column(name)


def _names(collection: Collection, name: str, row: str, value: str) -> str:
    column = _column(collection, name)
    if column is None:
        return f"{row}.sourced_id = {value}"
    return f"{row}.{column.name} @> ARRAY[{value}]" if column.type == "refs" else f"{row}.{column.name} = {value}"


def _text(clause: Clause, name: str, asked: _Asked, *, fold: bool = True) -> str:
    value = asked.value(clause.value.lower() if fold else clause.value)
    if clause.op == "~":
        return f"coalesce(position(CAST({value} AS text) IN {name}) > 0, false)"
    return _ordered(clause, f'{name} COLLATE "C"' if name == LOWER else name, value)


def _ordered(clause: Clause, name: str, value: str) -> str:
    """What is not stated is unlike everything, and neither more nor less."""
    match clause.op:
        case "=":
            return f"({name} IS NOT NULL AND {name} = {value})"
        case "!=":
            return f"{name} IS DISTINCT FROM {value}"
        case _:
            return f"coalesce({name} {clause.op} {value}, false)"


def _listed(clause: Clause, name: str, asked: _Asked, *, fold: bool = True) -> str:
    """A list is asked for with one value, or with several between commas: `=` for all of them, `~` for any."""
    said = clause.value.lower() if fold else clause.value
    parts = [part.strip() for part in said.split(",")]
    several, whole = asked.value(parts), asked.value([said])
    match clause.op:
        case "=" | "!=":
            held = f"(coalesce({name} @> CAST({several} AS text[]), false) OR coalesce({name} @> CAST({whole} AS text[]), false))"
            return held if clause.op == "=" else f"NOT {held}"
        case "~":
            return f"coalesce({name} && CAST({several} AS text[]) OR {name} && CAST({whole} AS text[]), false)"
    raise unusable(f"{clause.field} is a list: ask by =, != or ~.")


def _typed(clause: Clause, column: Column) -> Any:
    value = clause.value.strip()
    try:
        match column.type:
            case "number":
                number = float(value)
                if isfinite(number):
                    return number
            case "date":
                return date.fromisoformat(value[:10])
            case "datetime":
                return _moment(value)
            case "boolean" if value.lower() in ("true", "false"):
                return value.lower() == "true"
    except ValueError:
        pass
    raise unusable(f"{clause.field} is compared with a {_WORDS[column.type]}.")


_WORDS = {
    "number": "number",
    "date": "date such as 2026-09-01",
    "datetime": "time such as 2026-09-01T08:00:00.000Z",
    "boolean": "value that is true or false",
}


def _moment(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise unusable("A time is written as 2026-09-01T08:00:00.000Z.") from None


def unusable(why: str) -> ConfigError:
    return ConfigError("filter-unusable", why, "See what may be filtered in docs/oneroster-provider.md.")


# --- asking --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Known:
    """How many rows answer a question, and the id of every STEP-th of them, in their order."""

    total: int
    places: Sequence[str]


async def _state(c: Transaction, asked: _Asked) -> tuple[Any, ...]:
    """What totals depend on: which projection, and when this program's reach last moved. ConfigError where a parent
    is not there. Until the end of this transaction no projection is committed, so what is read fits together."""
    number, _ = await served.reading(c, asked.district)
    collections = asked.value(sorted(asked.query.told))
    parents = "".join(f", {asked.parent(n)}" for n in range(len(asked.query.parents)))
    row = (
        await c.execute(
            text(
                "SELECT (SELECT string_agg(CAST(m.at AS text), ' ') FROM unnest(CAST("
                f"{collections} AS text[])) k (name), LATERAL (SELECT max(at) AS at FROM reach "
                f"WHERE agreement_id = :agreement AND collection = k.name) m){parents}"
            ),
            asked.values,
        )
    ).one()
    moved, *there = row
    for parent, found in zip(asked.query.parents, there, strict=True):
        if not found:
            raise ConfigError(
                "parent-unknown",
                f"Among the {parent.view.name} there is none with this {parent.name}"
                f"{' below the one named before it' if parent.below else ''}.",
            )
    return number, moved


async def _measure(c: Transaction, asked: _Asked) -> _Known:
    row = (
        await c.execute(
            text(
                "SELECT count(*), array_agg(x.id ORDER BY x.n) FILTER (WHERE x.n % :step = 0) FROM ("
                f"SELECT s.sourced_id, row_number() OVER (ORDER BY s.sourced_id) FROM {asked.source}) x (id, n)"
            ),
            {**asked.values, "step": STEP},
        )
    ).one()
    return _Known(row[0], tuple(row[1] or ()))


async def _rows(c: Transaction, asked: _Asked, known: _Known) -> list[Row]:
    source, offset = asked.source, asked.query.offset
    if asked.by_id and (steps := min(offset // STEP, len(known.places))):
        after = asked.value(known.places[steps - 1])
        source += f" AND s.sourced_id > {after} AND r.sourced_id > {after}"
        offset -= steps * STEP
    merged = "s.survivor" if asked.collection.name in _PEOPLE else "CAST(NULL AS text)"
    live = _LIVE.format(row="s", reach="r")
    rows = await c.execute(
        text(
            f"SELECT s.sourced_id, {_AT}, CASE WHEN {live} THEN CAST(s.doc AS text) END, "
            f"CASE WHEN s.gone AND r.visible THEN {merged} END "
            f"FROM {source} ORDER BY {asked.order} LIMIT :limit OFFSET :offset"
        ),
        {**asked.values, "limit": asked.query.limit, "offset": offset},
    )
    return [Row(*row) for row in rows]


_REMEMBERED: OrderedDict[tuple[Any, ...], _Known] = OrderedDict()


def _recall(key: tuple[Any, ...]) -> _Known | None:
    found = _REMEMBERED.get(key)
    if found is not None:
        _REMEMBERED.move_to_end(key)
    return found


def _remember(key: tuple[Any, ...], known: _Known) -> None:
    """In this process alone: another one counts for itself."""
    _REMEMBERED[key] = known
    while len(_REMEMBERED) > MOST_REMEMBERED:
        _REMEMBERED.popitem(last=False)

