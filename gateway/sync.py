"""The straight line of one run: pull, decode, map, stage, then resolve, check and publish."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from gateway import collecting, replay
from gateway.codes import Codes
from gateway.codes import opened as opened_codes
from gateway.connected import opened
from gateway.connector import START, Advancing, Incremental, Page, Rereading, Resource, Source
from gateway.errors import PlanbridgeError
from gateway.payload import Edge
from gateway.resolve import Outcome, resolve
from gateway.staging import stage
from gateway.store import collected, registers, runs, watermarks
from gateway.store.database import Store
from gateway.store.registers import Connection
from gateway.store.runs import Attempt

STAGED_AT_ONCE = 1
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
        pages_move = False
        if attempt.kind == "pull" and not attempt.approved:
            pages_move = await _pull_all(store, attempt)
        elif attempt.kind == "replay" and not attempt.approved:
            await _replay(store, attempt)
        return await resolve(store, attempt, pages_move=pages_move)
    except PlanbridgeError as error:
        await runs.fail(store, attempt, error)
        raise


async def _pull_all(store: Store, attempt: Attempt) -> bool:
    """Whether rows may have changed pages meanwhile."""
    connection = await registers.connection(store, attempt.district, attempt.connection)
    async with store.transaction(attempt.district) as c:
        codes = await opened_codes(c, connection)
        groups = await collected.reasons(c, connection.id)
    async with opened(store, connection) as (connector, settings, http):
        assert connector.open_source is not None
        source = await connector.open_source(settings, http)
        try:
            collecting.open_for(source, groups)
            await registers.set_wires(store, connection, {each.name: each.wire.__name__ for each in source.resources})
            await _ask_for_changes(store, attempt, connection, source, codes, settings.whole_every)
            await _stage_all(store, attempt, source, codes, settings.in_flight)
            if isinstance(source, Advancing) and (reached := source.reached()):
                async with store.transaction(attempt.district) as c:
                    await watermarks.advance(c, attempt, reached)
            if not isinstance(source, Rereading):
                async with store.transaction(attempt.district) as c:
                    await watermarks.carry_rejects(c, attempt)
            return source.pages_move
        finally:
            await source.close()


async def _ask_for_changes(
    store: Store, attempt: Attempt, connection: Connection, source: Source, codes: Codes, whole_every: int
) -> None:
    """Tell a source that can say what changed from where on that is enough. An attempt that carries on asks for the
    same as the one before it: pages of two kinds would not fit together."""
    if not isinstance(source, Incremental):
        return
    async with store.transaction(attempt.district) as c:
        bounds = await watermarks.bounds(c, attempt)
    if bounds is None:
        marks = await source.marks()
        async with store.transaction(attempt.district) as c:
            bounds = await watermarks.begin(
                c, attempt, marks, read_by=_read_by(connection, codes), whole_every=whole_every
            )
    source.since(bounds.since)


def _read_by(connection: Connection, codes: Codes) -> str:
    """Names what decides which records are read, and how: when it changes, everything is read again."""
    settings = hashlib.sha256(msgspec.json.encode(connection.settings, order="sorted")).hexdigest()[:16]
    return f"{codes.fingerprint}/{settings}"


async def _replay(store: Store, attempt: Attempt) -> None:
    """The same with what is stored as the source, and with the codes that the run supposes."""
    connection = await registers.connection(store, attempt.district, attempt.connection)
    wanted = replay.wanted(attempt)
    async with store.transaction(attempt.district) as c:
        codes = await opened_codes(c, connection, wanted.suppose)
    source = await replay.stored_source(store, attempt, connection, wanted.selection)
    await _stage_all(store, attempt, source, codes, in_flight=1)


class Readable(Protocol):
    """What is read, from a remote system or from what is stored."""

    resources: Sequence[Resource]

    async def pull(self, resource: Resource, cursor: str) -> Page: ...


async def _stage_all(store: Store, attempt: Attempt, source: Readable, codes: Codes, in_flight: int) -> None:
    await runs.set_mapping(store, attempt, codes.fingerprint)
    done = await runs.pages(store, attempt)
    for resource in source.resources:
        staged = {page.cursor: page.next for page in done if page.collection == resource.name}
        await Collection(store, attempt, source, resource, codes, codes.edge(resource), in_flight).all_pages(staged)


@dataclass(frozen=True)
class Collection:
    """One collection being pulled: pages side by side, each staged with its progress as it arrives."""

    store: Store
    attempt: Attempt
    source: Readable
    resource: Resource
    codes: Codes
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
            await stage(self.store, self.attempt, self.resource, self.codes, self.edge, cursor, page)
        return page.next
