"""Resolve, check, publish: from staged records to published entities, in one transaction per run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from gateway import clock, collecting, guard, people, points, registry
from gateway.candidates import Rule, Traits, traits
from gateway.errors import Refused
from gateway.fold import NOBODY, Doc, Stated, fold, in_order
from gateway.guard import CollectionCount, Guards, Hold
from gateway.identifiers import Choice, choice, recognised_by
from gateway.identity import collection_of, entity_id, match_word, population, precedence
from gateway.references import in_ids
from gateway.schema import KINDS, Kind
from gateway.store import (
    applying,
    attention,
    blackouts,
    changes,
    collected,
    compare,
    decisions,
    history,
    identities,
    limits,
    outcomes,
    recognition,
    registers,
    renaming,
    runs,
    successions,
    watermarks,
    wholes,
    years,
)
from gateway.store.changes import CHUNK, ClaimRow, Waiting
from gateway.store.database import Store, Transaction
from gateway.store.decisions import Link
from gateway.store.identities import Key
from gateway.store.outcomes import Previewed
from gateway.store.recognition import Why, Word
from gateway.store.runs import Attempt

EVERYTHING = ("added", "changed", "gone")
BUT_REMOVALS = ("added", "changed")
ADDITIONS = ("added",)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: published, held or compared, and what it did or would do."""

    state: str
    counts: dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """The district's connections: in which order their word counts (`survivors`: for single fields of a kind), by
    which numbers and rules people match. `in_conflict`: keys that came back as somebody else, and the first run
    whose statements about them wait."""

    order: tuple[int, ...]
    owners: dict[str, int]
    survivors: dict[str, dict[str, list[int]]]
    choice: Choice
    rules: list[Rule]
    in_conflict: dict[Key, int]
    district_key: bytes


@dataclass(frozen=True)
class Work:
    """What one try at a run did, or would do: it becomes true only when its transaction is committed.

    `told`: what is told of it school by school; `takes_over`: the connection whose place the run's takes, if it takes
    one; `digest` names its change set; `people`: how many students the run names, and how many of them are recognised;
    `identifiers`: by which numbers, and how many each would recognise."""

    counts: Sequence[CollectionCount] = ()
    published: dict[str, dict[str, int]] = field(default_factory=dict)
    publication: int | None = None
    reasons: Sequence[Hold] = ()
    preview: Sequence[Previewed] = ()
    told: years.Told = field(default_factory=dict)
    takes_over: str | None = None
    digest: str = ""
    guards: Guards = field(default_factory=Guards)
    people: dict[str, int] = field(default_factory=dict)
    identifiers: dict[str, Any] = field(default_factory=dict)

    def stored(self) -> dict[str, Any]:
        succeeds = {"takes_over": self.takes_over} if self.takes_over else {}
        people: dict[str, Any] = {"people": self.people} if self.people.get("named") else {}
        if self.identifiers:
            people["identifiers"] = self.identifiers
        return (
            {"collections": compare.as_stored(self.counts), "published": self.published, **people}
            | self.told
            | succeeds
        )


class _RolledBack(Exception):
    """Nothing of this work stays."""

    def __init__(self, work: Work) -> None:
        self.work = work


async def resolve(store: Store, attempt: Attempt, *, pages_move: bool = False) -> Outcome:
    """Publish what the run staged, or part of it, or hold it, as the guards say; a run that only compares publishes
    nothing. `pages_move`: rows could change pages while they were pulled. Raises runs.Fenced when a newer attempt has
    taken the run."""
    try:
        return await _try(store, attempt, EVERYTHING, pages_move=pages_move)
    except _RolledBack as back:
        all_of_it = back.work
    if not all_of_it.reasons:
        return await _compared(store, attempt, all_of_it)
    # A connection takes another one's place wholly or not at all.
    if not all_of_it.takes_over and guard.only_removals(all_of_it.reasons, all_of_it.guards):
        try:
            return await _try(store, attempt, BUT_REMOVALS, waiting=all_of_it)
        except _RolledBack as back:
            if not back.work.reasons:
                return await _compared(store, attempt, back.work, all_of_it)
    if attempt.mode != "publish":
        return await _compared(store, attempt, all_of_it)
    return await _held(store, attempt, all_of_it)


async def _try(
    store: Store, attempt: Attempt, ops: Sequence[str], *, waiting: Work | None = None, pages_move: bool = False
) -> Outcome:
    """One transaction: do the run's changes with these ops. Rolled back where a guard has a reason that nobody has
    decided upon, or where the run only compares. `waiting`: what is left out, and why, waits for a person."""
    async with store.transaction(attempt.district) as c:
        await runs.hold_fence(c, attempt)
        await changes.lock_district(c, attempt.district)
        await successions.refuse_retired(c, attempt.connection)
        takes_over = await successions.take_over(c, attempt)
        off = await _switched_off(store, c, attempt)
        counts = await _compare(store, c, attempt, off, takes_over=takes_over is not None)
        digest = await compare.digest(c)
        decided = await compare.decided(c, attempt.run) == digest
        guards = await _guards(store, c, attempt)
        # A blackout ends by itself; nobody's decision lifts it.
        reasons = [] if attempt.mode != "publish" else await blackouts.reasons(c, attempt.connection, clock.now())
        if attempt.kind != "undo" and not decided and waiting is None:
            reasons += guard.holds(counts, guards, whole=attempt.kind == "pull", pages_move=pages_move)
        left_out = await compare.digest(c, ("gone",))
        ops = ADDITIONS if decided and attempt.effect == "additions" else ops
        if "gone" not in ops:
            await identities.keep_open(c, attempt, gone=True)
        await compare.keep_only(c, ops)
        was = await outcomes.before(c, attempt)
        by_choice = await compare.removed_by_choice(c, attempt, off)
        named: dict[str, int] = {}
        published, publication, by = await _publish(store, c, attempt)
        if publication is not None and attempt.kind != "undo" and not decided:
            found = await outcomes.effects(c, attempt, was, publication, clock.today())
            ended = {kind: found.ended.get(kind, 0) + by_choice.get(kind, 0) for kind in {*found.ended, *by_choice}}
            reasons += guard.effects(replace(found, ended=ended, **recognised_by(by)), guards)
            named = {"named": found.named, "recognised": found.named - found.strangers}
        preview: Sequence[Previewed] = ()
        if publication is not None and (reasons or attempt.mode != "publish"):
            preview = await outcomes.preview(c, publication)
        told: years.Told = {}
        if publication is not None and attempt.kind != "undo":
            told = await years.across(
                c, attempt, publication, published, clock.today(), succeeds=takes_over is not None
            )
        work = Work(counts, published, publication, reasons, preview, told, takes_over, digest, guards, named, by)
        if reasons or attempt.mode != "publish":
            raise _RolledBack(work)
        if publication is not None:
            await points.after_publishing(c, attempt.district, publication)
        state = "published" if waiting is None else "held"
        stored = work.stored() | (waiting.told if waiting is not None else {})
        if publication is not None:
            stored |= await attention.after_run(store, c, attempt, publication, clock.today())
        if attempt.kind == "pull":
            await collected.forget(c, attempt.connection, off)
        await outcomes.finish_run(c, attempt, state, stored, publication, good=True)
        if attempt.kind == "undo":
            await history.mark_undone(c, attempt)
        elif waiting is None and ops == EVERYTHING:
            await watermarks.keep(c, attempt)
        if takes_over is not None:
            await successions.settle(c, attempt, takes_over)
        if waiting is not None:
            await outcomes.add_holds(c, attempt, waiting.reasons, left_out)
            await outcomes.keep_preview(c, attempt, [one for one in waiting.preview if one.op == "removed"])
        if publication is not None:
            await outcomes.close_publication(c, publication)
        return Outcome(state, stored)


async def _switched_off(store: Store, c: Transaction, attempt: Attempt) -> list[str]:
    """The collections of the run's connection that nobody wants, or nobody any more."""
    connection = await registers.connection_in(store, c, attempt.connection)
    groups = await collected.reasons(c, connection.id)
    return collecting.left_out(registry.connector(connection.connector), groups)


async def _compare(
    store: Store, c: Transaction, attempt: Attempt, off: Sequence[str], *, takes_over: bool = False
) -> list[CollectionCount]:
    """The change set, without what would turn a known person into somebody else."""
    counts = await compare.compare(c, attempt, clock.today(), takes_over=takes_over, off=off)
    if attempt.kind != "undo":
        await people.hold_out(store, c, attempt, counts)
    return counts


async def _publish(
    store: Store, c: Transaction, attempt: Attempt
) -> tuple[dict[str, dict[str, int]], int | None, dict[str, Any]]:
    """Apply the change set and publish what follows from it; None where nothing does. The last says by which numbers
    the people of the run's connection are recognised."""
    everything = await changes.must_resolve_all(c, attempt.district)
    if not everything and not await compare.any_left(c) and not await identities.any_over(c):
        return {}, None, {}
    publication = await outcomes.open_publication(c, attempt)
    await applying.apply_records(c, attempt, everything=everything)
    await renaming.follow(c, attempt)
    await identities.settle(c)
    sources = await sources_of(store, c, attempt.district, attempt.proposal)
    for kind in KINDS.values():
        await resolve_kind(c, attempt, kind, sources, publication)
    return await outcomes.published_counts(c), publication, sources.choice.told


async def publish_decision(
    store: Store, c: Transaction, attempt: Attempt, links: Sequence[Link], touched: Sequence[Key], ended: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Publish what follows from moving links, in the caller's transaction, which has the district locked and rolls
    back with it. `ended`: keys whose records, as stored, spoke of somebody else. Refused where too much would go."""
    await compare.compare(c, attempt, clock.today())
    await decisions.end_records(c, attempt, ended)
    if ended:  # not all of those records changed at the source: only a whole pull brings the others again
        await watermarks.forget(c, attempt.connection)
    was = await outcomes.before(c, attempt)
    publication = await outcomes.open_publication(c, attempt)
    await applying.apply_records(c, attempt, everything=False)
    await identities.settle(c)
    await decisions.move_links(c, attempt, links, touched)
    sources = await sources_of(store, c, attempt.district)
    for kind in KINDS.values():
        await resolve_kind(c, attempt, kind, sources, publication)
    found = await outcomes.effects(c, attempt, was, publication, clock.today())
    if reasons := guard.effects(found, Guards()):
        raise Refused("decision-too-wide", reasons[0].reason, "Have the source put right instead.")
    await points.after_publishing(c, attempt.district, publication)
    published = await outcomes.published_counts(c)
    told = await attention.after_run(store, c, attempt, publication, clock.today())
    await outcomes.finish_run(c, attempt, "published", Work(published=published).stored() | told, publication)
    await outcomes.close_publication(c, publication)
    return published


async def _guards(store: Store, c: Transaction, attempt: Attempt) -> Guards:
    """A connection's limits as a district set and eased them, over those that are usual for its connector."""
    connection = await registers.connection_in(store, c, attempt.connection)
    usual = registry.connector(connection.connector).limits
    return (await limits.guards(c, attempt.connection, clock.now())).over(usual)


async def _held(store: Store, attempt: Attempt, work: Work) -> Outcome:
    """Write the reasons down beside the staged rows, which stay until somebody decides or a new run comes."""
    async with store.transaction(attempt.district) as c:
        await runs.hold_fence(c, attempt)
        await changes.lock_district(c, attempt.district)
        if not work.takes_over:  # else there is nothing to compare with, before it has taken over
            await _compare(store, c, attempt, await _switched_off(store, c, attempt))
            await identities.keep_open(c, attempt, gone=False)
        stored = work.stored() | {"published": {}}
        await outcomes.add_holds(c, attempt, work.reasons, work.digest)
        await outcomes.keep_preview(c, attempt, work.preview)
        await outcomes.finish_run(c, attempt, "held", stored)
        return Outcome("held", stored)


async def _compared(store: Store, attempt: Attempt, work: Work, whole: Work | None = None) -> Outcome:
    """Keep what the run would do, and why it would be held; nothing else of it stays. `whole`: what it would do
    together with what would wait, where that is more."""
    whole = whole or work
    would_hold = [vars(hold) for hold in whole.reasons]
    stored = work.stored() | whole.told | {"would_hold": would_hold, "digest": whole.digest}
    async with store.transaction(attempt.district) as c:
        await runs.hold_fence(c, attempt)
        await outcomes.keep_preview(c, attempt, work.preview)
        await outcomes.finish_run(c, attempt, "compared", stored, good=attempt.mode == "shadow")
    return Outcome("compared", stored)


async def sources_of(store: Store, c: Transaction, district: int, proposal: dict[str, Any] | None = None) -> Sources:
    """The district's sources as they are set, or as a dry run supposes."""
    found = await registers.connections_in(store, c)
    order = await registers.order(c)
    owners = await registers.owners(c, district, order)
    return Sources(
        tuple(order),
        owners | (proposal or {}).get("systems_of_record", {}),
        await registers.survivors(c),
        await choice(c, found),
        await identities.rules(c),
        await identities.in_conflict(c),
        await registers.district_key(store, c, district),
    )


async def resolve_kind(c: Transaction, attempt: Attempt, kind: Kind, sources: Sources, publication: int) -> None:
    """Link, fold and publish the touched entities of one kind, again while that touches more of the same kind."""
    chooses = kind.name == "person" and attempt.kind not in ("undo", "decision")
    if chooses:
        await sources.choice.before_people(c, attempt, sources.owners)
    await changes.touch_retried(c, kind.name)
    retried = False
    while await changes.left(c, kind.name):
        await changes.clear_waiting(c, kind.name)
        if kind.name == "person":
            await changes.clear_traits(c)
        if wholes.may_be_whole(kind):
            await wholes.publish(
                c,
                attempt,
                kind,
                publication,
                owner=sources.owners.get(kind.system_of_record or ""),
                district_key=sources.district_key,
                not_denoting={key for _, key in sources.in_conflict},
            )
        await _link(c, attempt, kind, sources)
        await changes.link_aliases(c, attempt, kind.name)
        for first in range(1, await changes.fill_batch(c, kind.name) + 1, CHUNK):
            await _publish_chunk(c, attempt, kind, sources, publication, first)
        await changes.list_unanchored(c, attempt, kind.name)
        await changes.finish_kind(c, attempt, kind.name)
        if not retried:
            retried = True
            if chooses:
                await sources.choice.after_people(c, attempt, sources.owners)
            await changes.touch_retried(c, kind.name)


async def _link(c: Transaction, attempt: Attempt, kind: Kind, sources: Sources) -> None:
    """Give each new key an entity: the one it is recognised as, else its own where its connection may publish."""
    last = (0, "")
    while keys := await changes.unlinked(c, kind.name, last):
        last = keys[-1]
        if kind.system_of_record or kind.name == "person":
            await _recognise(c, attempt, kind, sources, keys)
        else:
            await changes.add_links(c, attempt, kind.name, _first_sight(kind, sources, keys))
    # A person who comes back under another key is the same person; a class with last year's code is not.
    await recognition.match_words(c, attempt, kind.name, rekeyed=kind.name in ("person", "organization"))
    if kind.name == "person" and sources.rules:
        await people.match_by_rules(c, attempt, sources.rules)
    if kind.name == "person":
        await identities.add_come_back(c, attempt)
    await recognition.settle_words(
        c,
        attempt,
        kind.name,
        unknown=_unknown(kind),
        ambiguous=Why("ambiguous", f"More than one {kind.name} has the same identifying values."),
        contradicted=Why("identity-conflict", "It has this person's number and another name and birth date."),
    )


def _unknown(kind: Kind) -> Why:
    if kind.name == "person":
        return Why("unmatched", "Nobody in the system of record has this identifier.")
    return Why("not-in-system-of-record", f"The system of record has no such {kind.name}.")


def _first_sight(kind: Kind, sources: Sources, keys: Sequence[tuple[int, str]]) -> Iterator[tuple[int, str, str, str]]:
    for connection, key in keys:
        yield connection, key, entity_id(sources.district_key, kind.name, connection, key), "first"


async def _recognise(
    c: Transaction, attempt: Attempt, kind: Kind, sources: Sources, keys: Sequence[tuple[int, str]]
) -> None:
    """Note the words by which new keys are recognised; all of them are compared at once, however many there are."""
    claims = await changes.claims_of_keys(c, kind.name, keys)
    stated, _ = await in_ids(c, kind, claims, sources.in_conflict)
    by_key: dict[tuple[int, str], list[Stated]] = {}
    for claim, row in zip(stated, claims, strict=True):
        by_key.setdefault((row.connection, row.key), []).append(claim)
    words: list[Word] = []
    roleless: list[Waiting] = []
    for connection, key in keys:
        doc = fold(kind, in_order(by_key[connection, key], sources.order)).doc
        collection = collection_of(kind, doc)
        if collection is None:
            roleless.append(Waiting(connection, key, "no-role", "It is neither a student nor staff nor a contact."))
            continue
        own = sources.owners[collection] == connection
        first = entity_id(sources.district_key, kind.name, connection, key) if own else None
        words.append(_word(kind, connection, key, doc, first, sources))
    await recognition.add_words(c, words)
    await changes.add_waiting(c, attempt, kind.name, roleless)


def _word(kind: Kind, connection: int, key: str, doc: Doc, first: str | None, sources: Sources) -> Word:
    identifiers = sources.choice.of(connection)
    word = match_word(kind, doc, identifiers)
    if kind.name != "person":
        return Word(connection, key, word, first)
    who = population(doc) or ""
    system = identifiers.student if who == "student" else identifiers.staff
    return Word(
        connection, key, word, first, who, people.key_traits(sources.district_key, doc, system.name, sources.rules)
    )


async def _publish_chunk(
    c: Transaction, attempt: Attempt, kind: Kind, sources: Sources, publication: int, first: int
) -> None:
    entities, claims = await changes.batch_claims(c, kind.name, first)
    stated, missing = await in_ids(c, kind, claims, sources.in_conflict)
    grouped: dict[str, list[tuple[ClaimRow, Stated, list[Waiting]]]] = {entity: [] for entity in entities}
    for row, claim, waits in zip(claims, stated, missing, strict=True):
        grouped[row.entity or ""].append((row, claim, waits))
    rows: list[tuple[str, str | None, str | None]] = []
    compared: list[tuple[str, Traits | None]] = []
    waiting: list[Waiting] = []
    differences: list[tuple[int, str, str]] = []
    loose: set[tuple[int, str]] = set()
    for entity, members in grouped.items():
        anchored, doc, word, waits, differing = _entity(kind, members, sources)
        if not anchored:
            # Nobody who may publish it speaks of it any more: whoever else does is to be recognised anew.
            loose.update((row.connection, row.key) for row, claim, _ in members if claim.anchor)
        rows.append((entity, msgspec.json.encode(doc).decode() if doc is not None else None, word))
        if kind.name == "person":
            compared.append((entity, traits(sources.district_key, doc) if doc is not None else None))
        waiting += waits
        differences += [(connection, entity, name) for connection, name in sorted(differing)]
    await changes.put_entities(c, attempt, kind.name, publication, rows)
    if compared:
        await identities.put_traits(c, attempt, compared)
    await changes.add_waiting(c, attempt, kind.name, waiting)
    await changes.add_differences(c, attempt, kind.name, differences)
    await recognition.loosen(c, kind.name, sorted(loose))


def _entity(
    kind: Kind, members: Sequence[tuple[ClaimRow, Stated, list[Waiting]]], sources: Sources
) -> tuple[bool, dict[str, Any] | None, str | None, list[Waiting], set[tuple[int, str]]]:
    """Fold one entity: (whether a connection that may publish it has its own record, doc or None, match word, what
    waits, differences)."""
    claims = [claim for _, claim, _ in members]
    owner, ordered = by_precedence(kind, claims, sources)
    folded = fold(kind, ordered, sources.survivors.get(kind.name, NOBODY))
    speaks = owner if any(claim.connection == owner for claim in claims) else None
    waits = [w for row, _, ws in members for w in ws if speaks is None or row.connection == speaks]
    if not any(claim.anchor and owner in (None, claim.connection) for claim in claims):
        return False, None, None, [], set()
    absent = [name for name in kind.required if name not in folded.doc]
    if absent:
        row = members[0][0]
        listed = {w.field for w in waits}
        waits += [
            Waiting(row.connection, row.key, "incomplete", f"It has no {name}.", name)
            for name in absent
            if name not in listed
        ]
        return True, None, None, waits, set()
    if kind.name == "person":
        folded.doc["population"] = population(folded.doc)
    return True, folded.doc, _published_word(kind, ordered, folded.doc, sources), waits, folded.differences


def by_precedence(kind: Kind, claims: Sequence[Stated], sources: Sources) -> tuple[int | None, list[Stated]]:
    """The connection that may publish this entity, if only one may, and the claims in the order their word counts."""
    collection = kind.system_of_record
    if kind.name == "person":
        alone = len(claims) == 1
        collection = population(claims[0].values if alone else fold(kind, in_order(claims, sources.order)).doc)
    owner = sources.owners.get(collection or "")
    return owner, in_order(claims, precedence(owner, sources.order))


def _published_word(kind: Kind, ordered: Sequence[Stated], doc: dict[str, Any], sources: Sources) -> str | None:
    """The match word as the leading connection itself states it: others' identifiers must not leak into it."""
    leading = ordered[0]
    first = [one for one in ordered if (one.connection, one.joined) == (leading.connection, leading.joined)]
    own = fold(kind, first).doc if len(first) < len(ordered) else doc
    if kind.name == "person":
        own["population"] = doc["population"]
    return match_word(kind, own, sources.choice.of(leading.connection))
