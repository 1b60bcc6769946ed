"""What somebody gets at the district's own machine beside plans: records, progress, a family's copy of everything.

Cut to the role in which they read, as a plan is, with the line about it before it is handed out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway import prefill, record, sections, viewing
from gateway.access import SECTIONS, STAFF, TABLE, May, Section, Who
from gateway.errors import Refused
from gateway.plan_events import Told
from gateway.record import Progress
from gateway.schema.record import Entry
from gateway.store import copies, disclosures
from gateway.store import plans as stored
from gateway.store.copies import Copy
from gateway.store.database import Store, Transaction
from gateway.store.disclosures import Disclosure
from gateway.store.prefills import Kept
from gateway.store.registers import Actor, log_act
from gateway.viewing import AUTHOR

ALL: Mapping[Section, May] = dict.fromkeys(SECTIONS, "full")


@dataclass(frozen=True)
class SeenEntry:
    """An entry and what of it is shown; `left_out` are the fields of what it says that are not."""

    entry: Entry
    says: Mapping[str, Any]
    left_out: Sequence[str]


@dataclass(frozen=True)
class SeenRecord:
    """Entries of which somebody may read anything, and how many there are of which they may not."""

    entries: Sequence[SeenEntry]
    hidden: int


async def entries(
    store: Store,
    district: int,
    student: str,
    actor: Actor,
    *,
    as_of: datetime | int | None = None,
    everything: bool = False,
) -> SeenRecord:
    """A student's record as it stands, or stood, or with what was superseded, for somebody in their role."""
    found = await record.read(store, district, student, as_of)
    return await _seen(store, district, student, found.entries if everything else found.standing, found.entries, actor)


async def entry(store: Store, district: int, student: str, which: str, actor: Actor) -> Sequence[SeenEntry]:
    """One entry and what became of it. Refused where nothing of them is for this role."""
    chain = await record.became(store, district, student, which)
    found = (await record.read(store, district, student)).entries
    seen = await _seen(store, district, student, chain, found, actor)
    if not seen.entries:
        raise Refused(
            "access-refused",
            "Nothing of this entry is for this role.",
            "`planbridge access why ROLE STUDENT` tells what each section asks for.",
        )
    return seen.entries


async def _seen(
    store: Store, district: int, student: str, chosen: Sequence[Entry], every: Sequence[Entry], actor: Actor
) -> SeenRecord:
    how, because = await _how(store, district, student, actor)
    by_id = {one.id: one for one in every}
    shown, read = [], dict[Section, None]()
    for one in chosen:
        about = by_id.get(one.supersedes or "") if one.kind == "correction" else None
        mine = bool(actor.name) and one.actor.get("name") == actor.name
        says, left = sections.entry_seen(one, how, mine=mine, about=about)
        if says:
            shown.append(SeenEntry(one, says, left))
            read |= dict.fromkeys(part for name in says for part in sections.entry_sections(one, name, about))
    await _note(store, district, student, actor, because, read)
    return SeenRecord(shown, len(chosen) - len(shown))


async def progress(store: Store, district: int, plan: str, actor: Actor) -> Progress:
    """How a plan is doing, as far as its goals and supports are shown to somebody in their role."""
    async with store.transaction(district) as c:
        found = await stored.load(c, plan)
    content = await viewing.shown(store, district, plan, actor, found.version)
    here = {one["id"] for part in ("goals", "supports") for one in content.get(part, ())}
    made = await record.progress_of(store, district, plan)
    return Progress(
        [one for one in made.goals if one.goal in here], [one for one in made.supports if one.support in here]
    )


async def known(store: Store, district: int, plan: str, actor: Actor) -> tuple[Sequence[Kept], int]:
    """What a plan was begun with, and how much of it is not for this role."""
    async with store.transaction(district) as c:
        found = await stored.load(c, plan)
    rows = await prefill.of_plan(store, district, plan)
    how, because = await _how(store, district, found.student, actor)
    shown = [row for row in rows if sections.known_seen(row.pointer, row.value, how)]
    read = dict.fromkeys(one for row in shown for one in sections.known_sections(row.pointer, row.value))
    await _note(store, district, found.student, actor, because, read, found.id)
    return shown, len(rows) - len(shown)


async def earlier(store: Store, district: int, plan: str, told: Told, actor: Actor) -> dict[str, Any]:
    """What a plan said at an earlier moment, for somebody in their role today. Refused to those outside the staff:
    what was never put before them is not theirs."""
    async with store.transaction(district) as c:
        found = await stored.load(c, plan)
    how, because = await _how(store, district, found.student, actor)
    if actor.role != AUTHOR and viewing.reader(actor).says not in STAFF:
        raise Refused(
            "access-refused", "Earlier states of a plan are for the district's staff.", "`planbridge plan show`"
        )
    content, left = sections.seen(told.content, how)
    await _note(store, district, found.student, actor, because, sections.touched(content), found.id)
    return content | ({"left_out": [one.pointer for one in left]} if left else {})


async def for_translator(store: Store, district: int, plan: str, translator: str, actor: Actor) -> dict[str, Any]:
    """A plan's content for the file that goes to a translator, with the line about it: they are shown its words."""
    async with store.transaction(district) as c:
        found = await stored.load(c, plan)
        read = sections.touched({name: part for name, part in found.content.items() if name in TRANSLATED})
        line = Disclosure(
            found.student, "read", translator or "A translator", True, "translator", "service",
            "They were given its words to translate.", read, None, found.id, found.version,
        )  # fmt: skip
        await disclosures.note(c, district, line, actor)
    return found.content


TRANSLATED = ("title", "goals", "supports", "needs", "strengths")


async def over_students(c: Transaction, district: int, actor: Actor, what: str) -> bool:
    """Somebody looks over all students of the district in their role; on record. Whether they read why a student left,
    and the like: those who work on masked data do not. Refused to everybody outside the staff."""
    says = None if actor.role == AUTHOR else viewing.reader(actor).says
    if says is not None and says not in STAFF:
        raise Refused(
            "access-refused",
            "What lists all students is for the district's staff.",
            "`planbridge access why ROLE STUDENT` tells what a role sees of one student.",
        )
    await log_act(c, district, actor, "looked-over", "", {"what": what})
    return says is None or TABLE["school_supports"][says] in sections.WHOLE


async def family_copy(store: Store, district: int, student: str, recipient: str, actor: Actor) -> Copy:
    """Everything about a student for a family member, or without one for the student. Refused unless the family member
    is a parent or guardian with rights today: a consent is for what it names, and at 18 the rights pass."""
    if recipient:
        made = (await viewing.why(store, district, Who(recipient), student)).values()
        if not any(one.allowed and one.role == "guardian" for one in made):
            raise Refused(
                "copy-without-right",
                f"This person has no right to this student's record. {next(iter(made)).reason}",
                "`planbridge access why` tells what is on record; a source's word is corrected there.",
            )
    return await copies.copy(store, district, student, recipient, actor)


async def _how(store: Store, district: int, student: str, actor: Actor) -> tuple[Mapping[Section, May], str]:
    """How somebody sees each section in their role, and by which right they see any."""
    if actor.role == AUTHOR:
        return ALL, "They write the plan, at the district's own machine."
    made = await viewing.why(store, district, viewing.reader(actor), student, actor.name)
    allowed = {section: one for section, one in made.items() if one.allowed}
    because = next((one.reason for one in allowed.values()), "")
    return {section: one.how for section, one in allowed.items()}, because


async def _note(
    store: Store,
    district: int,
    student: str,
    actor: Actor,
    because: str,
    read: Iterable[Section],
    plan: str | None = None,
) -> None:
    """The line about it, before anything is handed out; none where nothing is."""
    named = [one for one in SECTIONS if one in set(read)]
    if not named:
        return
    outside = actor.role != AUTHOR and viewing.reader(actor).says not in STAFF
    line = Disclosure(
        student, "read", actor.name or actor.role, outside, actor.role, "planning", because, named, None, plan
    )
    async with store.transaction(district) as c:
        await disclosures.note(c, district, line, actor)
