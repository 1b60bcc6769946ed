"""What only people need when a run is resolved: keys that came back as somebody else, rules beyond the identifier."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gateway.candidates import Rule, Traits, contradict, traits
from gateway.fold import Doc, Stated, fold, in_order
from gateway.guard import CollectionCount
from gateway.schema import KINDS
from gateway.store import changes, identities, registers
from gateway.store.changes import CHUNK, ClaimRow
from gateway.store.database import Store, Transaction
from gateway.store.identities import Conflict, Key, Returned
from gateway.store.runs import Attempt

PERSON = KINDS["person"]


async def hold_out(store: Store, c: Transaction, attempt: Attempt, counts: Sequence[CollectionCount]) -> None:
    """Take out of the change set whatever would turn a known person into another one, and count it as rejected.

    A source that gives a key, or a number, to somebody else after a rollover says of a known key another name and
    another birth date. Such records are listed for a person; what is published of the old one stays.
    """
    found = await identities.returned(c, attempt)
    key = await registers.district_key(store, c, attempt.district) if found else b""
    confirmed = await identities.confirmed(c, attempt) if found else set()
    conflicts: list[Conflict] = []
    for first in range(0, len(found), CHUNK):
        chunk = found[first : first + CHUNK]
        published = await changes.claims_of_keys(c, "person", [(attempt.connection, one.key) for one in chunk])
        for one in chunk:
            old = [row for row in published if row.key == one.key]
            doc, before = _doc(_after(old, one)), traits(key, _doc(old))
            now = traits(key, doc)
            if (
                contradict(now, one.traits)
                and (not old or contradict(now, before))
                and (one.key, now.named, now.born) not in confirmed
            ):
                conflicts.append(Conflict(one, doc, now))
    held = await identities.hold_out(c, attempt, conflicts)
    for count in counts:
        count.rejected += held.get(count.collection, 0)


def _after(old: Sequence[ClaimRow], one: Returned) -> Iterator[ClaimRow]:
    """The claims about a key as they would be after the run."""
    yield from (row for row in old if (row.collection, row.record_key) not in one.changed)
    for collection, record_key, rank, anchor, stated in one.staged:
        yield ClaimRow(None, 0, one.key, collection, record_key, rank, anchor, stated, 0, False)


def _doc(claims: Iterable[ClaimRow]) -> Doc:
    """What claims of one key say together. References stay the source's keys: nobody is compared by them."""
    stated = [Stated(0, row.collection, row.record_key, row.rank, row.anchor, row.stated) for row in claims]
    return fold(PERSON, in_order(stated, [0])).doc


async def match_by_rules(c: Transaction, attempt: Attempt, rules: Sequence[Rule]) -> None:
    """Link keys that no identifier recognised to the one person whom a rule of the district finds.

    Exact and unique, or not at all: one person for the key, and no other key of the same source for the person.
    """
    alike = await identities.alike(c)
    keys = sorted({key for key, _, _ in alike})
    docs: dict[Key, Doc] = {}
    for first in range(0, len(keys), CHUNK):
        docs |= docs_of_keys(await changes.claims_of_keys(c, "person", keys[first : first + CHUNK]))
    found = [(key, entity) for key, entity, doc in alike if any(rule.holds(docs[key], doc) for rule in rules)]
    people = Counter(key for key, _ in found)
    rivals = Counter((key[0], entity) for key, entity in found)
    sure = [(key, entity) for key, entity in found if people[key] == 1 and rivals[key[0], entity] == 1]
    await identities.add_ruled(c, attempt, sure)


def docs_of_keys(claims: Iterable[ClaimRow]) -> dict[Key, dict[str, Any]]:
    """What each source key says of itself, references left as they are."""
    by_key: dict[Key, list[ClaimRow]] = {}
    for row in claims:
        by_key.setdefault((row.connection, row.key), []).append(row)
    return {key: _doc(rows) for key, rows in by_key.items()}


def key_traits(district_key: bytes, doc: Doc, system: str, rules: Sequence[Rule]) -> Traits:
    """The traits of a source key: of its numbers count those that are configured, or that a rule asks for."""
    return traits(district_key, doc, {system}.union(*(rule.systems for rule in rules)))
