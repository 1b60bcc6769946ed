"""What a program writes by OneRoster: one request is one small run, all of it or nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from gateway import clock, points, projections, registry
from gateway.codes import opened as opened_codes
from gateway.connector import Page, Resource
from gateway.errors import ConfigError, RecordError, Refused
from gateway.identity import entity_id
from gateway.resolve import Work, resolve_kind, sources_of
from gateway.schema import KINDS, ORDER
from gateway.served import COLLECTIONS, OF_KIND, WRITABLE, Collection
from gateway.staging import decode, leniencies, map_rows
from gateway.store import applying, blackouts, compare, districts, outcomes, registers, runs, vendors, writing
from gateway.store.clients import Client
from gateway.store.database import Store, Transaction
from gateway.store.registers import Actor, Connection
from gateway.store.runs import Attempt, StagedPage, StagedRow
from gateway.store.writing import Standing
from gateway.vendors import Agreement

CONNECTOR = "oneroster"
"""Whose records these are, and so whose mapping reads them."""
NOBODY_MATCHED = {"student_identifier": "", "staff_identifier": ""}
"""The settings of such a connection: it names nobody by a number."""
_KINDS = sorted({COLLECTIONS[name].kind for name in WRITABLE}, key=ORDER.__getitem__)


class Caller(Protocol):
    """Who writes: a program, and the person for whom it does, if for one."""

    @property
    def store(self) -> Store: ...
    @property
    def client(self) -> Client: ...
    @property
    def district(self) -> int: ...
    @property
    def actor(self) -> Actor: ...


async def put(call: Caller, collection: str, records: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """Write records under these sourcedIds, new ones or in place of what the program wrote; returns those that are new.
    What says the same as before changes nothing. They are served, to the program too, when this returns.

    Refused where the agreement does not let it, or a record is somebody else's; ConfigError where something is referred
    to that is not there for the program; RecordError where a record cannot be served as it is; Unavailable while the
    district publishes.
    """
    return await _write(call, COLLECTIONS[collection], records)


async def delete(call: Caller, collection: str, sourced_id: str) -> None:
    """Take back a record that the program wrote; whoever saw it is told that it is gone. ConfigError for none, Refused
    for somebody else's."""
    await _write(call, COLLECTIONS[collection], {sourced_id: None})


async def _write(
    call: Caller, collection: Collection, records: Mapping[str, Mapping[str, Any] | None]
) -> frozenset[str]:
    number = await _connection(call, collection.name)
    try:
        async with call.store.transaction(call.district) as c:
            return await _written(call, c, number, collection, records)
    except _NothingNew:
        return frozenset()


class _NothingNew(Exception):
    """All of it is as it was: nothing of the request stays."""


async def _written(
    call: Caller, c: Transaction, number: int, collection: Collection, records: Mapping[str, Mapping[str, Any] | None]
) -> frozenset[str]:
    await writing.alone(c, call.district)
    agreement = await _allowed(c, call, collection.name)
    connection = await registers.connection(call.store, call.district, number)
    _refuse_at_rest(connection)
    await districts.refuse_suspended(c, call.district)
    if await blackouts.active(c, connection.id, clock.now()):
        raise writing.busy("The district publishes nothing at this time, so nothing was written.")
    key = await registers.district_key(call.store, c, call.district)
    entities = {id: entity_id(key, collection.kind, connection.id, id) for id in records}
    known = await writing.standing(c, collection, connection.id, agreement.id, entities)
    for id, record in records.items():
        _refuse_others(collection, known[id], gone=record is None)
    attempt = await writing.open_run(c, call.district, connection.id, call.actor)
    await _stage(call.store, c, attempt, connection, agreement, collection, records)
    if not await compare.written(c, attempt):
        raise _NothingNew
    await _publish(call, c, attempt, agreement, collection, records)
    return frozenset(id for id, record in records.items() if record is not None and not known[id].here)


async def _connection(call: Caller, collection: str) -> int:
    """The program's own, made when it first writes."""
    async with call.store.transaction(call.district) as c:
        await _allowed(c, call, collection)
        found = await writing.connection(c, call.client.id)
    if found is None:
        name = f"{call.client.name} ({call.client.id})"
        found = await registers.add_connection(
            call.store,
            call.district,
            name,
            CONNECTOR,
            NOBODY_MATCHED,
            {},
            call.actor,
            keeps_roster=False,
            client=call.client.id,
        )
    return found


async def _allowed(c: Transaction, call: Caller, collection: str) -> Agreement:
    agreement = await vendors.in_force(c, call.client.id, clock.today())
    agreement.fields(collection)
    agreement.refuse_writing(collection)
    return agreement


def _refuse_at_rest(connection: Connection) -> None:
    if connection.paused_because or connection.shadow:
        raise Refused(
            "writing-stopped",
            "The district has stopped what this program writes.",
            "Ask the district; it lets the program write again with `planbridge connections resume`.",
        )


def _refuse_others(collection: Collection, standing: Standing, *, gone: bool) -> None:
    if gone and not (standing.here and standing.reached):
        raise ConfigError(
            "object-unknown",
            f"There is no such {collection.singular}.",
            "It never was, or is gone, or is beyond the agreement.",
        )
    if standing.others:
        raise Refused(
            "record-of-another",
            f"The {collection.singular} with this sourcedId is not this program's.",
            "Write under another sourcedId; who wrote a record alone changes it.",
        )


async def _stage(
    store: Store,
    c: Transaction,
    attempt: Attempt,
    connection: Connection,
    agreement: Agreement,
    collection: Collection,
    records: Mapping[str, Mapping[str, Any] | None],
) -> None:
    """As a page of a pull is staged, but for what is set aside there: of a request it is an error."""
    resource = _resource(collection.name)
    codes = await opened_codes(c, connection)
    given = [msgspec.json.encode({**record, "sourcedId": id}) for id, record in records.items() if record is not None]
    page = Page(rows=given, gone=[id for id, record in records.items() if record is None], partial=True)
    decoded = decode(resource, page, codes.edge(resource))
    hashes = [(row.key, row.hash) for row in decoded.rows]
    mapped = map_rows(resource, codes, decoded, await runs.differing(c, attempt, resource.name, hashes))
    for reject in (*decoded.rejects, *mapped.rejects):
        raise RecordError(reject.code, reject.reason, field=reject.field)
    for row in mapped.rows:
        _refuse_unreadable(row)
        await _point(c, attempt, agreement, row)
    rows = [*(StagedRow(id, "gone") for id in page.gone), *mapped.rows]
    staged = StagedPage(
        collection=resource.name,
        cursor="",
        next=(),
        rows=rows,
        received=len(rows),
        partial=True,
        leniencies=leniencies(mapped.notices),
    )
    await runs.stage(store, c, attempt, staged)
    if await writing.staged(c, attempt) < len(rows):
        raise Refused(
            "record-purged",
            "It speaks of somebody whose data this district has erased.",
            "Delete what you have of them too; see docs/vendors.md.",
        )


def _resource(collection: str) -> Resource:
    return next(one for one in registry.connector(CONNECTOR).resources if one.name == collection)


def _refuse_unreadable(row: StagedRow) -> None:
    """A pull counts what it cannot read and goes on; whoever writes is there to be told. What an assessment is for is
    no field of the standard: it is counted here too."""
    if row.op == "gone":
        raise RecordError("record-gone-by-put", "A record is taken back by DELETE, not by its status.", field="status")
    for why, table, code, _ in row.left_out:
        if why == "unmapped" and table == "score_status":
            raise RecordError(
                "record-word-unknown",
                f"{code!r} is no status of a score that this district knows.",
                "Use a word of the standard, or ask the district to take this one up in its crosswalk.",
                field="scoreStatus",
            )


class _Stated(msgspec.Struct, array_like=True):
    kind: str
    key: str
    same_as: str | None
    anchor: bool
    rank: int
    stated: dict[str, Any]


async def _point(c: Transaction, attempt: Attempt, agreement: Agreement, row: StagedRow) -> None:
    """Let what the record refers to be what the program is served under that sourcedId. ConfigError for what is not
    there, or is beyond the agreement."""
    if row.claims is None:
        return
    for claim in msgspec.json.decode(row.claims, type=list[_Stated]):
        for reference in KINDS[claim.kind].references:
            id = claim.stated.get(reference.field)
            if not isinstance(id, str):
                continue
            found = await writing.reached(c, agreement.id, reference.kind, [id])
            if not found:
                of = "students" if reference.kind == "person" else OF_KIND[reference.kind][0].name
                raise ConfigError(
                    "object-unknown",
                    f"Among the {of} within the agreement there is none with the sourcedId {id!r}.",
                    "Ask for the list of them: whatever can be referred to is in it.",
                )
            await writing.point(c, attempt, reference.kind, found)


async def _publish(
    call: Caller,
    c: Transaction,
    attempt: Attempt,
    agreement: Agreement,
    collection: Collection,
    records: Mapping[str, Mapping[str, Any] | None],
) -> None:
    """As any run publishes, and at once what is served, so that nobody is told of a record that is not there."""
    put = [id for id, record in records.items() if record is not None]
    publication = await outcomes.open_publication(c, attempt)
    await applying.apply_records(c, attempt, everything=False)
    sources = await sources_of(call.store, c, call.district)
    kinds = _moved_with(collection.kind)
    for kind in kinds:
        await resolve_kind(c, attempt, KINDS[kind], sources, publication)
    await points.after_publishing(c, call.district, publication)
    published = await outcomes.published_counts(c)
    await outcomes.finish_run(c, attempt, "published", Work(published=published).stored(), publication, good=True)
    detail = {
        "client": call.client.id,
        "agreement": agreement.id,
        "collection": collection.name,
        "put": len(put),
        "deleted": len(records) - len(put),
    }
    await registers.log_act(c, call.district, call.actor, "oneroster-write", str(attempt.run), detail)
    await projections.written(call.store, c, call.district, publication, kinds)
    await _refuse_unserved(c, attempt, agreement, collection, put)
    await outcomes.close_publication(c, publication)


def _moved_with(kind: str) -> list[str]:
    """The kind, and those whose records may come or go with one of it, parents first."""
    found = {kind}
    for one in _KINDS:
        if not found.isdisjoint(reference.kind for reference in KINDS[one].references):
            found.add(one)
    return [one for one in _KINDS if one in found]


async def _refuse_unserved(
    c: Transaction, attempt: Attempt, agreement: Agreement, collection: Collection, put: Sequence[str]
) -> None:
    lacking = await writing.unserved(c, collection, attempt.connection, agreement.id, put)
    if lacking is None:
        return
    _, field = lacking
    if field:
        raise RecordError(
            "record-incomplete", f"A {collection.singular} needs {field}.", "Send it with the record.", field=field
        )
    raise ConfigError(
        "object-unknown",
        f"This {collection.singular} would be beyond the agreement with the district.",
        "Write about the classes and students that it names.",
    )
