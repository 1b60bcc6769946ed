"""What a request asks, from its path and its parameters; and the addresses of the other pages of the same answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.datastructures import ImmutableMultiDict

from gateway.api.oneroster import filters, older
from gateway.api.oneroster.answers import Trouble
from gateway.api.oneroster.operations import Operation
from gateway.queries import Clause, Filter, Query
from gateway.served import COLLECTIONS

LIMIT, MOST = 100, 10_000
"""Rows of a page where nothing is said, and at most; beyond gateway.vendors.PAGE it takes leave for bulk."""
FURTHEST = 2**31 - 1
BASE = ("sourcedId", "status", "dateLastModified")
COLLECTION_PARAMETERS = ("limit", "offset", "sort", "orderBy", "filter", "fields")


@dataclass(frozen=True)
class Asked:
    """The question, and which fields of each row are wanted; None for all of them. `named`: as they were asked for,
    which in 1.1 are others than those of which they are made."""

    query: Query
    fields: frozenset[str] | None
    named: frozenset[str] | None


def read(operation: Operation, path: Mapping[str, str], parameters: ImmutableMultiDict[str, str]) -> Asked:
    """What is asked. Trouble where a parameter cannot be used; those that the standard does not know are left alone."""
    names = ("fields",) if operation.one else COLLECTION_PARAMETERS
    given = {name: _once(parameters, name) for name in names}
    if any("\0" in value for value in path.values()):
        raise Trouble(404, "unknownobject", "No id has a character zero.")
    named = _fields(operation, given.get("fields", ""))
    collection = operation.view.collection
    fields = older.sources(collection, named) if operation.older else named
    if operation.one:
        wanted = Filter((Clause("sourcedId", "=", path["sourcedId"]),))
        return Asked(Query(operation.view, filter=wanted, limit=1), fields, named)
    order = given["orderBy"] or "asc"
    if operation.older and order == "acs":  # OneRoster 1.1: so it stands in the OpenAPI document
        order = "asc"
    if order not in ("asc", "desc"):
        raise Trouble(422, "invaliddata", "orderBy is asc or desc.")
    wanted, sort = filters.read(given["filter"]), given["sort"]
    if operation.older:
        wanted, sort = older.asked_by(collection, wanted), older.sorted_by(collection, sort)
    query = Query(
        operation.view,
        operation.parents,
        operation.bonds,
        operation.all_of,
        dict(path),
        wanted,
        sort,
        order == "desc",
        _number("limit", given["limit"], LIMIT, 1, MOST),
        _number("offset", given["offset"], 0, 0, FURTHEST),
    )
    return Asked(query, fields, named)


def _once(parameters: ImmutableMultiDict[str, str], name: str) -> str:
    given = parameters.getlist(name)
    if len(given) > 1:
        raise Trouble(422, "invaliddata", f"{name} is given more than once.")
    return given[0] if given else ""


def _number(name: str, given: str, default: int, least: int, most: int) -> int:
    if given == "":
        return default
    # No page is silently smaller than asked: whoever goes on by the limit would leave rows out.
    if not (given.isascii() and given.isdigit()) or len(given) > 10 or not least <= int(given) <= most:
        raise Trouble(422, "invaliddata", f"{name} is a whole number from {least} to {most}.")
    return int(given)


def _fields(operation: Operation, given: str) -> frozenset[str] | None:
    if not given.strip():
        return None
    named = frozenset(name.strip() for name in given.split(","))
    collection = operation.view.collection
    known = {*BASE, *(older.SOURCES[collection] if operation.older else COLLECTIONS[collection].fields)}
    if not named <= known:
        raise Trouble(
            400,
            "invalid_selection_field",
            f"fields names something that {collection} do not have. They have: {', '.join(sorted(known))}.",
        )
    return named


def links(address: str, parameters: Sequence[tuple[str, str]], query: Query, total: int) -> str:
    """The header Link: the other pages, with every other parameter as it was. # RFC 8288"""
    kept = [(name, value) for name, value in parameters if name not in ("limit", "offset")]
    last = (total - 1) // query.limit * query.limit if total else 0
    places = {"first": 0, "last": last}
    if query.offset + query.limit < total:
        places["next"] = query.offset + query.limit
    if query.offset > 0:
        places["prev"] = max(0, query.offset - query.limit)
    return ", ".join(
        f'<{address}?{urlencode([*kept, ("limit", query.limit), ("offset", offset)])}>; rel="{rel}"'
        for rel, offset in places.items()
    )
