"""Why a value is here: whose claim won, from which fields of which source record, and what the others said."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from gateway import codes
from gateway.codes import Codes
from gateway.connector import Resource
from gateway.errors import ConfigError, RecordError
from gateway.fold import NOBODY, Stated, speakers_of
from gateway.mapping import Claim
from gateway.references import in_ids
from gateway.resolve import by_precedence, sources_of
from gateway.schema import KINDS
from gateway.store import history, registers
from gateway.store.changes import ClaimRow
from gateway.store.database import Store

_UNREADABLE = object()
MOST_FIELDS = 200
"""A record with more fields than this is not tried field by field."""


@dataclass(frozen=True)
class Origin:
    """One statement of a value. `source_fields` are the places in the source record that the value depends on; empty
    where the payload was purged. `matched`: how the source's key came to denote the entity."""

    connection: str
    collection: str
    record: str
    source_fields: tuple[str, ...]
    value: Any
    run: int
    mapping: str
    stated_at: datetime | None
    matched: str


@dataclass(frozen=True)
class Provenance:
    """One field of an entity: its value as published, where it comes from, and who says something else or the same."""

    field: str
    value: Any
    because: str
    origins: tuple[Origin, ...]
    others: tuple[Origin, ...]


async def why(store: Store, district: int, kind: str, entity: str, field: str | None = None) -> list[Provenance]:
    """Every field of a published entity, or one. ConfigError where there is no such entity or field."""
    if kind not in KINDS:
        raise ConfigError("kind-unknown", f"There is no kind {kind!r}.", f"Choose one of {', '.join(KINDS)}.")
    async with store.transaction(district) as c:
        doc, rows = await history.claims_about(c, kind, entity)
        if doc is None or (field is not None and field not in doc):
            raise ConfigError("entity-unknown", f"No such {kind}, or no such field, is published.", "Give its id.")
        sources = await sources_of(store, c, district)
        claims, _ = await in_ids(c, KINDS[kind], [row.claim for row in rows], sources.in_conflict)
        owner, ordered = by_precedence(KINDS[kind], claims, sources)
        connections = {one.id: one for one in await registers.connections(store, district)}
        reader = _Reader({id: (one, await codes.opened(c, one)) for id, one in connections.items()}, kind)
    by_claim = {_place(row.claim): row for row in rows}
    survivors = sources.survivors.get(kind, NOBODY)
    found = []
    for name in [field] if field else sorted(doc):
        stated = speakers_of(name, ordered, survivors)
        told = [(claim, reader.origin(by_claim[_place(claim)], name, claim.values[name])) for claim in stated]
        count = len(stated) if KINDS[kind].merge.get(name) == "union" else 1
        because = _because(name, stated, owner, survivors)
        found.append(
            Provenance(name, doc[name], because, tuple(o for _, o in told[:count]), tuple(o for _, o in told[count:]))
        )
    return found


def _place(claim: ClaimRow | Stated) -> tuple[int, str, str]:
    return claim.connection, claim.collection, claim.record_key


def _because(name: str, stated: Sequence[Stated], owner: int | None, survivors: Any) -> str:
    if not stated:
        return "derived from the other fields"
    if name in survivors:
        return "the district chose whose word counts for this field"
    if len({claim.connection for claim in stated}) == 1:
        return "no other connection states it"
    return "its connection is the system of record" if stated[0].connection == owner else "first connected"


@dataclass(frozen=True)
class _Reader:
    """Finds the source fields of a claim: those that, altered or left out, make the mapping say something else."""

    connections: dict[int, tuple[registers.Connection, Codes]]
    kind: str

    def origin(self, row: history.ClaimOrigin, name: str, value: Any) -> Origin:
        connection, own = self.connections[row.claim.connection]
        return Origin(
            connection.name,
            row.claim.collection,
            row.claim.record_key,
            tuple(self._source_fields(connection, own, row, name)),
            value,
            row.run,
            row.mapping or "",
            row.fetched_at,
            row.method,
        )

    def _source_fields(
        self, connection: registers.Connection, own: Codes, row: history.ClaimOrigin, name: str
    ) -> Iterator[str]:
        resource = codes.as_read(connection).get(row.claim.collection)
        if row.body is None or resource is None:
            return
        record = json.loads(row.body)
        said = self._stated(resource, own, record, row, name)
        for path in list(_paths(record))[:MOST_FIELDS]:
            for other in (_put(record, path, _altered), _put(record, path, None)):
                says = self._stated(resource, own, other, row, name)
                if says is not _UNREADABLE:
                    if says != said:
                        yield "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
                    break

    def _stated(self, resource: Resource, own: Codes, record: Any, row: history.ClaimOrigin, name: str) -> Any:
        try:
            wire: Any = msgspec.convert(record, resource.wire, strict=True)
            for claim in own.reading(resource)(wire, json.dumps(record), own.crosswalks.fresh()):
                if isinstance(claim, Claim) and (claim.kind, claim.key) == (self.kind, row.claim.key):
                    return msgspec.to_builtins(claim.values).get(name)
        except (msgspec.ValidationError, RecordError):
            pass
        return _UNREADABLE


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of a record's single values."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in inner:
        if isinstance(part, dict | list):
            yield from _paths(part, (*path, step))
        else:
            yield (*path, step)


def _put(value: Any, path: tuple[str | int, ...], change: Callable[[Any], Any] | None) -> Any:
    """A copy with the value at one place changed, or (None) left out."""
    step, *rest = path
    copy = value.copy()
    if rest:
        copy[step] = _put(value[step], tuple(rest), change)
    elif change is None:
        del copy[step]
    else:
        copy[step] = change(value[step])
    return copy


def _altered(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else f"{value}~"
