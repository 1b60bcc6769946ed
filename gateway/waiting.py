"""Who waits to be told apart: the queue, a case beside its candidates, what is likely, and the rules of a district."""

import asyncio
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import identifiers, likeness
from gateway.candidates import RULES, Resemblance, compare, masked, revealed
from gateway.errors import ConfigError, Refused
from gateway.fold import Doc
from gateway.identity import System, entity_id, population
from gateway.masking import tail
from gateway.people import docs_of_keys
from gateway.resolve import Sources, sources_of
from gateway.store import cases, changes, registers
from gateway.store.cases import Open, Pair, Proposal, Stranger
from gateway.store.database import Store, Transaction
from gateway.store.identities import Key
from gateway.store.registers import Actor

SHOWN = 50
"""Cases on one page of the queue."""
MOST_COMPARED = 2_000
"""Waiting keys that are scored at a time: when more wait, something else is wrong."""


@dataclass(frozen=True)
class Candidate:
    """A published person whom a waiting key resembles."""

    person: str
    doc: Doc
    resemblance: Resemblance
    score: float | None
    weights: dict[str, float]


@dataclass(frozen=True)
class Case:
    """A key that waits for somebody to say who it is. `id` is made from the key and tells nothing of it; `denotes` is
    whom the key denoted until it came back as somebody else."""

    id: str
    connection: str
    key: Key
    population: str
    code: str
    denotes: str | None
    doc: Doc
    candidates: Sequence[Candidate] = ()


async def queue(store: Store, district: int, *, who: str = "", limit: int = SHOWN) -> tuple[list[Case], dict[str, int]]:
    """The cases, those with candidates first, the strongest first; and how many wait for each cause in all. `who`:
    of one population only."""
    async with store.transaction(district) as c:
        waiting = [one for one in await cases.open_cases(c) if who in ("", one.population)]
        alike = await cases.resembled(c)
        first = sorted(waiting, key=lambda one: one.of not in alike)[:limit]
        found = await _cases(store, c, district, first)
    causes: dict[str, int] = {}
    for one in waiting:
        causes[one.code] = causes.get(one.code, 0) + 1
    return sorted(found, key=_urgency), causes


def _urgency(case: Case) -> int:
    strengths = ("conflict", "strong", "fair", "weak")
    return min((strengths.index(one.resemblance.strength) for one in case.candidates), default=len(strengths))


async def case_in(store: Store, c: Transaction, district: int, id: str) -> Case:
    """One case by its id, in the caller's transaction. ConfigError where nothing of that id waits."""
    key = await registers.district_key(store, c, district)
    for one in await cases.open_cases(c):
        if entity_id(key, "person", *one.of) == id:
            return (await _cases(store, c, district, [one]))[0]
    raise ConfigError("case-unknown", "Nothing of this id waits.", "`planbridge identity queue` lists what does.")


async def _cases(store: Store, c: Transaction, district: int, waiting: Sequence[Open]) -> list[Case]:
    if not waiting:  # maybe there is no connection yet, and so nobody's word counts
        return []
    sources = await sources_of(store, c, district)
    names = {one.id: one.name for one in await registers.connections(store, district)}
    docs = docs_of_keys(await changes.claims_of_keys(c, "person", [one.of for one in waiting]))
    pairs: dict[Key, list[Pair]] = {}
    for pair in await cases.pairs(c, [one.of for one in waiting]):
        pairs.setdefault(pair.key, []).append(pair)
    return [
        _told(sources, names[one.connection], one, one.doc or docs.get(one.of, {}), pairs.get(one.of, ()))
        for one in waiting
    ]


def _told(sources: Sources, connection: str, one: Open, doc: Doc, pairs: Sequence[Pair]) -> Case:
    systems = _systems(sources, one.connection, one.population)
    candidates = [_candidate(doc, pair, systems) for pair in pairs]
    id = entity_id(sources.district_key, "person", *one.of)
    return Case(id, connection, one.of, one.population, one.code, one.denotes, doc, candidates)


def _candidate(doc: Doc, pair: Pair, systems: set[str]) -> Candidate:
    resemblance = compare(doc, pair.doc, systems, former=pair.former)
    return Candidate(pair.person, pair.doc, resemblance, pair.score, pair.fields or {})


def _systems(sources: Sources, connection: int, who: str) -> set[str]:
    """The identifier systems that count of a connection's people."""
    identifiers = sources.choice.of(connection)
    own = identifiers.student if who == "student" else identifiers.staff
    return {own.name}.union(*(rule.systems for rule in sources.rules))


async def propose(store: Store, district: int) -> tuple[list[Case], int]:
    """Score whoever waits against whom they may be, and keep what is likely as proposals; returns the cases that have
    one and how many were looked at. Nobody is linked by it, however likely. ConfigError without the extra `identity`.
    """
    async with store.transaction(district) as c:
        sources = await sources_of(store, c, district) if await cases.open_cases(c) else None
        near = await cases.neighbours(c, MOST_COMPARED)
        docs = docs_of_keys(await changes.claims_of_keys(c, "person", sorted({key for key, _, _ in near})))
    pairs = [(docs[key], doc, _systems(sources, key[0], population(doc) or "")) for key, _, doc in near if sources]
    scored = await asyncio.to_thread(likeness.likenesses, pairs)
    proposals = [
        Proposal(key, person, one.score, one.weights)
        for (key, person, _), one in zip(near, scored, strict=True)
        if one.score >= likeness.SHOWN_FROM
    ]
    async with store.transaction(district) as c:
        await cases.put_proposals(c, district, proposals)
        proposed = {one.key for one in proposals}
        waiting = [one for one in await cases.open_cases(c) if one.of in proposed]
        found = await _cases(store, c, district, waiting)
    return found, len(docs)


def summary(case: Case) -> dict[str, Any]:
    """A case without a name, a number or a key: ids and codes."""
    return {
        "case": case.id,
        "connection": case.connection,
        "population": case.population,
        "code": case.code,
        "denotes": case.denotes,
        "candidates": [
            {
                "person": one.person,
                "strength": one.resemblance.strength,
                "how": one.resemblance.how,
                "likelihood": one.score,
                "weights": one.weights,
            }
            for one in case.candidates
        ],
    }


async def side_by_side(
    store: Store, district: int, id: str, actor: Actor, *, reveal: bool = False, because: str = ""
) -> dict[str, Any]:
    """A case beside its candidates, masked; in full for whoever gives a reason, which is kept."""
    async with store.transaction(district) as c:
        found = await case_in(store, c, district, id)
        if reveal:
            reasoned(because)
            await registers.log_act(c, district, actor, "identity-reveal", id, {"because": because})
    shown = revealed if reveal else masked
    told = summary(found)
    for candidate, one in zip(told["candidates"], found.candidates, strict=True):
        candidate |= {"compared": one.resemblance.fields, "says": shown(one.doc)}
    return told | {"says": shown(found.doc) | ({"key": found.key[1]} if reveal else {})}


async def unmatched(
    store: Store, district: int, name: str, actor: Actor, *, reveal: bool = False, because: str = ""
) -> dict[str, Any]:
    """How many people a connection names, how many of them are recognised, and who is not, with how many
    results wait for each: by the end of their keys; with their numbers for whoever gives a reason, which is kept."""
    connection = await registers.connection(store, district, name)
    if reveal:
        reasoned(because)
    async with store.transaction(district) as c:
        named, found = await cases.unmatched(c, connection.id)
        by = await identifiers.seen(c, connection.id)
        if reveal:
            await registers.log_act(c, district, actor, "unmatched-reveal", name, {"because": because})
    several = _of_several([number for one in found for number in one.numbers])
    students = [_stranger(one, several, reveal=reveal) for one in found]
    told = {"connection": name, "named": named, "recognised": named - len(found), "students": students}
    return told | {"identifiers": by}


def _of_several(numbers: Sequence[Mapping[str, str]]) -> set[str]:
    """The systems of which several organizations give numbers."""
    givers: dict[str, set[str]] = {}
    for number in numbers:
        givers.setdefault(number["system"], set()).add(number.get("assigned_by", ""))
    return {system for system, by in givers.items() if len(by) > 1}


def _stranger(one: Stranger, several: Container[str], *, reveal: bool) -> dict[str, Any]:
    numbers: dict[str, str] = {}
    for number in one.numbers if reveal else ():
        name = number["system"]
        sort = str(System(name, number.get("assigned_by", "") if name in several else ""))
        if number["value"] not in (known := numbers.get(sort, "")).split("; "):
            numbers[sort] = f"{known}; {number['value']}" if known else number["value"]
    key = one.key if reveal else tail(one.key)
    return numbers | {"key": key, "code": one.code, "reason": one.reason, "results": one.results}


async def set_rule(store: Store, district: int, rule: str, systems: Sequence[str], actor: Actor) -> None:
    """Switch a rule on for these identifier systems, or off where there are none; the next run goes by it."""
    check_rule(rule)
    async with store.transaction(district) as c:
        await cases.set_rule(c, district, rule, systems)
        await registers.log_act(c, district, actor, "identity-rule", rule, {"systems": list(systems)})


def check_rule(rule: str) -> None:
    """ConfigError where there is no such rule."""
    if rule not in RULES:
        raise ConfigError("rule-unknown", f"There is no rule {rule!r}.", f"Choose one of {', '.join(RULES)}.")


def reasoned(because: str) -> None:
    """A decision, or a look at a child in full, is made for a reason. Refused without one."""
    if not because.strip():
        raise Refused("reason-missing", "Saying who is who needs a reason.", "Give --because.")
