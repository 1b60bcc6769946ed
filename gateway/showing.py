"""What a program gets of students beside their plans: who there are, record, results, progress, consents.

Cut to what the person may see for whom it asks and to what it was granted, as a plan is, with the line about it in the
same transaction.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from gateway import access, clock, planning, prefill, record, sections, viewing
from gateway.access import SECTIONS, STAFF, Section, Who
from gateway.errors import ConfigError, Refused
from gateway.identity import population
from gateway.record import Progress
from gateway.schema.record import Entry
from gateway.store import consents as kept_consents
from gateway.store import disclosures, purposes, reading, reads, standing, ties
from gateway.store import plans as stored
from gateway.store.database import Store, Transaction
from gateway.store.disclosures import Disclosure
from gateway.store.registers import Actor, log_act
from gateway.viewing import Decisions, Program

WHOLE = sections.WHOLE
WHOLLY = frozenset(["id", "names", "schools", "grades", "title", "on", "period", "scores", "performance_levels"])
"""What is listed of students and of their results."""


@dataclass(frozen=True)
class Asker:
    """Who asks, through which program; the actor is both. `reached`: the students that the program's agreement
    reaches, None where that is everyone; `told`: what it may be told of WHOLLY."""

    who: Who
    actor: Actor
    program: Program
    reached: frozenset[str] | None = None
    told: frozenset[str] = WHOLLY

    def refuse_unreached(self, student: str) -> None:
        """A student whom the agreement does not reach is not there for the program. ConfigError."""
        if self.reached is not None and student not in self.reached:
            raise ConfigError("student-unknown", "There is no such student.", "`planbridge students` shows their ids.")

    def refuse_unreached_plan(self, plan: stored.StoredPlan) -> None:
        """Nor is a plan of theirs. ConfigError, as of a plan that there is not."""
        if self.reached is not None and plan.student not in self.reached:
            raise stored.unknown(plan.id)


@dataclass(frozen=True)
class ShownStudent:
    """A student: where they are today, their grades; their name where it may be read."""

    id: str
    schools: Sequence[str]
    grades: Sequence[str]
    given_name: str | None = None
    family_name: str | None = None


async def students(
    store: Store, district: int, asker: Asker, after: str, limit: int, *, names: bool
) -> tuple[list[ShownStudent], int]:
    """Students whom somebody may see anything of, in the order of their ids, from after one on; one more than `limit`
    where there are more. With it, of how many that was asked."""
    viewing.refuse_judging(asker.program)
    today = clock.today()
    async with store.transaction(district) as c:
        asked = await _candidates(c, asker)
        page: list[ShownStudent] = []
        shown: dict[str, str] = {}
        for one in (one for one in asked if one["id"] > after):
            if len(page) > limit:
                break
            decisions = None
            if asker.who.person is not None or "identity" in asker.program.sections:
                decisions = await _decided(store, c, asker, one["id"])
                if asker.who.person is not None and not any(d.allowed for d in decisions.values()):
                    continue
            made = _shown(one, asker, today)
            if names and decisions and decisions["identity"].allowed and decisions["identity"].how in WHOLE:
                made = replace(made, given_name=one.get("given_name"), family_name=one.get("family_name"))
                shown[made.id] = decisions["identity"].reason
                if len(page) < limit:
                    await _note(c, district, asker, made.id, decisions, ["identity"])
            page.append(made)
        if page and asker.program.caller is not None:
            told = {one.id: ["identity"] if one.id in shown else _listed(asker) for one in page[:limit]}
            await reads.log_each(c, asker.program.caller, "record", told)
    return page, len(asked)


async def student(store: Store, district: int, asker: Asker, id: str, *, names: bool) -> ShownStudent:
    """One student. ConfigError where there is none, Refused where nothing ties the person to them."""
    viewing.refuse_judging(asker.program)
    found = await reading.entity(store, district, "person", id)
    if found is None or population(found) != "student":
        raise ConfigError("student-unknown", "There is no such student.", "`planbridge students` shows their ids.")
    decisions = await _refused_or(store, district, asker, found["id"])
    today = clock.today()
    identity = decisions["identity"]
    named = names and identity.allowed and identity.how in WHOLE
    async with store.transaction(district) as c:
        if named:
            await _note(c, district, asker, found["id"], decisions, ["identity"])
        if asker.program.caller is not None:
            told = ["identity"] if named else _listed(asker)
            await reads.log(c, asker.program.caller, "record", [found["id"]], told)
    made = _shown(found, asker, today)
    return replace(made, given_name=found.get("given_name"), family_name=found.get("family_name")) if named else made


def _shown(found: Mapping[str, Any], asker: Asker, today: date) -> ShownStudent:
    """A student without a name, and without what the program's agreement does not name."""
    schools = sorted(set(prefill.schools(dict(found), today))) if "schools" in asker.told else []
    return ShownStudent(found["id"], schools, found.get("grades", []) if "grades" in asker.told else [])


def _listed(asker: Asker) -> list[str]:
    return ["id", *sorted(asker.told & {"grades", "schools"})]


async def _candidates(c: Transaction, asker: Asker) -> list[dict[str, Any]]:
    """Students who may be anybody's to see: of a person those whom anything on record ties to them."""
    everyone = await reading.find_students_in(c)
    if asker.who.person is not None:
        tied = await _tied(c, asker.who.person, everyone)
        everyone = [one for one in everyone if one["id"] in tied]
    return [one for one in everyone if asker.reached is None or one["id"] in asker.reached]


async def _tied(c: Transaction, person: str, everyone: Sequence[Mapping[str, Any]]) -> set[str]:
    """Whom a person may be tied to. It may be too many: gateway.access decides of each."""
    found = await reading.entity_in(c, "person", person)
    if found is None:
        raise ConfigError("person-unknown", "There is no such person.", "Give the id that the roster has.")
    ids = (await standing.former(c, [found["id"]]))[found["id"]]
    today = clock.today()
    tied = set(ids)
    for id in sorted(ids):
        tied |= {student for _, student in await ties.taught(c, today.isoformat(), id)}
        tied |= {one["student"] for one in await reading.referring_in(c, "relationship", "contact", id)}
    for plan in await ties.plans(c):
        if plan.coordinator in ids or any(member.get("who") in ids for member in plan.team):
            tied.add(plan.student)
    for one in await kept_consents.listed(c):
        if one["recipient"].lower() in {f"person:{id}" for id in ids}:
            tied.add(one["student"])
    here = {
        role["organization"]
        for role in found.get("roles", ())
        if role["role"] in access.AT_SCHOOL and prefill.current(role, today)
    }
    if here:
        above = await viewing.organizations_above(c)
        tied |= {one["id"] for one in everyone if here & viewing.places_of(one, above, today)}
    return tied


async def _decided(store: Store, c: Transaction, asker: Asker, student: str) -> Decisions:
    return await viewing.decisions_of(store, c, asker.who, asker.actor.name, student, asker.program)


async def _refused_or(store: Store, district: int, asker: Asker, student: str) -> Decisions:
    """The decisions about a student. Refused, and on record, where a person may see nothing of them; a program that
    asks for itself is shown nothing then."""
    asker.refuse_unreached(student)
    async with store.transaction(district) as c:
        decisions = await _decided(store, c, asker, student)
        if any(one.allowed for one in decisions.values()) or asker.who.person is None:
            return decisions
        await log_act(c, district, asker.actor, "look-refused", student, {"person": asker.who.person})
    raise Refused(
        "access-refused",
        next(iter(decisions.values())).reason,
        "`planbridge access why` tells what each section asks for.",
    )


async def _note(
    c: Transaction, district: int, asker: Asker, student: str, decisions: Decisions, read: Iterable[Section],
    plan: str | None = None,
) -> None:  # fmt: skip
    """The line about what was shown of a student; none where nothing was."""
    named = [one for one in SECTIONS if one in set(read) and decisions[one].allowed]
    if not named:
        return
    best, program = decisions[named[0]], asker.program
    interest = "a program of the district's" if asker.who.person is None else best.role or asker.actor.role
    line = Disclosure(
        student, "read", program.name, True, interest, program.purpose, best.reason, named, asker.who.person, plan
    )
    await disclosures.note(c, district, line, asker.actor)


# --- the running record --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShownEntry:
    """An entry, its place among those asked for, and what of it is shown; `left_out` are the fields of what it says
    that are not."""

    place: int
    entry: Entry
    says: Mapping[str, Any]
    left_out: Sequence[str]


@dataclass(frozen=True)
class ShownRecord:
    """Entries of which somebody may read anything, and how many more of those asked for there are of which they may
    not."""

    student: str
    entries: Sequence[ShownEntry]
    hidden: int


async def entries(
    store: Store,
    district: int,
    asker: Asker,
    student: str,
    *,
    as_of: datetime | int | None = None,
    everything: bool = False,
    parts: frozenset[str] | None = None,
    after: int = 0,
    limit: int = 200,
    about: tuple[str, str] | None = None,
) -> ShownRecord:
    """A student's record as it stands, or stood, in the order in which it was written, from after one number on; one
    more than `limit` where there are more. By today's rules, whatever moment is asked for. `parts`: of what an entry
    says; `about`: only what was given of a support of a plan."""
    viewing.refuse_judging(asker.program)
    asker.refuse_unreached(student)  # before anything is said of a moment of theirs
    found = await record.read(store, district, student, as_of)
    decisions = await _refused_or(store, district, asker, student)
    how = {section: one.how for section, one in decisions.items() if one.allowed}
    by_id = {one.id: one for one in found.entries}
    person = asker.who.person
    shown: list[ShownEntry] = []
    read: dict[Section, None] = {}
    hidden = 0
    for n, one in enumerate(found.entries if everything else found.standing, 1):
        if n <= after or (about is not None and one.about[:2] != about):
            continue
        of = by_id.get(one.supersedes or "") if one.kind == "correction" else None
        mine = person is not None and one.actor.get("person") == person
        says, left = sections.entry_seen(one, how, mine=mine, about=of)
        says = {name: value for name, value in says.items() if parts is None or name in parts}
        if not says:
            hidden += 1
            continue
        shown.append(ShownEntry(n, one, says, left))
        if len(shown) > limit:
            break
        read |= dict.fromkeys(part for name in says for part in sections.entry_sections(one, name, of))
    async with store.transaction(district) as c:
        await _note(c, district, asker, student, decisions, read)
        if read and asker.program.caller is not None:
            await reads.log(c, asker.program.caller, "record", [student], list(read))
    return ShownRecord(student, shown, hidden)


async def progress(store: Store, district: int, asker: Asker, plan: str) -> Progress:
    """How a plan is doing, as far as its goals and supports are shown."""
    async with store.transaction(district) as c:
        found = await stored.load(c, plan)
    asker.refuse_unreached_plan(found)
    parts = frozenset({"goals", "supports"})
    view = await viewing.plan(
        store, district, found.student, asker.who, asker.actor, id=plan, version=found.version, program=asker.program,
        parts=parts,
    )  # fmt: skip
    content = view.content or {}
    here = {one["id"] for part in parts for one in content.get(part, ())}
    made = await record.progress_of(store, district, plan)
    return Progress(
        [one for one in made.goals if one.goal in here], [one for one in made.supports if one.support in here]
    )


async def consents(store: Store, district: int, asker: Asker, student: str) -> list[dict[str, Any]]:
    """The consents on record for a student. Refused where consultations and consents are not for whoever asks."""
    viewing.refuse_judging(asker.program)
    decisions = await _refused_or(store, district, asker, student)
    decision = decisions["consultation"]
    if not decision.allowed or decision.how not in WHOLE:
        raise Refused("access-refused", decision.reason, "`planbridge access why` tells what each section asks for.")
    async with store.transaction(district) as c:
        found = await kept_consents.listed(c, student)
        if found:
            await _note(c, district, asker, student, decisions, ["consultation"])
            if asker.program.caller is not None:
                await reads.log(c, asker.program.caller, "record", [student], ["consultation"])
    return found


# --- plans -------------------------------------------------------------------------------------------------


async def plans(
    store: Store, district: int, asker: Asker, after: str, limit: int, student: str | None = None
) -> list[dict[str, Any]]:
    """Where the plans stand of students whom somebody may see anything of, by id, from after one on; one more than
    `limit` where there are more. Nothing of what they say."""
    viewing.refuse_judging(asker.program)
    async with store.transaction(district) as c:
        asked = {one["id"] for one in await _candidates(c, asker)}
        found: list[dict[str, Any]] = []
        known: dict[str, bool] = {}
        for one in sorted(await stored.listed(c), key=lambda one: str(one["id"])):
            whose = one["student"]
            if one["id"] <= after or whose not in asked or student not in (None, whose):
                continue
            if whose not in known:
                decisions = await _decided(store, c, asker, whose)
                known[whose] = any(d.allowed for d in decisions.values())
            if known[whose]:
                found.append(one)
                if len(found) > limit:
                    break
        await _note_states(c, asker, [one["student"] for one in found[:limit]])
    return found


async def _note_states(c: Transaction, asker: Asker, students: Sequence[str]) -> None:
    """That a program was told that students have plans, and how these stand."""
    if students and asker.program.caller is not None:
        await reads.log(c, asker.program.caller, "plans", students, [STATE])


STATE = "state"
"""What is told of a plan to whoever may know of it, without anything that it says."""


async def earlier(
    store: Store, district: int, asker: Asker, id: str, moment: int | date, parts: frozenset[str] | None = None
) -> viewing.View:
    """A plan as it was at an earlier moment, by today's rules. Refused to those outside the staff: what was never put
    before them is not theirs."""
    viewing.refuse_judging(asker.program)
    async with store.transaction(district) as c:
        found = await stored.load(c, id)
    asker.refuse_unreached_plan(found)
    decisions = await _refused_or(store, district, asker, found.student)
    if not any(one.allowed and one.role in STAFF for one in decisions.values()):
        raise Refused("access-refused", "Earlier states of a plan are for the district's staff.", "Ask for a version.")
    told = await planning.at(store, district, id, moment)
    how = {section: one.how for section, one in decisions.items() if one.allowed}
    content, left = sections.seen(told.content, how, viewing.theirs(asker.who))
    content = {name: value for name, value in content.items() if parts is None or name in parts}
    read = sections.touched(content)
    async with store.transaction(district) as c:
        await _note(c, district, asker, found.student, decisions, read, found.id)
        if read and asker.program.caller is not None:
            shown = [one for one in read if decisions[one].allowed]
            await reads.log(c, asker.program.caller, "plans", [found.student], shown)
    version = max(told.versions, default=None)
    return viewing.View(found.student, found.id, told.state, told.revision, version, content, left, decisions)


async def refuse_plan(store: Store, district: int, asker: Asker, id: str, *, told: bool = True) -> stored.StoredPlan:
    """The plan, for what tells nothing that it says; that it is `told` is noted. Refused where a person may see nothing
    of its student."""
    async with store.transaction(district) as c:
        found = await stored.load(c, id)
    asker.refuse_unreached_plan(found)
    await _refused_or(store, district, asker, found.student)
    if told:
        async with store.transaction(district) as c:
            await _note_states(c, asker, [found.student])
    return found


async def reads_all(
    store: Store, district: int, asker: Asker, plan: stored.StoredPlan, read: Collection[Section]
) -> bool:
    """Whether somebody reads all of these sections of a plan in full; it is noted where they do."""
    async with store.transaction(district) as c:
        decisions = await _decided(store, c, asker, plan.student)
        whole = all(decisions[one].how in sections.WHOLE and decisions[one].allowed for one in read)
        if whole:
            await _note(c, district, asker, plan.student, decisions, read, plan.id)
            if asker.program.caller is not None:
                await reads.log(c, asker.program.caller, "plans", [plan.student], sorted(read))
        return whole


async def known(store: Store, district: int, asker: Asker, plans_of: Collection[str]) -> frozenset[str]:
    """Those of these plans whose students somebody may see anything of; to a program that asks for itself that is
    what it reaches, as with `refuse_plan`: it is told nothing that a plan says."""
    async with store.transaction(district) as c:
        asked = {one["id"] for one in await _candidates(c, asker)}
        found: dict[str, list[str]] = {}
        for one in await stored.listed(c):
            if one["id"] in plans_of and one["student"] in asked:
                found.setdefault(one["student"], []).append(one["id"])
        seen = [
            who
            for who in found
            if asker.who.person is None or any(d.allowed for d in (await _decided(store, c, asker, who)).values())
        ]
        await _note_states(c, asker, seen)
        return frozenset(id for who in seen for id in found[who])


# --- results -----------------------------------------------------------------------------------------------


async def results(store: Store, district: int, asker: Asker, students: Sequence[str]) -> list[dict[str, Any]]:
    """The results of students, each of whom the person may see; without students of all that they teach or whose plans
    they coordinate. Refused, and on record, where there is one among them whom they may not."""
    who, actor, program = asker.who, asker.actor, asker.program
    viewing.refuse_judging(program)
    async with store.transaction(district) as c:
        asked = list(dict.fromkeys(students)) or [
            one for one in await _own_students(c, who) if asker.reached is None or one in asker.reached
        ]
        refused = None
        found: list[dict[str, Any]] = []
        lines: list[Disclosure] = []
        for student in asked:
            asker.refuse_unreached(student)
            decisions = await _decided(store, c, asker, student)
            decision = decisions["academic"]
            if decision.how not in sections.WHOLE or not decision.allowed:
                refused = Refused(
                    "access-refused",
                    f"Results of one of these students are not for this person: {decision.reason}",
                    "Ask for students whom the person may see.",
                )
                await log_act(c, district, actor, "look-refused", student, {"person": who.person})
                break
            its = [
                one
                for one in await reading.referring_in(c, "assessment_result", "student", student)
                if "scores" in one or "performance_levels" in one
            ]
            if its:
                line = Disclosure(
                    student, "read", program.name, True, decision.role or "", program.purpose, decision.reason,
                    ["academic"], who.person,
                )  # fmt: skip
                lines.append(line)
            found += its
        for line in lines if refused is None else ():  # who gets nothing was shown nobody's
            await disclosures.note(c, district, line, actor)
        if refused is None and lines and program.caller is not None:
            await reads.log(c, program.caller, "record", [line.student for line in lines], ["academic"])
        known = {one["id"]: one for one in await purposes.listed(c, sorted({one["assessment"] for one in found}))}
    if refused is not None:
        raise refused
    return [
        {
            "id": one["id"],
            "student": one["student"],
            "assessment": one["assessment"],
            "purpose": known.get(one["assessment"], {}).get("counts_as", "diagnostic"),
        }
        | {name: value if name in asker.told else empty for name, value, empty in _said(one, known)}
        for one in found
    ]


def _said(one: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any, Any]]:
    """What a result says, and what stands where it is not told."""
    yield "title", known.get(one["assessment"], {}).get("title"), None
    yield "on", one.get("on"), None
    yield "period", one.get("period"), None
    yield "scores", one.get("scores", []), []
    yield "performance_levels", one.get("performance_levels", []), []


async def _own_students(c: Transaction, who: Who) -> list[str]:
    if who.person is None:
        return []
    today = clock.today().isoformat()
    ids = (await standing.former(c, [who.person]))[who.person]
    own = [student for id in sorted(ids) for _, student in await ties.taught(c, today, id)]
    own += [one.student for one in await ties.plans(c) if one.coordinator in ids]
    return sorted(set(own))
