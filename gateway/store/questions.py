"""How a question about what is served becomes SQL: views, parents, filters, and the order."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from math import isfinite
from typing import Any

from gateway.errors import ConfigError
from gateway.queries import Bond, Clause, Holds, Own, Query
from gateway.served import COLLECTIONS, Collection, Column

LIVE = "(NOT {row}.gone AND {reach}.visible)"
"""Whether a row is there, and for this program."""
AT = "CASE WHEN r.visible THEN greatest(s.at, r.at) ELSE r.at END"
"""When a row of the question's collection last changed for this program; what becomes of one that it sees no more is no
change for it."""
LOWER = "lower(j.v #>> '{}')"


@dataclass
class Question:
    """One question of a program with an agreement, put together: what follows FROM, and its values."""

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
            found.append(LIVE.format(row="s", reach="r"))
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
            live = LIVE.format(row="s", reach="r")
            return _text(clause, f"CASE WHEN {live} THEN 'active' ELSE 'tobedeleted' END", self)
        compared = self.compared(clause, self.collection, "s")
        if (within := self._within_reach(clause)) is not None:
            # What it finds it finds among all that a row names, and that is quickly found.
            compared = f"({compared} AND {within})" if clause.op in ("=", "~") else within
        if clause.field == "sourcedId" or not self.gone_too:
            return compared
        return f"(NOT r.visible OR {compared})"

    def _within_reach(self, clause: Clause) -> str | None:
        """The comparison with what a row names of what this program has too (see gateway.store.within); None where it
        names nothing else."""
        column = self.collection.column(clause.field)
        target = next((target for one, _, target in self.collection.loose if one == column), None)
        if column is None or target is None or not clause.field.endswith(".sourcedId"):
            return None
        name = self.value(target)
        theirs = f"FROM reach y WHERE y.agreement_id = :agreement AND y.collection = {name} AND y.visible"
        any_, this = f"EXISTS (SELECT {theirs})", f"EXISTS (SELECT {theirs} AND y.sourced_id = n.id)"
        has = f"(NOT {any_} OR {this})"
        if column.type == "ref":
            shown = f"(SELECT n.id FROM (SELECT s.{column.name}) n (id) WHERE {has})"
            return _text(clause, shown, self, fold=False)
        shown = f"(SELECT array_agg(n.id) FROM unnest(s.{column.name}) n (id) WHERE {has})"
        return _listed(clause, shown, self, fold=False)

    def _modified(self, clause: Clause) -> str:
        """It is shown to the millisecond, so a row counts as what is shown, but for `>`, by which deltas are asked:
        what came within the very millisecond comes once too often rather than never."""
        at = moment(clause.value)
        next = at + timedelta(milliseconds=1)
        match clause.op:
            case ">" | ">=" if not self.query.filter.either:
                # Two indexes instead of a look at every row: the delta costs what it holds.
                since, name = self.value(at), self.value(self.collection.name)
                return (
                    f"s.sourced_id IN (SELECT sourced_id FROM {self.collection.table} WHERE district_id = :district "
                    f"AND at {clause.op} {since} UNION ALL SELECT sourced_id FROM reach "
                    f"WHERE agreement_id = :agreement AND collection = {name} AND at {clause.op} {since}) "
                    f"AND {AT} {clause.op} {since}"
                )
            case ">" | ">=" | "<":
                return f"{AT} {clause.op} {self.value(at)}"
            case "<=":
                return f"{AT} < {self.value(next)}"
            case "=":
                return f"({AT} >= {self.value(at)} AND {AT} < {self.value(next)})"
            case "!=":
                return f"NOT ({AT} >= {self.value(at)} AND {AT} < {self.value(next)})"
        raise unusable("dateLastModified cannot be asked for by ~.")

    def compared(self, clause: Clause, collection: Collection, row: str) -> str:
        """A comparison of one field, true or false but never neither."""
        if clause.field == "sourcedId":
            return _text(clause, f"{row}.sourced_id", self, fold=False)
        column = collection.column(clause.field)
        if column is None or (column.type in ("ref", "refs") and not clause.field.endswith(".sourcedId")):
            return self._within(clause, collection, row)
        name = f"{row}.{column.name}"
        if clause.op in ("in", "not in"):
            return _among(clause, column, name, self)
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
        # An address has the id in it, which may be one that this program is not to know of.
        hidden = (f"{column.path.removesuffix('.sourcedId')}." for column, _, _ in collection.loose)
        if (
            known is None
            or clause.field.startswith(tuple(hidden))
            or not further
            or known.type not in ("object", "ref", "refs")
        ):
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
        conditions = [LIVE.format(row="x", reach="y")]
        if self.gone_too and row == "s":  # of a row that is gone, what tied it to its parent may be gone too
            conditions = [f"({conditions[0]} OR NOT ({LIVE.format(row='s', reach='r')}))"]
        for name, parent in bond.where.items():
            conditions.append(_names(theirs, name, "x", self.value(self.query.given[parent])))
        conditions += [self.compared(Clause(name, "=", word), theirs, "x") for name, word in bond.being.items()]
        found = _column(theirs, bond.theirs)
        named = (
            f"unnest(x.{found.name})"
            if found and found.type == "refs"
            else f"x.{found.name if found else 'sourced_id'}"
        )
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
            LIVE.format(row="p", reach="q"),
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
            return f"{AT} {direction}, s.sourced_id"
        column = None if name == "sourcedId" else self.collection.column(name)
        if column is None or column.type in ("list", "refs"):
            return f"s.sourced_id {direction if name == 'sourcedId' else 'ASC'}"
        shown = f"CASE WHEN r.visible THEN s.{column.name} END" if self.gone_too else f"s.{column.name}"
        return f"{shown} {direction} NULLS LAST, s.sourced_id"

    @property
    def by_id(self) -> bool:
        return self.order == "s.sourced_id ASC"


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


def _text(clause: Clause, name: str, asked: Question, *, fold: bool = True) -> str:
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


def _listed(clause: Clause, name: str, asked: Question, *, fold: bool = True) -> str:
    """A list is asked for with one value, or with several between commas: `=` for all of them, `~` for any."""
    said = clause.value.lower() if fold else clause.value
    parts = [part.strip() for part in said.split(",")]
    several, whole = asked.value(parts), asked.value([said])
    match clause.op:
        case "=" | "!=":
            held = f"coalesce({name} @> CAST({several} AS text[]) OR {name} @> CAST({whole} AS text[]), false)"
            return held if clause.op == "=" else f"NOT {held}"
        case "~":
            return f"coalesce({name} && CAST({several} AS text[]) OR {name} && CAST({whole} AS text[]), false)"
    raise unusable(f"{clause.field} is a list: ask by =, != or ~.")


def _among(clause: Clause, column: Column, name: str, asked: Question) -> str:
    """Of a text, or of a list, that it has one of these words, or none of them; what is not stated has none."""
    words = asked.value(clause.value.lower().split(","))
    held = f"&& CAST({words} AS text[])" if column.type == "list" else f"= ANY(CAST({words} AS text[]))"
    return f"{'NOT ' if clause.op == 'not in' else ''}coalesce({name} {held}, false)"


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
                return moment(value)
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


def moment(value: str) -> datetime:
    """A time as a filter has it. ConfigError for what is none."""
    try:
        said = datetime.fromisoformat(value.strip())
        return (said if said.tzinfo else said.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise unusable("A time is written as 2026-09-01T08:00:00.000Z.") from None


def unusable(why: str) -> ConfigError:
    return ConfigError("filter-unusable", why, "See what may be filtered in docs/oneroster-provider.md.")
