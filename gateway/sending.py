"""The documents of deliveries over one opened sink: looked at, in order, each once, and what is in whose way."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import msgspec

from gateway import clock
from gateway.connector import (
    Admitting,
    Allocating,
    Announcing,
    Document,
    Ending,
    Expecting,
    Guarding,
    Judging,
    Loss,
    Receipt,
    Respecting,
    Retracting,
    Sink,
)
from gateway.errors import Refused
from gateway.sameness import holds
from gateway.store import deliveries, ledger, withdrawals
from gateway.store.database import Store
from gateway.store.deliveries import Cause, Delivery
from gateway.store.destinations import EditedThere
from gateway.store.ledger import Answer, Claim, Known, LedgerRow
from gateway.together import Together

LAST_ANSWER_SECONDS = 5.0
EDITED = Receipt(
    409,
    message=str(
        Refused(
            "edited-there",
            "Somebody edited there what we wrote, and it is left alone.",
            "See what was changed, then put ours in its place once, with a reason (planbridge push PLAN --to "
            "DESTINATION --overwrite --because REASON), or choose for all of this destination: keep theirs, or send "
            "ours.",
        )
    ),
)


KEEPS = str(
    Refused(
        "destination-keeps",
        "This destination gives nothing back, and ends nothing.",
        "End the supports in the plan and push it again, or have it removed there.",
    )
)


@dataclass(frozen=True)
class Ended:
    """How a delivery ended: `reason` where it is parked, its root `causes`, and for what it `waits` where that may come
    by itself."""

    losses: Sequence[Loss]
    reason: str | None = None
    waits: str = ""
    causes: Sequence[Cause] = ()


class NotBegun(Exception):
    """Another delivery met a destination that does not answer; nothing of this document was begun."""


class Desk:
    """What the deliveries that go to one destination side by side share: one sink, the ledger, and the turns of what
    several plans refer to. Hundreds of lines of the ledger are one transaction. `edited_there`: see destinations.
    `stopped`: the destination does not answer, and nothing more is begun."""

    def __init__(self, store: Store, district: int, sink: Sink, abreast: int) -> None:
        self.store = store
        self.sink = sink
        self.edited_there: EditedThere = "ask"
        self.stopped = False
        # Half as many more: while their claims are written, those before them are on their way.
        self._way = asyncio.Semaphore(-(-abreast * 3 // 2))
        self.claim = Together(partial(ledger.claim, store, district))
        self.record = Together(partial(ledger.record, store, district))
        self.finish = Together(partial(deliveries.finish, store, district))
        self._turns: dict[str, asyncio.Lock] = {}
        self.shared: dict[str, str] = {}
        """What of that has arrived: the document's name, the fingerprint of its content."""
        self._owners: dict[str, Delivery] = {}
        # Looked at once: for each of ten thousand documents it would be a tenth of what a delivery costs.
        self.judging = sink if isinstance(sink, Judging) else None
        self.ends_access = sink if isinstance(sink, Admitting) and isinstance(sink, Ending) else None
        self.respecting = sink if isinstance(sink, Respecting) else None
        self.guarding = sink if isinstance(sink, Guarding) else None
        self.allocating = sink if isinstance(sink, Allocating) else None
        if isinstance(sink, Announcing):
            sink.announcing(self._announce)

    async def expect(self, several: Iterable[tuple[Delivery, Sequence[Document], Known]]) -> None:
        """Look at the places of all that is sent for the first time together, where that is less to ask for."""
        if isinstance(self.sink, Expecting):
            await self.sink.expect(
                [
                    document
                    for delivery, documents, known in several
                    for document in documents
                    if not (document.create_only or delivery.overwrite or _is_ours(known.rows.get(document.name)))
                ]
            )

    @asynccontextmanager
    async def way(self) -> AsyncIterator[None]:
        """Be one of those that are on their way; what is not when the destination stops answering is not begun."""
        async with self._way:
            if self.stopped:
                raise NotBegun
            yield

    def turn(self, document: Document) -> AbstractAsyncContextManager[Any]:
        """Nobody else's turn to make what several plans refer to: two would make it twice."""
        return self._turns.setdefault(document.name, asyncio.Lock()) if document.create_only else nullcontext()

    def last(self, document: Document, remote_id: str) -> AbstractAsyncContextManager[Any]:
        """Nobody else's turn to end what lets people see several plans: two at once would leave it to each other."""
        if not _admits(self.sink, document):
            return nullcontext()
        return self._turns.setdefault(f"{document.resource} of {remote_id}", asyncio.Lock())

    def belongs(self, document: Document, delivery: Delivery) -> None:
        self._owners[document.name] = delivery

    async def _announce(self, document: Document, remote_id: str) -> None:
        await deliveries.announce(self.store, self._owners[document.name], document, remote_id)


async def send(
    desk: Desk,
    delivery: Delivery,
    known: Known,
    documents: Sequence[Document],
    losses: Sequence[Loss],
    start: date,
) -> Ended:
    """Send what differs from what was delivered; then end what was delivered of the plan and is not among it any more.
    `start` is the plan's first day: what began on another one ends the day before. One sink sends many at once."""
    sink = desk.sink
    contents = {document.name: fingerprint(document) for document in documents}
    told = list(losses)
    if desk.judging:
        new = [one for one in documents if _content(known.rows, one) != contents[one.name]]
        judged = await desk.judging.judge(new) if new else None
        if judged and judged.problems:
            why = [Cause(0, problem, (), 0, len(new)) for problem in judged.problems]
            return Ended(told, f"Nothing was sent. {' '.join(judged.problems)}", causes=why)
        # What has arrived before stands first: whatever refers to it finds it there.
        documents = [*(one for one in documents if one not in new), *(judged.documents if judged else ())]
        lost = {loss.pointer for loss in told}
        told += [loss for loss in (judged.losses if judged else ()) if loss.pointer not in lost]
    one_by_one = _Sending(desk, delivery, known.rows, contents)
    over = [document for document in known.left if document.name not in contents]
    if desk.ends_access:
        admits = desk.ends_access.admits
        # Whoever is to see the plan no more does not see what is sent now, whatever of it is refused.
        if refusal := await one_by_one.end_all([one for one in over if one.resource in admits], start):
            return _not_ended(told, *refusal)
        over = [one for one in over if one.resource not in admits]
    refused = await one_by_one.all(documents)
    told += [Loss("", "withheld", f"Somebody edited {name} there, and theirs was kept.") for name in one_by_one.kept]
    if refused:
        unsent = [one for one in documents if one.name not in one_by_one.arrived and one.name not in refused]
        causes = _causes(refused, unsent)
        return Ended(told, _sentence(causes, len(unsent)), _waits(refused.values()), causes)
    if over and not isinstance(sink, Ending):
        told.append(Loss("", "cannot", "What an earlier version had and this one has not stays there."))
    elif refusal := await one_by_one.end_all(over, start):
        return _not_ended(told, *refusal)
    return Ended(told)


def _not_ended(told: Sequence[Loss], document: Document, receipt: Receipt) -> Ended:
    causes = _causes({document.name: (document, receipt)}, ())
    return Ended(told, _sentence(causes, 0), receipt.waits, causes)


async def take_back(store: Store, delivery: Delivery, sink: Sink) -> Ended:
    """Take back what was delivered of the plan alone, the last sent first, or give it today as its last day where
    nothing is deleted; what the plan shares with others stays. What is refused is no reason to leave the rest."""
    async with store.transaction(delivery.district) as c:
        theirs = await withdrawals.own_objects(c, delivery.plan, delivery.connection)
    if not theirs:
        return Ended(())
    if not isinstance(sink, Retracting | Ending):
        return Ended((), KEEPS, causes=[Cause(0, KEEPS, (), 0, len(theirs))])
    if isinstance(sink, Admitting):
        admits = sink.admits
        theirs = sorted(theirs, key=lambda one: one[0].resource not in admits)
    last_day = None if isinstance(sink, Retracting) else clock.today()
    refused: dict[str, tuple[Document, Receipt]] = {}
    for document, remote_id in theirs:
        if isinstance(sink, Allocating):
            sink.know(document, remote_id)
        await withdrawals.claim(store, delivery, document)
        if await _is_needed(store, sink, delivery, document, remote_id):
            receipt = Receipt(200, unchanged=True)
        else:
            taking_back = sink.delete(document) if isinstance(sink, Retracting) else sink.end(document, clock.today())
            receipt = _storable(await _to_the_answer(taking_back))
        await withdrawals.record(store, delivery, document, receipt, last_day)
        if not receipt.delivered:
            refused[document.name] = (document, receipt)
    left = [] if last_day is None else [Loss("", "cannot", "Nothing is deleted there; it has ended today.")]
    if not refused:
        return Ended(left)
    causes = _causes(refused, ())
    return Ended(left, _sentence(causes, 0), causes=causes)


def fingerprint(document: Document) -> str:
    """Of the body as it is sent: the same body is never sent twice."""
    return hashlib.sha256(msgspec.json.encode(document.body, order="sorted")).hexdigest()


Refusals = Mapping[str, tuple[Document, Receipt]]


class _Sending:
    """What of one delivery has arrived so far."""

    def __init__(
        self, desk: Desk, delivery: Delivery, known: Mapping[str, LedgerRow], contents: Mapping[str, str]
    ) -> None:
        self._desk = desk
        self._store = desk.store
        self._sink = desk.sink
        self._delivery = delivery
        self._known = known
        self._contents = contents
        self._edited_there = "ours" if delivery.overwrite else desk.edited_there
        self.arrived: set[str] = set()
        self.kept: list[str] = []

    async def all(self, documents: Sequence[Document]) -> Refusals:
        """Send each once all that it refers to has arrived, in whichever order they come; what refers to something that
        did not arrive is not sent."""
        refused: dict[str, tuple[Document, Receipt]] = {}
        names = [document.name for document in documents]
        waiting = list(enumerate(documents))
        while waiting:
            late = []
            for place, document in waiting:
                before = names[:place] if document.after is None else [one for one in document.after if one in names]
                if not self.arrived.issuperset(before):
                    late.append((place, document))
                    continue
                receipt = await _to_the_answer(self._one(document))
                if receipt.delivered:
                    self.arrived.add(document.name)
                else:
                    refused[document.name] = (document, receipt)
            if len(late) == len(waiting):
                break
            waiting = late
        return refused

    async def end_all(self, over: Sequence[Document], start: date) -> tuple[Document, Receipt] | None:
        """End what the plan has no more; the first that the destination refuses to end."""
        for document in over:
            on = start - timedelta(days=1) if document.key.get("beginDate", str(start)) != str(start) else clock.today()
            receipt = await self.end(document, on)
            if not receipt.delivered:
                return document, receipt
        return None

    async def end(self, document: Document, on: date) -> Receipt:
        """Give what the plan has no more its last day."""
        assert isinstance(self._sink, Ending)
        claim = Claim(self._delivery, document, hashlib.sha256(f"ended {on}".encode()).hexdigest())
        known = await self._desk.claim(claim)
        self._desk.belongs(document, self._delivery)
        if self._desk.allocating:
            self._desk.allocating.know(document, known.remote_id)
        async with self._desk.last(document, known.remote_id):
            if await _is_needed(self._store, self._sink, self._delivery, document, known.remote_id):
                receipt = Receipt(200, known.remote_id, unchanged=True)
            else:
                receipt = _storable(await _to_the_answer(self._sink.end(document, on)))
            await self._desk.record(Answer(claim, receipt, on))
        return receipt

    async def _one(self, document: Document) -> Receipt:
        content = self._contents[document.name]
        async with self._desk.turn(document):
            if self._desk.shared.get(document.name) == content:
                return Receipt(200, unchanged=True)
            receipt = await self._push(document, content)
            if document.create_only and receipt.delivered:
                self._desk.shared[document.name] = content
            return receipt

    async def _push(self, document: Document, content: str) -> Receipt:
        claim = Claim(self._delivery, document, content)
        async with self._desk.way():
            receipt, asked = await self._sent(claim)
        if asked:  # the next is on its way while the answer is written down
            await self._desk.record(Answer(claim, receipt))
        return receipt

    async def _sent(self, claim: Claim) -> tuple[Receipt, bool]:
        """What became of it, and whether that is an answer to it, to be written down."""
        document, content = claim.document, claim.sha256
        before = self._known.get(document.name)
        if self._desk.respecting and not (document.create_only or self._delivery.overwrite):
            in_the_way = None if _is_ours(before) else await self._desk.respecting.foreign(document)
            if in_the_way:
                await deliveries.refuse(self._store, self._delivery, document, in_the_way)
                return in_the_way, False
        if before and self._edited_there != "ours" and await self._edited(document, before, content):
            if self._edited_there == "keep":
                self.kept.append(document.resource)
                return Receipt(200, before.remote_id, unchanged=True), False
            await deliveries.refuse(self._store, self._delivery, document, EDITED)
            return EDITED, False
        known = await self._desk.claim(claim)
        self._desk.belongs(document, self._delivery)
        if self._desk.allocating:
            self._desk.allocating.know(document, known.remote_id)
        if known.delivered_sha256 == content:
            return Receipt(200, known.remote_id, unchanged=True), False
        return _storable(await self._sink.push(document)), True

    async def _edited(self, document: Document, before: LedgerRow, content: str) -> bool:
        """Whether a person has changed there what an update is about to change."""
        guarding = self._desk.guarding
        if not (guarding and before.revision) or before.delivered_sha256 == content:
            return False
        if self._desk.allocating:
            self._desk.allocating.know(document, before.remote_id)
        # What was sent last and never answered may be what stands there, and is ours: that is known by what it says,
        # and of something else than is to be sent now it cannot be known.
        if not before.heard and before.sent_sha256 != content:
            return False
        if not await guarding.edited(document, before.revision):
            return False
        if before.heard:
            return True
        there = await self._sink.read_back(document)
        return there is not None and not holds(there, document.body)


def _storable(receipt: Receipt) -> Receipt:
    """Without what the database has no place for: one destination's odd answer is not the end of its neighbours."""
    told = (receipt.remote_id, receipt.revision, receipt.message, receipt.trace)
    remote_id, revision, message, trace = (one.encode(errors="replace").decode().replace("\0", "") for one in told)
    return replace(receipt, remote_id=remote_id, revision=revision, message=message, trace=trace)


async def _to_the_answer(sending: Coroutine[Any, Any, Receipt]) -> Receipt:
    """A worker that is told to stop still hears what the destination says to what is on its way."""
    task = asyncio.create_task(sending)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=LAST_ANSWER_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


def _admits(sink: Sink, document: Document) -> bool:
    return isinstance(sink, Admitting) and document.resource in sink.admits


async def _is_needed(store: Store, sink: Sink, delivery: Delivery, document: Document, remote_id: str) -> bool:
    """What lets people see one plan of a student lets them see the other: it goes with the last that needs it."""
    if not (remote_id and _admits(sink, document)):
        return False
    async with store.transaction(delivery.district) as c:
        return await withdrawals.needed(c, delivery, document, remote_id)


def _is_ours(before: LedgerRow | None) -> bool:
    return before is not None and before.ours


def _content(known: Mapping[str, LedgerRow], document: Document) -> str | None:
    found = known.get(document.name)
    return found.delivered_sha256 if found else None


def _causes(refused: Refusals, unsent: Sequence[Document]) -> Sequence[Cause]:
    """Refusals of one cause are one, however many; with what was not sent because of each: what refers to something
    refused, and what refers to that. The one that explains most stands first."""
    groups: dict[tuple[int, str], list[str]] = {}
    for name, (_, receipt) in refused.items():
        # The third of some services and the fifth are the same mistake.
        groups.setdefault((receipt.status, re.sub(r"\[\d+\]", "[]", receipt.message)), []).append(name)
    causes = []
    for (status, message), names in groups.items():
        held = set(names)
        for _ in unsent:  # in whichever order they come
            more = {one.name for one in unsent if one.after is None or held.intersection(one.after)} - held
            if not more:
                break
            held |= more
        resources = tuple(dict.fromkeys(refused[name][0].resource for name in names))
        trace = refused[names[0]][1].trace
        causes.append(Cause(status, message, resources, len(names), len(held) - len(names), trace))
    return sorted(causes, key=lambda cause: -cause.refused - cause.not_sent)


def _sentence(causes: Sequence[Cause], unsent: int) -> str:
    """Each cause once, and how many documents were not sent because of them."""
    said = []
    for one in causes:
        what = "; ".join(one.resources)
        records = f"{one.refused} records ({what}) were" if one.refused > 1 else f"{what} was"
        trace = f" [correlation-id {one.trace}]" if one.trace else ""
        said.append(f"{records} refused with {one.status}: {one.message}{trace}")
    rest = f" {unsent} more {'was' if unsent == 1 else 'were'} not sent because of it." if unsent > 0 else ""
    return " ".join(said) + rest


def _waits(receipts: Iterable[tuple[Document, Receipt]]) -> str:
    """What it waits for where every refusal may end by itself; an enrollment before anything else."""
    waits = {receipt.waits for _, receipt in receipts}
    if "" in waits:
        return ""
    return "enrollment" if "enrollment" in waits else "parent"
