"""A district's own reading of a field: one JMESPath expression over the record, plus at most one crosswalk."""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NoReturn, cast, get_args, get_origin

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from gateway.connector import Resource
from gateway.errors import ConfigError
from gateway.mapping import Claim, Crosswalks, Statement
from gateway.schema import KINDS
from gateway.schema.fields import Values

NEVER = ("ssn", "socialsecuritynumber")
"""Members that are not kept whoever names them."""


@dataclass(frozen=True)
class Override:
    """`field` of every `kind` that a record of `collection` speaks of is what `expression` finds in the record.

    It counts before what the mapping reads there: where the fold takes one value it wins, where it takes all of them
    they are added. Nothing found leaves the mapping's own reading.
    """

    collection: str
    kind: str
    field: str
    expression: str
    crosswalk: str | None = None

    @property
    def place(self) -> str:
        return f"{self.kind}.{self.field}"


def at(collection: str, place: str, expression: str, crosswalk: str | None = None) -> Override:
    """An override of the field `kind.field`. ConfigError when that names no field."""
    kind, dot, field = place.partition(".")
    if not dot:
        raise ConfigError("override-invalid", f"{place!r} names no field.", "Write it as kind.field: person.email")
    return Override(collection, kind, field, expression, crosswalk)


def check(override: Override, resources: Sequence[Resource], tables: Container[str]) -> None:
    """ConfigError when an override names what there is not, or reads what is not kept."""
    resource = next((each for each in resources if each.name == override.collection), None)
    if resource is None:
        _refuse(f"there is no collection {override.collection!r}", ", ".join(each.name for each in resources))
    if override.kind not in KINDS:
        _refuse(f"there is no kind {override.kind!r}", ", ".join(KINDS))
    if override.field not in KINDS[override.kind].merge:
        _refuse(f"{override.kind} has no field {override.field!r}", ", ".join(KINDS[override.kind].merge))
    if override.crosswalk is not None and override.crosswalk not in tables:
        _refuse(f"there is no crosswalk {override.crosswalk!r}", "see planbridge crosswalks list")
    members = named_members([override], resource)  # raises where the expression cannot be read
    if taken := [name for _, name in members if re.sub(r"[^a-z]", "", name.casefold()) in NEVER]:
        _refuse(f"{taken[0]!r} is never kept", "any other member")


def _refuse(why: str, known: str) -> NoReturn:
    raise ConfigError("override-invalid", f"The override cannot be used: {why}.", f"Choose from: {known}.")


def named_members(overrides: Iterable[Override], resource: Resource) -> set[tuple[str, str]]:
    """Which members of closed objects these overrides read, and so have kept: (object, member).

    ConfigError where an expression cannot be read, or takes a closed object as a whole.
    """
    found: set[tuple[str, str]] = set()
    for override in overrides:
        if override.collection == resource.name:
            for name, member in _closed(_parsed(override.expression), resource.closed):
                if member is None:
                    raise ConfigError(
                        "override-invalid",
                        f"The override reads all of {name}, which may hold anything and is not kept.",
                        f"Name one member: {name}.something.",
                    )
                found.add((name, member))
    return found


def _parsed(expression: str) -> dict[str, Any]:
    try:
        return cast(dict[str, Any], jmespath.compile(expression).parsed)
    except JMESPathError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            "override-invalid",
            f"The expression {expression!r} cannot be read: {reason}",
            "It is JMESPath: jmespath.org.",
        ) from None


def _closed(node: Any, closed: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Where an expression reads closed objects: (object, the member it names, or None for all of it)."""
    if not isinstance(node, dict):
        return
    children = node["children"]
    named = set()
    if node["type"] == "subexpression":
        for n, (outer, inner) in enumerate(pairwise(children)):
            if outer["type"] == inner["type"] == "field" and outer["value"] in closed and n not in named:
                named |= {n, n + 1}
                yield outer["value"], inner["value"]
    if node["type"] == "field" and node["value"] in closed:
        yield node["value"], None
    for n, child in enumerate(children):
        if n not in named:
            yield from _closed(child, closed)


@dataclass(frozen=True)
class _Ready:
    override: Override
    search: Any
    attribute: str
    type: Any
    listed: bool
    merge: str


class Overriding:
    """The overrides of one collection, ready to be applied to its records."""

    def __init__(self, overrides: Iterable[Override], collection: str) -> None:
        self._ready = [_ready(each) for each in overrides if each.collection == collection]

    def __bool__(self) -> bool:
        return bool(self._ready)

    def apply(self, statements: Iterable[Statement], body: bytes | str, codes: Crosswalks) -> list[Statement]:
        """What the record states then. A value that does not fit leaves the field out; `codes.missed` lists it."""
        stated = list(statements)
        record = msgspec.json.decode(body)
        for ready in self._ready:
            values = _found(ready, record, codes)
            if values is not msgspec.UNSET:
                stated = [_with(ready, one, values) for one in stated]
        return stated


def _ready(override: Override) -> _Ready:
    kind = KINDS[override.kind]
    info = next(each for each in msgspec.structs.fields(kind.values) if each.encode_name == override.field)
    listed = any(get_origin(stated) is list for stated in get_args(get_args(info.type)[0]))
    search = jmespath.compile(override.expression).search
    return _Ready(override, search, info.name, info.type, listed, kind.merge[override.field])


def _found(ready: _Ready, record: Any, codes: Crosswalks) -> Any:
    """The value as the schema has it; UNSET where the record has none; None where it does not fit."""
    try:
        value = ready.search(record)
        items = [item for item in (value if isinstance(value, list) else [value]) if item not in (None, "", [], {})]
        if not items:
            return msgspec.UNSET
        items = [item if isinstance(item, dict | bool) else str(item) for item in items]
        if ready.override.crosswalk is not None:
            words = [codes.translate(ready.override.crosswalk, str(item)) for item in items]
            items = [word for word in words if word is not None]
            if not items:
                return msgspec.UNSET
        return msgspec.convert(items if ready.listed else _only(items), ready.type, strict=False)
    except (JMESPathError, msgspec.ValidationError):
        codes.missed.append(("override", ready.override.place, "", ""))
        return None


def _only(items: Sequence[Any]) -> Any:
    if len(items) > 1:
        raise msgspec.ValidationError("several values for one")
    return items[0]


def _with(ready: _Ready, statement: Statement, value: Any) -> Statement:
    if not isinstance(statement, Claim) or statement.kind != ready.override.kind:
        return statement
    before = getattr(statement.values, ready.attribute)
    if value is None:
        value = msgspec.UNSET
    elif ready.merge == "union" and before is not msgspec.UNSET:
        value = [*value, *(item for item in before if item not in value)]
    values: Values = msgspec.structs.replace(statement.values, **{ready.attribute: value})
    return msgspec.structs.replace(statement, values=values)


def fingerprint(overrides: Iterable[Override]) -> str:
    """The same for the same overrides, in whatever order."""
    return repr(sorted((asdict(each) for each in overrides), key=repr))
