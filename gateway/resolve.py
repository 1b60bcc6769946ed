"""Resolve, check, publish: from staged records to published entities, in one transaction per run."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from gateway import guard
from gateway.fold import Stated, fold, in_order
from gateway.identity import (
    Identifiers,
    collection_of,
    entity_id,
    match_word,
    population,
    precedence,
)
from gateway.schema import KINDS, Kind
from gateway.store import changes, registers, runs
from gateway.store.changes import CHUNK, ClaimRow, Waiting, Why, Word
from gateway.store.database import Store, Transaction
from gateway.store.runs import Attempt


@dataclass(frozen=True)
class Outcome:
    """How a run ended: published or held, and what it did or would do."""

    state: str
    counts: dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """The district's connections: in which order their word counts, and by which identifiers people match."""

    order: tuple[int, ...]
    owners: dict[str, int]
    identifiers: dict[int, Identifiers]
    district_key: bytes


async def resolve(store: Store, attempt: Attempt) -> Outcome:
    """Publish what the run staged, or hold it. Raises runs.Fenced when a newer attempt has taken the run."""
    try:
        async with store.transaction(attempt.district) as c:
            counts, digest, approved = await _change_set(c, attempt)
            reasons = guard.holds(counts)
            if reasons and not approved:
                raise _Hold(reasons)
            return await _publish(store, c, attempt, counts, approved=approved)
    except _Hold as held:
        # What was tried is rolled back; the reasons are written down beside the staged rows, which stay.
        async with store.transaction(attempt.district) as c:
            counts, digest, _ = await _change_set(c, attempt)
            await changes.add_holds(c, attempt, held.reasons, digest)
            return await _finish(c, attempt, "held", counts, {})


class _Hold(Exception):
    def __init__(self, reasons: Sequence[guard.Hold]) -> None:
        self.reasons = reasons


async def _change_set(c: Transaction, attempt: Attempt) -> tuple[list[guard.CollectionCount], str, bool]:
    """The run's change set under the district's lock: counts, digest, and whether a person approved just this."""
    await runs.hold_fence(c, attempt)
    await changes.lock_district(c, attempt.district)
    counts = await changes.compare(c, attempt)
    digest = await changes.digest(c)
    return counts, digest, await changes.approved_digest(c, attempt.run) == digest


async def _publish(
    store: Store,
    c: Transaction,
    attempt: Attempt,
    counts: Sequence[guard.CollectionCount],
    *,
    approved: bool,
) -> Outcome:
    everything = await changes.must_resolve_all(c, attempt.district)
    if not everything and not any(n.added + n.changed + n.gone for n in counts):
        return await _finish(c, attempt, "published", counts, {})
    before = await changes.entity_counts(c)
    await changes.apply_records(c, attempt, everything=everything)
    publication = await changes.open_publication(c, attempt)
    sources = await _sources(store, c, attempt)
    for kind in KINDS.values():
        await _resolve_kind(c, attempt, kind, sources, publication)
    published = await changes.published_counts(c)
    reasons = guard.unpublished(published, before)
    if reasons and not approved:
        raise _Hold(reasons)
    outcome = await _finish(c, attempt, "published", counts, published, publication)
    await changes.close_publication(c, publication)
    return outcome


async def _finish(
    c: Transaction,
    attempt: Attempt,
    state: str,
    counts: Sequence[guard.CollectionCount],
    published: dict[str, dict[str, int]],
    publication: int | None = None,
) -> Outcome:
    outcome = Outcome(state, {"collections": [asdict(count) for count in counts], "published": published})
    await changes.finish_run(c, attempt, state, outcome.counts, publication)
    return outcome


async def _sources(store: Store, c: Transaction, attempt: Attempt) -> Sources:
    found = await registers.connections(store, attempt.district)
    order = tuple(connection.id for connection in found)
    return Sources(
        order,
        await registers.owners(c, attempt.district, list(order)),
        {
            connection.id: Identifiers(
                connection.settings["student_identifier"], connection.settings["staff_identifier"]
            )
            for connection in found
        },
        await registers.district_key(store, c, attempt.district),
    )


async def _resolve_kind(c: Transaction, attempt: Attempt, kind: Kind, sources: Sources, publication: int) -> None:
    """Link, fold and publish the touched entities of one kind, again while that touches more of the same kind."""
    await changes.touch_retried(c, kind.name)
    retried = False
    while await changes.left(c, kind.name):
        await changes.clear_waiting(c, kind.name)
        await _link(c, attempt, kind, sources)
        await changes.link_aliases(c, attempt, kind.name)
        for first in range(1, await changes.fill_batch(c, kind.name) + 1, CHUNK):
            await _publish_chunk(c, attempt, kind, sources, publication, first)
        await changes.list_unanchored(c, attempt, kind.name)
        await changes.finish_kind(c, attempt, kind.name)
        if not retried:
            retried = True
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
    await changes.link_words(
        c,
        attempt,
        kind.name,
        rekeyed=kind.name in ("person", "organization"),
        unknown=_unknown(kind),
        ambiguous=Why("ambiguous", f"More than one {kind.name} has the same identifying values."),
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
    stated, _ = await _state(c, kind, claims)
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
        words.append(Word(connection, key, match_word(kind, doc, sources.identifiers[connection]), first))
    await changes.add_words(c, words)
    await changes.add_waiting(c, attempt, kind.name, roleless)


async def _publish_chunk(
    c: Transaction, attempt: Attempt, kind: Kind, sources: Sources, publication: int, first: int
) -> None:
    entities, claims = await changes.batch_claims(c, kind.name, first)
    stated, missing = await _state(c, kind, claims)
    grouped: dict[str, list[tuple[ClaimRow, Stated, list[Waiting]]]] = {entity: [] for entity in entities}
    for row, claim, waits in zip(claims, stated, missing, strict=True):
        grouped[row.entity or ""].append((row, claim, waits))
    rows: list[tuple[str, str | None, str | None]] = []
    waiting: list[Waiting] = []
    differences: list[tuple[int, str, str]] = []
    loose: set[tuple[int, str]] = set()
    for entity, members in grouped.items():
        doc, word, waits, differing = _entity(kind, members, sources)
        if not _anchored(kind, [claim for _, claim, _ in members], sources):
            # Nobody who may publish it speaks of it any more: whoever else does is to be recognised anew.
            loose.update((row.connection, row.key) for row, claim, _ in members if claim.anchor)
        rows.append((entity, msgspec.json.encode(doc).decode() if doc is not None else None, word))
        waiting += waits
        differences += [(connection, entity, name) for connection, name in sorted(differing)]
    await changes.put_entities(c, attempt, kind.name, publication, rows)
    await changes.add_waiting(c, attempt, kind.name, waiting)
    await changes.add_differences(c, attempt, kind.name, differences)
    await changes.loosen(c, kind.name, sorted(loose))


def _entity(
    kind: Kind, members: Sequence[tuple[ClaimRow, Stated, list[Waiting]]], sources: Sources
) -> tuple[dict[str, Any] | None, str | None, list[Waiting], set[tuple[int, str]]]:
    """Fold one entity: (doc or None, match word, what waits, differences)."""
    claims = [claim for _, claim, _ in members]
    first = fold(kind, in_order(claims, sources.order)).doc
    collection = collection_of(kind, first)
    owner = sources.owners.get(collection or "")
    ordered = in_order(claims, precedence(owner, sources.order))
    folded = fold(kind, ordered)
    speaks = owner if any(claim.connection == owner for claim in claims) else None
    waits = [w for row, _, ws in members for w in ws if speaks is None or row.connection == speaks]
    if not _anchored(kind, claims, sources):
        return None, None, [], set()
    absent = [name for name in kind.required if name not in folded.doc]
    if absent:
        row = members[0][0]
        listed = {w.field for w in waits}
        waits += [
            Waiting(row.connection, row.key, "incomplete", f"It has no {name}.", name)
            for name in absent
            if name not in listed
        ]
        return None, None, waits, set()
    if kind.name == "person":
        folded.doc["population"] = population(folded.doc)
    return folded.doc, _published_word(kind, ordered, folded.doc, sources), waits, folded.differences


def _anchored(kind: Kind, claims: Sequence[Stated], sources: Sources) -> bool:
    """Whether a connection that may publish this entity has the entity's own record."""
    collection = collection_of(kind, fold(kind, in_order(claims, sources.order)).doc)
    owner = sources.owners.get(collection or "")
    return any(claim.anchor and owner in (None, claim.connection) for claim in claims)


def _published_word(kind: Kind, ordered: Sequence[Stated], doc: dict[str, Any], sources: Sources) -> str | None:
    """The match word as the leading connection itself states it: others' identifiers must not leak into it."""
    leading = ordered[0].connection
    own = fold(kind, [claim for claim in ordered if claim.connection == leading]).doc
    if kind.name == "person":
        own["population"] = doc["population"]
    return match_word(kind, own, sources.identifiers[leading])


async def _state(c: Transaction, kind: Kind, claims: Sequence[ClaimRow]) -> tuple[list[Stated], list[list[Waiting]]]:
    """Put entity ids where sources wrote keys; a key that denotes nothing published is left out and listed."""
    wanted = {
        (row.connection, reference.kind, key)
        for row in claims
        for reference in kind.references
        for key in _keys(row.stated.get(reference.field), reference.many, reference.part)
    }
    ids = await changes.lookup(c, kind.name, wanted) if wanted else {}
    stated, missing = [], []
    for row in claims:
        values, waits = _with_ids(kind, row, ids)
        stated.append(Stated(row.connection, row.collection, row.record_key, row.rank, row.anchor, values))
        missing.append(waits)
    return stated, missing


def _keys(value: Any, many: bool, part: str | None) -> Iterator[str]:
    if value is None:
        return
    for item in value if many else [value]:
        yield item[part] if part else item


def _with_ids(kind: Kind, row: ClaimRow, ids: dict[tuple[int, str, str], str]) -> tuple[dict[str, Any], list[Waiting]]:
    values = dict(row.stated)
    waits: list[Waiting] = []
    for reference in kind.references:
        if reference.field not in values:
            continue
        kept = []
        for item in values[reference.field] if reference.many else [values[reference.field]]:
            key = item[reference.part] if reference.part else item
            entity = ids.get((row.connection, reference.kind, key))
            if entity is None:
                waits.append(
                    Waiting(
                        row.connection, row.key, "unresolved-reference",
                        f"It refers to a {reference.kind} that is not there.",
                        reference.field, reference.kind, key,
                    )
                )  # fmt: skip
            else:
                kept.append({**item, reference.part: entity} if reference.part else entity)
        if kept:
            values[reference.field] = kept if reference.many else kept[0]
        else:
            del values[reference.field]
    return values, waits
