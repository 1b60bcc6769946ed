"""What the OneRoster provider serves follows what is published: in one transaction, in the order of the change log."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway import clock, registry, wire
from gateway.mapping import Crosswalks
from gateway.schema import ORDER
from gateway.served import COLLECTIONS, OF_KIND, WRITABLE, Collection
from gateway.store import denials, reach, served, served_rows
from gateway.store.database import DatabaseError, Store, Transaction, is_outrun
from gateway.store.served import State

log = logging.getLogger(__name__)

TRIES = 3
_KINDS = sorted(OF_KIND, key=ORDER.__getitem__)
_WITH_CHILDREN = {"organization": COLLECTIONS["orgs"], "session": COLLECTIONS["academicSessions"]}


@dataclass(frozen=True)
class Projected:
    """What came of it: the rows written anew by collection, and since when they can be seen; None where nothing
    changed."""

    rows: dict[str, int]
    at: datetime | None


async def follow(store: Store, district: int) -> Projected:
    """Bring what is served up to what is published. Whatever differs is seen by whoever asks at `at` or later, all of
    it at once; what does not differ keeps its time. Memory does not grow with the district."""
    for tried in range(1, TRIES + 1):
        try:
            async with served.projecting(store, district) as c:
                return await _Projection(store, c, district).everything()
        except DatabaseError as error:
            # Somebody changed an agreement's reach at the same time: it is looked at anew, with theirs.
            if not is_outrun(error) or tried == TRIES:
                raise
            log.info("what is served was changed meanwhile; it is looked at again")
    raise AssertionError  # pragma: no cover


async def written(store: Store, c: Transaction, district: int, publication: int, kinds: Sequence[str]) -> None:
    """Have what a program's request published of these kinds be served when this transaction is committed. Nobody else
    may publish or project meanwhile; the next projection looks at it once more, and finds it as it is."""
    await _Projection(store, c, district).written(publication, kinds)


class _Projection:
    """One projection under way."""

    def __init__(self, store: Store, c: Transaction, district: int) -> None:
        self._store = store
        self._c = c
        self._district = district
        self._codes: Crosswalks = registry.mapping("oneroster").codes()
        self._written: Counter[str] = Counter()
        self._at: Any = served.UNSTAMPED
        self._everything = False
        self._first = False
        self._named = False

    async def everything(self) -> Projected:
        now = await served.state(self._c, self._district)
        self._everything, self._first = now.everything, now.first
        if now.first:
            # Nobody has read anything, so nobody's next question can miss what came before its end.
            self._at = clock.now()
        self._named = await served_rows.any_names(self._c)
        place = await served.note_changes(self._c, now)
        await denials.place(self._store, self._c, self._district)
        await served_rows.note_family(self._store, self._c, everything=now.everything)
        for kind in _KINDS:
            await self._kind(kind)
        await served_rows.forget(self._c, self._district)
        return await self._end(now, place)

    async def written(self, publication: int, kinds: Sequence[str]) -> None:
        self._named = True
        await served.note_publication(self._c, publication, kinds)
        for kind in kinds:
            await self._kind(kind)
        changed = [COLLECTIONS[name] for name in WRITABLE if self._written[name]]
        rows = {one.name: await served_rows.unstamped(self._c, one) for one in changed}
        await reach.refresh_rows(self._c, self._district, rows)
        at = await served.settle(self._c, self._district, changed)
        await reach.stamp(self._c, self._district, at)

    async def _kind(self, kind: str) -> None:
        """Rounds, until nothing is to be looked at again because of what the last one found."""
        round = 0
        while ids := await served_rows.noted(self._c, kind, round, None):
            while ids:
                await self._some(kind, round, ids)
                ids = await served_rows.noted(self._c, kind, round, ids[-1]) if len(ids) == served_rows.CHUNK else []
            round += 1
        for collection in OF_KIND[kind]:
            if kind == "person" and round:
                self._written[collection.name] += await served_rows.name_survivors(self._c, collection, self._at)
            await served_rows.grown(self._c, collection, self._written[collection.name])

    async def _some(self, kind: str, round: int, ids: list[str]) -> None:
        collections = OF_KIND[kind]
        above = await self._parents(kind, ids)
        drafts = [
            (id, draft)
            for id, doc, said in await served_rows.published(self._c, kind, ids)
            for draft in wire.drafts(kind, id, doc, said, self._codes)
        ]
        referred = {id for _, draft in drafts for id in wire.referred(draft)}
        absent = await served_rows.absent(self._c, referred)
        names = await served_rows.names(self._c, referred.union(ids)) if self._named else {}
        rows: dict[str, list[wire.Row]] = {one.name: [] for one in collections}
        gaps = []
        out = set()  # who is left out is left out of every collection
        for id, draft in drafts:
            row, found = wire.finish(draft, absent, names)
            gaps += [(id, gap) for gap in found]
            if row is None:
                out.add(id)
            elif id not in out:
                rows[draft.collection.name].append(row)
        for collection in collections:
            await self._write(collection, ids, rows[collection.name])
        if gaps or not self._first or round:
            await served_rows.put_gaps(self._c, self._district, ids, [one.name for one in collections], gaps)
        here = {row.id for row in rows[collections[0].name]}
        await self._note_others(kind, round, ids, here, above)

    async def _write(self, collection: Collection, ids: list[str], rows: list[wire.Row]) -> None:
        here = {row.id for row in rows}
        written = await served_rows.put(self._c, self._district, collection, rows, self._at)
        gone = [id for id in ids if id not in here]
        if gone:
            written += await served_rows.bury(self._c, collection, gone, self._at)
        self._written[collection.name] += written

    async def _parents(self, kind: str, ids: list[str]) -> dict[str, str]:
        collection = _WITH_CHILDREN.get(kind)
        return await served_rows.parents(self._c, collection, ids) if collection else {}

    async def _note_others(self, kind: str, round: int, ids: list[str], here: set[str], above: dict[str, str]) -> None:
        """Note whose rows say something of these."""
        missing = [id for id in ids if id not in here]
        if missing:
            await served_rows.note_referrers(self._c, kind, round, missing)
        if here and (round or not self._first):
            await served_rows.note_waiting(self._c, kind, round, sorted(here))
        if kind == "class" and not self._everything:
            await served_rows.note_of_classes(self._c, ids)
        if kind in _WITH_CHILDREN:
            now = await self._parents(kind, ids)
            moved = {id for id in ids if above.get(id) != now.get(id)}
            of = {found[id] for found in (above, now) for id in moved if id in found}
            await served_rows.note(self._c, kind, round + 1, of)

    async def _end(self, now: State, place: served.Place) -> Projected:
        moved = await reach.refresh(self._c, self._district)
        changed = [COLLECTIONS[name] for name, n in self._written.items() if n]
        at, rows = await served.end(self._c, self._district, now, place, changed, moved=bool(moved))
        if at is not None:
            await reach.stamp(self._c, self._district, at)
        return Projected({name: n for name, n in rows.items() if n}, at)
