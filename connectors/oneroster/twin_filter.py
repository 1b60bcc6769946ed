"""The filter language of OneRoster 1.2: what a filter means for one row."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

# One clause, or two joined by AND or OR; there is no way to write a quote inside a value.
_CLAUSE = r"([A-Za-z][\w.]*)(=|!=|>=|<=|>|<|~)'([^']*)'"
_FILTER = re.compile(rf"{_CLAUSE}(?: (AND|OR) {_CLAUSE})?")

Fold = Callable[[str], str]
Test = Callable[[dict[str, Any]], bool]


def parse(text: str, fields: frozenset[str], *, exact: bool = False) -> Test:
    """The test that rows must pass; ValueError, in a plain sentence, if that is no filter on these fields.

    `exact`: capitals are compared, as the contract does not have it.
    """
    parsed = _FILTER.fullmatch(text)
    if not parsed:
        raise ValueError("The filter cannot be read.")
    *first, join = parsed.groups()[:4]
    fold = str if exact else str.casefold
    one = _clause(fields, fold, *first)
    if not join:
        return one
    other = _clause(fields, fold, *parsed.groups()[4:])
    if join == "AND":
        return lambda row: one(row) and other(row)
    return lambda row: one(row) or other(row)


def _clause(fields: frozenset[str], fold: Fold, field: str, operator: str, value: str) -> Test:
    """One comparison. In a list, = wants all of the comma-separated values and ~ any of them."""
    path = field.split(".")
    if path[0] not in fields:
        raise ValueError("The filter names an unknown field.")
    if field == "dateLastModified":
        value = _moment(value)
    several = {fold(part.strip()) for part in value.split(",")}

    def test(row: dict[str, Any]) -> bool:
        found = list(leaves(row, path))
        if isinstance(row.get(path[0]), list) and operator in ("=", "!=", "~"):
            shared = several & {fold(str(leaf)) for leaf in found}
            return bool(shared) if operator == "~" else (shared == several) == (operator == "=")
        if operator == "!=":
            return not any(_compare("=", leaf, value, fold) for leaf in found)
        return any(_compare(operator, leaf, value, fold) for leaf in found)

    return test


def leaves(value: Any, path: list[str]) -> Iterator[Any]:
    """Every value that a dotted path leads to; lists on the way are entered."""
    if isinstance(value, list):
        for item in value:
            yield from leaves(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from leaves(value[path[0]], path[1:])


def stamp(moment: datetime) -> str:
    """A dateTime as OneRoster writes it: UTC, with milliseconds and Z; such stamps compare as text."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("dateLastModified is compared with a dateTime.") from None
    return stamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _compare(operator: str, leaf: object, value: str, fold: Fold) -> bool:
    if operator == "~":
        return fold(value) in fold(str(leaf))
    if isinstance(leaf, int | float) and not isinstance(leaf, bool):
        try:
            return _ordered(operator, float(leaf), float(value))
        except ValueError:
            return False
    return _ordered(operator, fold(_spelt(leaf)), fold(value))


def _spelt(leaf: object) -> str:
    """A truth of 1.1 is compared with the word."""
    return str(leaf).lower() if isinstance(leaf, bool) else str(leaf)


def _ordered(operator: str, left: Any, right: Any) -> bool:
    equal, less = bool(left == right), bool(left < right)
    return {"=": equal, ">": not (less or equal), ">=": not less, "<": less, "<=": less or equal}[operator]
