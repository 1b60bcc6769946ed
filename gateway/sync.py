"""The straight line of one run: pull, decode, map, stage, then resolve, check and publish."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway import registry
from gateway.connected import opened
from gateway.connector import START, Page, Resource, Source
from gateway.errors import PlanbridgeError, RecordError
from gateway.mapping import Alias, Claim, Mapping
from gateway.payload import UNREADABLE, Edge, edge
from gateway.resolve import Outcome, resolve
from gateway.store import registers, runs
from gateway.store.database import Store
from gateway.store.runs import Attempt, Reject, StagedPage, StagedRow

STAGED_AT_ONCE = 2
"""Pages being decoded and written at a time: many may be on their way, but decoded ones cost ten times the memory."""

LAST_PAGES_SECONDS = 5.0
"""How long a worker that is told to stop waits for pages that are on their way."""


async def run(store: Store, district: int, run_id: int) -> Outcome | None:
    """Carry a run to its end, from wherever an earlier attempt left it.

    None when it is over already. Raises the error of the tree that ended it, and runs.Fenced when a newer
    attempt has taken it: nothing is written after that.
    """
    attempt = await runs.begin(store, district, run_id)
    if attempt is None:
        return None
    try:
        if attempt.kind == "pull" and not attempt.approved:
            await _pull_all(store, attempt)
        return await resolve(store, attempt)
    except PlanbridgeError as error:
        await runs.fail(store, attempt, error)
        raise


async def _pull_all(store: Store, attempt: Attempt) -> None:
    connection = await registers.connection(store, attempt.district, attempt.connection)
    mapping = registry.mapping(connection.connector)
    fingerprint = f"{mapping.name}@{mapping.version}+{mapping.codes().fingerprint()}"
    await runs.set_mapping(store, attempt, fingerprint)
    done = await runs.pages(store, attempt)
    async with opened(store, connection) as (connector, settings, http):
        assert connector.open_source is not None
        source = await connector.open_source(settings, http)
        try:
            for resource in source.resources:
                staged = {page.cursor: page.next for page in done if page.collection == resource.name}
                pull = Collection(
                    store, attempt, source, resource, mapping, edge(resource, fingerprint), settings.in_flight
                )
                await pull.all_pages(staged)
        finally:
            await source.close()


@dataclass(frozen=True)
class Collection:
    """One collection being pulled: pages side by side, each staged with its progress as it arrives."""

    store: Store
    attempt: Attempt
    source: Source
    resource: Resource
    mapping: Mapping
    edge: Edge
    in_flight: int
    staging: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STAGED_AT_ONCE))

    async def all_pages(self, staged: dict[str, tuple[str, ...]]) -> None:
        """Pull every page that is not staged yet. `staged` tells which are, and what each made known."""
        waiting = [c for c in (START, *(c for nexts in staged.values() for c in nexts)) if c not in staged]
        seen = set(staged) | set(waiting)
        under_way: set[asyncio.Task[tuple[str, ...]]] = set()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < self.in_flight:
                    under_way.add(asyncio.create_task(self.one_page(waiting.pop(0))))
                finished, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    fresh = [cursor for cursor in task.result() if cursor not in seen]
                    seen.update(fresh)
                    waiting += fresh
        except asyncio.CancelledError:
            # The worker is told to stop: what is on its way is staged, and nothing more is asked for.
            finished, under_way = await asyncio.wait(under_way, timeout=LAST_PAGES_SECONDS)
            for task in finished:
                task.result()
            raise
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def one_page(self, cursor: str) -> tuple[str, ...]:
        """Pull, decode, map and stage one page; returns the cursors it makes known."""
        page = await self.source.pull(self.resource, cursor)
        async with self.staging:
            await self.stage(cursor, page)
        return page.next

    async def stage(self, cursor: str, page: Page) -> None:
        """Decode, map and write one page; what was published already is not mapped again."""
        decoded = decode(self.resource, page, self.edge)
        known = await runs.known_hashes(self.store, self.attempt, self.resource.name, [row.key for row in decoded.rows])
        mapped = map_rows(self.resource, self.mapping, decoded, known)
        await runs.stage(
            self.store,
            self.attempt,
            StagedPage(
                collection=self.resource.name,
                cursor=cursor,
                next=page.next,
                rows=mapped.rows,
                received=len(page.rows) + len(page.unreadable),
                rejects=[*decoded.rejects, *mapped.rejects],
                total=page.total,
                absent=page.absent,
                unkeyed=len(decoded.rejects),
                unmapped=[(table, code, n) for (table, code), n in mapped.unmapped.items()],
            ),
        )


@dataclass(frozen=True)
class Row:
    """One decoded row: the wire record, what is kept of it, the hash of what counts as a change."""

    wire: Any
    key: str
    position: str
    kept: str
    hash: str


@dataclass(frozen=True)
class Decoded:
    rows: Sequence[Row]
    rejects: Sequence[Reject]


def decode(resource: Resource, page: Page, at_the_edge: Edge) -> Decoded:
    """Each row by itself, so that a bad one is set aside with its bytes and costs no other."""
    rows: list[Row] = []
    rejects = [
        # No fields, no drop list: such a row's bytes may hold anything, so only its place is kept.
        Reject(bad.code, bad.reason, position=bad.position)
        for bad in page.unreadable
    ]
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(resource.wire)
    for n, raw in enumerate(page.rows):
        position = f"row {page.first_row + n}" if page.first_row is not None else ""
        try:
            kept, hash = at_the_edge(raw)
            wire = decoder.decode(raw)
            rows.append(Row(wire, resource.key(wire), position, kept, hash))
        except (*UNREADABLE, RecordError) as error:
            rejects.append(_unreadable(error, position, _kept(raw, at_the_edge)))
    return Decoded(rows, rejects)


def _kept(raw: msgspec.Raw | bytes, at_the_edge: Edge) -> str | None:
    """What may be kept of a row that is set aside: what the edge lets through; nothing where it cannot tell."""
    try:
        return at_the_edge(raw)[0]
    except (*UNREADABLE, RecordError):
        return None


def _unreadable(error: Exception, position: str, kept: str | None) -> Reject:
    match error:
        case RecordError():
            return Reject(error.code, error.message, position=position, field=error.field, body=kept)
        case UnicodeDecodeError():  # its own words quote the row
            reason, path = "It has bytes that are not UTF-8", ""
        case RecursionError():
            reason, path = "It is nested deeper than any record", ""
        case _:
            reason, _, path = str(error).partition(" - at `$.")
    return Reject("unreadable-record", reason, position=position, field=path.rstrip("`"), body=kept)


@dataclass(frozen=True)
class MappedRows:
    rows: Sequence[StagedRow]
    rejects: Sequence[Reject]
    unmapped: Counter[tuple[str, str]]


def map_rows(resource: Resource, mapping: Mapping, decoded: Decoded, known: dict[str, str]) -> MappedRows:
    """Claims of the rows that differ from what is published; a row that cannot be mapped keeps what was."""
    codes = mapping.codes()
    to_claims = mapping.inbound[resource.wire]
    rows: list[StagedRow] = []
    rejects: list[Reject] = []
    for row in decoded.rows:
        if resource.inactive is not None and resource.inactive(row.wire):
            rows.append(StagedRow(row.key, "gone"))
        elif known.get(row.key) == row.hash:
            rows.append(StagedRow(row.key, "same"))
        else:
            try:
                claims = msgspec.json.encode([_compact(claim) for claim in to_claims(row.wire, codes)]).decode()
                rows.append(StagedRow(row.key, "put", row.hash, row.kept, claims))
            except RecordError as error:
                rows.append(StagedRow(row.key, "same"))
                rejects.append(Reject(error.code, error.message, row.key, row.position, error.field, row.kept))
    return MappedRows(rows, rejects, codes.unmapped)


def _compact(statement: Claim | Alias) -> tuple[Any, ...]:
    if isinstance(statement, Alias):
        return statement.kind, statement.key, statement.same_as, False, 0, None
    return statement.kind, statement.key, None, statement.anchor, statement.rank, statement.values
