"""What of a plan waits for a person because the world around it changed: who left, who moved, whose rights ended, what
is due; and who must act."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

Doc = dict[str, Any]
Breaks = Sequence[tuple[date, date]]
"""Last day before and first day after each stretch without school that the district has announced."""

OVER = ("closed", "superseded", "revoked", "entered_in_error", "archived", "purged")
"""States of a plan in which nothing of it waits for anybody."""
SUPPORT_OVER = ("cancelled", "stopped", "completed", "entered_in_error")
ESCALATED = timedelta(days=14)
"""So long a review may be overdue before the administrators are told."""
URGENT_DAYS = 15
"""School days for which an urgent support may go on before the consultation."""
ACT_WITHIN = 5
"""School days within which somebody is to be named in the place of who left."""

SAYS = {
    "owner-gone": "The owner of a support has left.",
    "coordinator-gone": "The coordinator has left, or is not at the school.",
    "student-moved": "The student is at another school of the district.",
    "student-left": "The student is enrolled nowhere in the district.",
    "rights-ended": "Somebody the plan rests on has no right to it any more.",
    "review-due": "The day of the review has come.",
    "review-overdue": "The review is more than 14 days overdue.",
    "urgent": "An urgent support goes on without a consultation.",
    "urgent-overdue": "An urgent support goes on without a consultation for more than 15 school days.",
}
TO_DO = {
    "owner-gone": "Name another owner in the plan.",
    "coordinator-gone": "Name another coordinator in the plan.",
    "student-moved": "Name a coordinator at the new school, and the new school in the plan.",
    "student-left": "Find out where the student goes; close the plan, or hand it on.",
    "rights-ended": "Take them out of the plan, or consult somebody who has the right.",
    "review-due": "Hold the review.",
    "review-overdue": "Have the review held, or name another coordinator.",
    "urgent": "Consult the family, or end the support.",
    "urgent-overdue": "Consult the family or end the support today.",
}
DRAFTED = "The draft has it right already: finalize it."


@dataclass(frozen=True)
class Somebody:
    """A person as published today: the organizations where they have a role, and where they had one before."""

    population: str
    active: bool
    at: frozenset[str]
    was_at: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Facts:
    """What must be known of the people and places that a plan names. `above`: an organization with all above it;
    `schools`: where the student is enrolled today, the main one first; `barred`: contacts of the student who have no
    right, or are kept from them."""

    today: date
    people: Mapping[str, Somebody] = field(default_factory=dict)
    above: Mapping[str, frozenset[str]] = field(default_factory=dict)
    schools: Sequence[str] = ()
    barred: frozenset[str] = frozenset()
    breaks: Breaks = ()


@dataclass(frozen=True)
class Concern:
    """One thing that waits. `item`: the id of a support or consultation, or the field; `person`: who left, or has no
    right any more. A person `acts`, or, where that is None, the administrators of the organization `acts_at`.
    `drafted`: the working content has it right, what is in force has not."""

    kind: str
    item: str
    person: str | None
    acts: str | None
    acts_at: str
    due_on: date
    drafted: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.item, self.person or ""


@dataclass(frozen=True)
class Waits:
    """A thing that waits, as people are told of it: of which kind, in which plan, at which school by name."""

    kind: str
    plan: str
    school: str
    due_on: date


def concerns(state: str, working: Doc, in_force: Doc | None, facts: Facts, *, rests: bool = False) -> list[Concern]:
    """Everything that waits in a plan: of its working content, and of the finalized version that is in force. No
    review is asked for while it `rests`."""
    if state in OVER:
        return []
    now = {one.key: one for one in [*_people(working, facts), *_place(working, facts), *_urgent(working, facts)]}
    found = dict(now)
    if in_force is not None:
        for one in [*_people(in_force, facts), *_place(in_force, facts), *_urgent(in_force, facts)]:
            found.setdefault(one.key, replace(one, drafted=True))
        still = {one.key for one in _rights(working, facts)}
        for one in _rights(in_force, facts):
            found[one.key] = replace(one, drafted=one.key not in still)
        if not rests:
            for one in _review(working, in_force, facts):
                found[one.key] = one
    return list(found.values())


def _people(doc: Doc, facts: Facts) -> Iterator[Concern]:
    """Owners of open supports, and the coordinator, who are not here any more. Whoever is only named is in no feed."""
    due = school_day(facts.today, ACT_WITHIN, facts.breaks)
    coordinator = doc.get("coordinator")
    if isinstance(coordinator, str) and _not_at_school(coordinator, doc, facts):
        yield Concern("coordinator-gone", "/coordinator", coordinator, None, _school(doc, facts), due)
    for support in open_supports(doc):
        owner = support.get("owner")
        if isinstance(owner, str) and _gone(owner, doc, facts):
            yield Concern("owner-gone", support.get("id", ""), owner, *_who_acts(doc, facts), due)


def open_supports(doc: Doc) -> Iterator[Doc]:
    """The supports of a plan that are not over."""
    yield from (one for one in doc.get("supports", ()) if one.get("status", "not_started") not in SUPPORT_OVER)


def _gone(person: str, doc: Doc, facts: Facts) -> bool:
    """Nobody, inactive, or staff without the role that they had at the school or above it."""
    found = facts.people.get(person)
    if found is None or not found.active:
        return True
    reach = _reach(doc, facts)
    return found.population == "staff" and not found.at & reach and bool(found.was_at & reach)


def _not_at_school(coordinator: str, doc: Doc, facts: Facts) -> bool:
    """Gone, or without a role at the plan's school or above it today, whether or not they ever had one."""
    found = facts.people.get(coordinator)
    return found is None or _gone(coordinator, doc, facts) or not found.at & _reach(doc, facts)


def _reach(doc: Doc, facts: Facts) -> frozenset[str]:
    school = doc.get("school", "")
    return facts.above.get(school, frozenset({school}))


def _who_acts(doc: Doc, facts: Facts) -> tuple[str | None, str]:
    """The coordinator who is here; else the administrators of the school."""
    coordinator = doc.get("coordinator")
    here = isinstance(coordinator, str) and not _not_at_school(coordinator, doc, facts)
    return coordinator if here else None, _school(doc, facts)


def _school(doc: Doc, facts: Facts) -> str:
    """The plan's school; where the student is by now, if that is another one."""
    school = str(doc.get("school", ""))
    return school if school in facts.schools or not facts.schools else facts.schools[0]


def _place(doc: Doc, facts: Facts) -> Iterator[Concern]:
    """The student is not at the plan's school any more. At the new one somebody has to take the plan over."""
    if doc.get("school") in facts.schools:
        return
    due = school_day(facts.today, ACT_WITHIN, facts.breaks)
    if facts.schools:
        yield Concern("student-moved", "/school", None, None, facts.schools[0], due)
    else:
        yield Concern("student-left", "/school", None, *_who_acts(doc, facts), due)


def _rights(doc: Doc, facts: Facts) -> Iterator[Concern]:
    """Contacts without a right whom a finalized version still names, or whose consultation it rests on."""
    for item, person in named_contacts(doc):
        if person in facts.barred:
            yield Concern("rights-ended", item, person, *_who_acts(doc, facts), facts.today)
    held = [one for one in doc.get("consultations", ()) if one.get("outcome") != "declined_to_participate"]
    lost = {
        one.get("id", ""): person
        for one in held
        for person in _family(one)
        if isinstance(person, str) and person in facts.barred
    }
    # Where somebody else of the family was consulted too, the plan rests on them.
    if lost and all(one.get("id", "") in lost for one in held):
        for item, person in lost.items():
            yield Concern("rights-ended", item, person, *_who_acts(doc, facts), facts.today)


def named(doc: Doc) -> set[str]:
    """Everybody on the roster who coordinates a plan, owns a support, is on the team or was consulted."""
    who = [doc.get("coordinator"), *(one.get("owner") for one in doc.get("supports", ()))]
    who += [one.get("who") for one in doc.get("team", ())]
    who += [one.get("who") for held in doc.get("consultations", ()) for one in held.get("participants", ())]
    return {person for person in who if isinstance(person, str)}


def named_contacts(doc: Doc) -> Iterator[tuple[str, str]]:
    """(item, person) of everybody on the roster who owns a support or is on the team: whom others may be told of."""
    for support in open_supports(doc):
        if isinstance(support.get("owner"), str):
            yield support.get("id", ""), support["owner"]
    for member in doc.get("team", ()):
        if isinstance(member.get("who"), str):
            yield member.get("id", ""), member["who"]


def _family(consultation: Doc) -> Iterator[Any]:
    by_profession = ("educator", "interpreter", "partner")
    yield from (one.get("who") for one in consultation.get("participants", ()) if one.get("role") not in by_profession)


def _review(working: Doc, in_force: Doc, facts: Facts) -> Iterator[Concern]:
    reviews = [*working.get("reviews", ()), *in_force.get("reviews", ())]
    stated = [in_force.get("next_review_on"), *(one.get("next_review_on") for one in reviews)]
    days = [date.fromisoformat(day) for day in stated if day]
    if not days or (due := max(days)) > facts.today:
        return
    if facts.today > due + ESCALATED:
        yield Concern("review-overdue", "/next_review_on", None, None, _school(in_force, facts), due + ESCALATED)
    else:
        yield Concern("review-due", "/next_review_on", None, *_who_acts(in_force, facts), due + ESCALATED)


def _urgent(doc: Doc, facts: Facts) -> Iterator[Concern]:
    """Supports that began before the family was consulted, and are not over: a last day that has passed ends nothing
    as long as nobody says so."""
    for support in open_supports(doc):
        began = (support.get("urgent") or {}).get("from_on")
        if not began or _consulted_since(doc, began):
            continue
        item = support.get("id", "")
        # The first day counts.
        due = school_day(date.fromisoformat(began) - timedelta(days=1), URGENT_DAYS, facts.breaks)
        if facts.today > due:
            yield Concern("urgent-overdue", item, None, None, _school(doc, facts), due)
        else:
            yield Concern("urgent", item, None, *_who_acts(doc, facts), due)


def _consulted_since(doc: Doc, day: str) -> bool:
    return any(
        one.get("held_on", "") >= day and one.get("outcome") != "declined_to_participate"
        for one in doc.get("consultations", ())
    )


def school_day(after: date, number: int, breaks: Breaks = ()) -> date:
    """The so-manieth school day after a day: weekdays, without the stretches between two school years that the
    district announced. Other holidays are in no source, so that the day may be told a little early, never late."""
    day = after
    while number:
        day += timedelta(days=1)
        if day.weekday() < 5 and not any(last < day < first for last, first in breaks):
            number -= 1
    return day


def somebody(doc: Doc | None, had: Iterable[Doc], today: date) -> Somebody | None:
    """A person's published JSON, and the roles they had before, as far as plans ask; None where there is nobody."""
    if doc is None:
        return None
    roles = list(doc.get("roles", ()))
    at = frozenset(role["organization"] for role in roles if is_current(role, today))
    population = str(doc.get("population", ""))
    active = doc.get("active", True) and (bool(at) or population == "contact")
    return Somebody(population, active, at, frozenset(role["organization"] for role in [*roles, *had]))


def enrolled_at(doc: Doc | None, today: date) -> list[str]:
    """Where somebody is a student today, the main school first; nowhere where their account is switched off."""
    if doc is None or not doc.get("active", True):
        return []
    roles = [one for one in doc.get("roles", ()) if one["role"] == "student" and is_current(one, today)]
    ordered = sorted(roles, key=lambda one: not one.get("primary", False))
    return list(dict.fromkeys(one["organization"] for one in ordered))


def is_current(role: Doc, today: date) -> bool:
    """Whether a role is one today; its first day and its last one count."""
    begin, end = role.get("begin_on"), role.get("end_on")
    return (begin is None or begin <= today.isoformat()) and (end is None or end >= today.isoformat())
