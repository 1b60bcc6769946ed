"""Who is who, said by people: what they decide, how it is published, and how it is undone.

Every decision names its actor and its reason, takes effect at once in a run of its own, and can be undone. No pull and
no likelihood overrides it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway import clock, resolve
from gateway.errors import ConfigError, Refused
from gateway.fold import Doc
from gateway.identity import entity_id, population
from gateway.resolve import sources_of
from gateway.store import blackouts, changes, decisions, districts, registers
from gateway.store.database import Store, Transaction
from gateway.store.decisions import Decided, Decision, Link
from gateway.store.identities import Key
from gateway.store.registers import Actor
from gateway.waiting import Case, case_in, reasoned

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Outcome:
    """What a decision did: its number, the run that published it (None where nothing changed), what changed, and the
    plans that are of another student's record now."""

    decision: int
    run: int | None = None
    published: dict[str, dict[str, int]] | None = None
    plans: Sequence[str] = ()


async def confirm(store: Store, district: int, id: str, person: str, actor: Actor, because: str) -> Outcome:
    """This key is that person. Where the key came back as somebody else and is the same child after all, what the
    source says now is taken over with its next pull."""
    reasoned(because)
    async with store.transaction(district) as c:
        await changes.lock_district(c, district)
        found = await case_in(store, c, district, id)
        who, doc = await _person(c, person)
        if population(doc) != found.population:
            raise Refused(
                "identity-other-population",
                f"The key is of a {found.population}, the person is a {population(doc)}.",
                "A parent who also works at a school stays two records: one as a contact, one as staff.",
            )
        if found.denotes is not None:
            return await _end_conflict(store, c, district, found, who, actor, because)
        before = await decisions.link_of(c, found.key) or Link(*found.key, None, None)
        link = Link(*found.key, who, "decided")
        decision = Decision("same", who, key=found.key, before=(before,))
        return await _publish(store, c, district, decision, [link], actor, because)


async def _end_conflict(
    store: Store, c: Transaction, district: int, found: Case, who: str, actor: Actor, because: str
) -> Outcome:
    """The key is whom it denoted (its data was put right), or a person who is published already."""
    await decisions.end_conflict(c, found.key)
    if who != found.denotes:
        return await _leave(store, c, district, found.key, who, actor, because, ended=True)
    named, born = await decisions.conflicting(c, found.key)
    decision = Decision("same", who, key=found.key, named=named, born=born)
    return await _publish(store, c, district, decision, [], actor, because)


async def refuse(store: Store, district: int, id: str, person: str, actor: Actor, because: str) -> Outcome:
    """This key is not that person: the pair is proposed no more, and no rule links it. Of a key that came back as
    somebody else and is refused to be whom it denoted: it is somebody new from the next pull on."""
    reasoned(because)
    async with store.transaction(district) as c:
        await changes.lock_district(c, district)
        found = await case_in(store, c, district, id)
        who, _ = await _person(c, person)
        if found.denotes == who:
            await decisions.end_conflict(c, found.key)
            new = await _id_of_its_own(store, c, district, found.key, found.population)
            return await _leave(store, c, district, found.key, new, actor, because, ended=True)
        number = await decisions.add(c, district, Decision("different", who, key=found.key), actor, because)
        await registers.log_act(c, district, actor, "identity-different", id, {"because": because, "person": who})
        return Outcome(number)


async def split(store: Store, district: int, person: str, key_id: str, actor: Actor, because: str) -> Outcome:
    """One key leaves a person. It denotes somebody of its own where its connection may publish; else it waits."""
    reasoned(because)
    async with store.transaction(district) as c:
        await changes.lock_district(c, district)
        who, doc = await _person(c, person)
        district_key = await registers.district_key(store, c, district)
        links = [one for one in await decisions.links_of(c, who) if one.method != "alias"]
        leaving = next((one for one in links if entity_id(district_key, "person", *one.of) == key_id), None)
        if leaving is None:
            raise ConfigError("key-unknown", "No key of this id denotes the person.", "Look: planbridge identity show")
        if len(links) == 1:
            raise Refused("identity-nothing-to-split", "This is the only key that denotes the person.")
        new = await _id_of_its_own(store, c, district, leaving.of, population(doc) or "")
        return await _leave(store, c, district, leaving.of, new, actor, because)


async def _id_of_its_own(store: Store, c: Transaction, district: int, key: Key, who: str) -> str | None:
    """The id a key gets when it leaves somebody: that of first sight where nobody ever had it. None where another
    connection decides who is published."""
    sources = await sources_of(store, c, district)
    if sources.owners.get(who) != key[0]:
        return None
    id = entity_id(sources.district_key, "person", *key)
    count = 0
    while await decisions.was_ever(c, id):
        count += 1
        id = entity_id(sources.district_key, "person", key[0], f"{key[1]}\x1f{count}")
    return id


async def _leave(
    store: Store, c: Transaction, district: int, key: Key, new: str | None, actor: Actor, because: str,
    *, ended: bool = False,
) -> Outcome:  # fmt: skip
    """A key leaves whom it denotes, for `new` if there is one. The other keys it leaves behind are not `new`, whatever
    number they share: nobody said so, and a person may."""
    link = await decisions.link_of(c, key)
    assert link is not None and link.person is not None
    others = [one for one in await decisions.links_of(c, link.person) if one.method != "alias" and one.of != key]
    decision = Decision("split", link.person, new, key=key, before=(link,))
    apart = [Decision("different", new, key=one.of) for one in others] if new else []
    return await _publish(
        store, c, district, decision, [Link(*key, new, "decided" if new else None)], actor, because,
        parts=apart, ended=[key[1]] if ended else [],
    )  # fmt: skip


async def merge(
    store: Store, district: int, person: str, into: str, actor: Actor, because: str, *, with_plans: bool = False
) -> Outcome:
    """Two records are one person: every key of `person` denotes `into` from now on. The id of the first stays
    readable and is never given to anybody else. Refused where both have plans, unless `with_plans`."""
    reasoned(because)
    async with store.transaction(district) as c:
        await changes.lock_district(c, district)
        (gone, one), (stays, other) = await _person(c, person), await _person(c, into)
        if gone == stays:
            raise Refused("identity-same", "These are one record already.")
        if population(one) != population(other):
            raise Refused(
                "identity-other-population",
                f"One is a {population(one)}, the other a {population(other)}.",
                "A parent who also works at a school stays two records: one as a contact, one as staff.",
            )
        plans = await decisions.plans_of(c, gone)
        if plans and await decisions.plans_of(c, stays) and not with_plans:
            raise Refused(
                "identity-both-have-plans",
                "Both have success plans, which would all be of one student.",
                "Look at them first; then merge with plans: planbridge identity merge --with-plans",
            )
        links = await decisions.links_of(c, gone)
        moved = [Link(*link.of, stays, "alias" if link.method == "alias" else "decided") for link in links]
        decision = Decision("merge", gone, stays, before=tuple(links))
        return await _publish(store, c, district, decision, moved, actor, because, plans=plans)


async def undo(store: Store, district: int, number: int, actor: Actor, because: str) -> Outcome:
    """A decision holds no more: keys denote again whom they did. Refused while a later one builds upon it."""
    reasoned(because)
    async with store.transaction(district) as c:
        await changes.lock_district(c, district)
        made = await decisions.one(c, number)
        if made is None or made.act == "undo" or made.part_of is not None:
            raise ConfigError(
                "decision-unknown", f"There is no decision {number}.", "See: planbridge identity decisions"
            )
        await _may_be_undone(c, made)
        target = made.other if made.act in ("merge", "split") else made.person
        back = []
        for link in made.before:
            now = await decisions.link_of(c, link.of)
            if (now.person if now else None) == target:
                back.append(link)
        parts = await decisions.parts(c, number)
        touched = [one.key for one in (made, *parts) if one.key is not None]
        decision = Decision("undo", made.person, made.other, key=made.key)
        return await _publish(store, c, district, decision, back, actor, because, touched=touched, undoes=number)


async def _may_be_undone(c: Transaction, made: Decided) -> None:
    if made.undone_by is not None:
        raise Refused("decision-undone", f"Decision {made.id} was undone by decision {made.undone_by}.")
    if later := await decisions.later(c, made):
        raise Refused(
            "decision-built-upon",
            f"Decision {later[-1]} came later and concerns the same people.",
            "Undo the later one first.",
            missing=[str(number) for number in later],
        )
    if made.act == "same" and not made.before and await decisions.taken_over(c, made):
        raise Refused(
            "decision-taken-over",
            "A pull has taken over what the source says of this person since.",
            "If it is somebody else after all, split the key off: planbridge identity split",
        )


async def _publish(
    store: Store, c: Transaction, district: int, decision: Decision, links: Sequence[Link], actor: Actor,
    because: str, *, parts: Sequence[Decision] = (), touched: Sequence[Key] = (), ended: Sequence[str] = (),
    plans: Sequence[str] = (), undoes: int | None = None,
) -> Outcome:  # fmt: skip
    """Keep a decision and what belongs to it, move the links, publish what follows: all of it or nothing. Refused in a
    blackout and while the district is suspended."""
    connection = decision.key[0] if decision.key else 0
    await districts.refuse_suspended(c, district)
    for one in {connection, *(link.connection for link in links)}:
        await blackouts.refuse(c, one, clock.now())
    attempt = await decisions.open_run(c, district, actor, connection)
    number = await decisions.add(c, district, decision, actor, because, attempt.run)
    for part in parts:
        belonging = Decision(part.act, part.person, key=part.key, part_of=number)
        await decisions.add(c, district, belonging, actor, because, attempt.run)
    if undoes is not None:
        await decisions.mark_undone(c, undoes, number)
    published = await resolve.publish_decision(store, c, attempt, links, touched, ended)
    await registers.log_act(
        c, district, actor, f"identity-{decision.act}", str(number),
        {"because": because, "person": decision.person, "other": decision.other, "undoes": undoes},
    )  # fmt: skip
    return Outcome(number, attempt.run, published, plans)


async def keys_of(store: Store, district: int, person: str) -> dict[str, Any]:
    """The keys that denote a published person, merges followed: connection, id of the key, how it came to."""
    async with store.transaction(district) as c:
        id, doc = await _person(c, person)
        key = await registers.district_key(store, c, district)
        names = {one.id: one.name for one in await registers.connections_in(store, c)}
        links = [one for one in await decisions.links_of(c, id) if one.method != "alias"]
        return {
            "person": id,
            "population": population(doc),
            "keys": [
                {
                    "id": entity_id(key, "person", *one.of),
                    "connection": names[one.connection],
                    "method": one.method,
                    "lives": await decisions.lives(c, one.of),
                }
                for one in links
            ],
            "plans": await decisions.plans_of(c, id),
        }


async def _person(c: Transaction, id: str) -> tuple[str, Doc]:
    found = await decisions.person(c, id) if _UUID.fullmatch(id) else None
    if found is None:
        raise ConfigError("person-unknown", "No person of this id is published.", "`planbridge students` shows ids.")
    return found
