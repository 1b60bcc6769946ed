"""Who may see which section of a student's plan and record, by which right: the one table, and how it is read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, get_args

from gateway.plan_guards import ADULT, RelationshipFacts

Section = Literal[
    "identity",
    "contacts",
    "strengths",
    "academic",
    "social_emotional",
    "health",
    "family_needs",
    "program_status",
    "goals",
    "school_supports",
    "outside_supports",
    "notes",
    "restricted_notes",
    "consultation",
    "disclosures",
]
SECTIONS: tuple[Section, ...] = get_args(Section)

Role = Literal[
    "coordinator",
    "teacher",
    "specialist",
    "nurse",
    "administrator",
    "it",
    "guardian",
    "student",
    "partner",
    "sis",
    "lms",
    "vendor",
    "auditor",
]
ROLES: tuple[Role, ...] = get_args(Role)
CLIENTS: tuple[Role, ...] = ("sis", "lms", "vendor")
"""Programs. What they get leaves the district, as does what a partner, a guardian or the student gets."""
STAFF: frozenset[Role] = frozenset({"coordinator", "teacher", "specialist", "nurse", "administrator", "it", "auditor"})

May = Literal["full", "add", "read", "own", "masked", "of_age", "consent", "grant", "request", "none"]
MEANS: dict[May, str] = {
    "full": "reads and writes",
    "add": "reads, and may add their own words",
    "read": "reads",
    "own": "reads what is theirs",
    "masked": "sees that there is something, not what it says",
    "of_age": "reads from 18 on, when the rights are the student's",
    "consent": "reads while a consent names the section",
    "grant": "gets it where the district granted the section to the program",
    "request": "nothing, until it is opened with a reason for a quarter of an hour",
    "none": "nothing",
}

_F, _A, _R, _O, _M, _S, _C, _G, _Q, _N = get_args(May)
# One line a section, one column a role, in the order of ROLES.
_TABLE: dict[Section, tuple[May, ...]] = {
    #                  coor teac spec nurs admi it  guar stud part sis  lms  vend audi
    "identity":         (_F, _R, _R, _R, _R, _M, _R, _R, _C, _F, _R, _G, _M),
    "contacts":         (_F, _R, _R, _R, _R, _M, _R, _O, _C, _F, _N, _N, _M),
    "strengths":        (_F, _F, _F, _F, _R, _Q, _A, _A, _C, _R, _G, _G, _N),
    "academic":         (_F, _F, _R, _R, _R, _Q, _R, _R, _C, _R, _N, _G, _N),
    "social_emotional": (_F, _M, _F, _F, _R, _Q, _R, _S, _C, _N, _N, _N, _N),
    "health":           (_M, _M, _N, _F, _M, _Q, _R, _S, _N, _N, _N, _N, _N),
    "family_needs":     (_F, _N, _F, _F, _M, _Q, _R, _S, _C, _N, _N, _N, _N),
    "program_status":   (_R, _M, _R, _R, _R, _Q, _R, _R, _N, _F, _N, _N, _N),
    "goals":            (_F, _F, _F, _F, _R, _Q, _A, _A, _C, _R, _M, _G, _N),
    "school_supports":  (_F, _F, _F, _F, _R, _Q, _R, _R, _N, _R, _G, _N, _N),
    "outside_supports": (_F, _R, _F, _F, _R, _Q, _A, _R, _O, _M, _N, _N, _N),
    "notes":            (_F, _O, _F, _F, _R, _Q, _R, _S, _N, _N, _N, _N, _N),
    "restricted_notes": (_F, _N, _F, _F, _Q, _N, _Q, _N, _N, _N, _N, _N, _N),
    "consultation":     (_F, _M, _R, _R, _R, _Q, _R, _R, _O, _M, _N, _N, _R),
    "disclosures":      (_R, _O, _O, _O, _R, _R, _R, _R, _O, _N, _N, _N, _R),
}  # fmt: skip
TABLE: dict[Section, dict[Role, May]] = {
    section: dict(zip(ROLES, line, strict=True)) for section, line in _TABLE.items()
}

OPENED: Mapping[Role, frozenset[May]] = {
    "it": frozenset({"request", "masked"}),
    "administrator": frozenset({"request", "masked"}),
}
"""What somebody in this role reads once they opened it with a reason. Nobody else opens anything for themselves."""

SAYS: Mapping[str, Role] = {
    **{role: role for role in ROLES if role not in CLIENTS},
    "educator": "coordinator",
    "counselor": "specialist",
    "principal": "administrator",
    "district_it": "it",
    "parent": "guardian",
}
"""What people at the district's own machine say they are -> the role."""

AT_SCHOOL: Mapping[str, Role] = {
    "counselor": "specialist",
    "specialist": "specialist",
    "nurse": "nurse",
    "principal": "administrator",
    "administrator": "administrator",  # all that OneRoster 1.1 knows of those who run a school
    "site_administrator": "administrator",
    "district_administrator": "administrator",
    "system_administrator": "it",
}
"""A role of the roster at the student's school, or at the district above it -> the role. Teachers see those they
teach: that they work in the house makes them none of these."""

ADMINISTRATORS = frozenset(role for role, column in AT_SCHOOL.items() if column == "administrator")
"""Roles of the roster that administer a school or the district: who may waive a consultation, is told what is overdue,
and may count by program status."""


def sees_beyond_own(roles: Iterable[str]) -> bool:
    """Whether one of these roles of the roster shows somebody students whom nothing but the house ties to them."""
    return not AT_SCHOOL.keys().isdisjoint(roles)


ON_TEAM: Mapping[str, Role] = {
    "coordinator": "coordinator",
    "teacher": "teacher",
    "trusted_adult": "teacher",
    "counselor": "specialist",
    "specialist": "specialist",
    "nurse": "nurse",
    "administrator": "administrator",
}
"""A role on a plan's team -> the role, for staff. Family and partners see by what they are, not by being listed."""

PURPOSES = {
    "planning": "planning with and for the student",
    "teaching": "teaching the student",
    "service": "a service that the plan names",
    "rostering": "keeping accounts and classes",
    "transfer": "the student's change of school",
    "evaluation": "judging staff",
    "accountability": "judging classes, schools or districts",
}
"""Every purpose that an agreement, a consent, an export or a program may have."""
JUDGING = ("evaluation", "accountability")
"""What diagnostic results are never for. These are in the list so that they can be said, and refused."""
RESULT_PURPOSES = (
    "diagnostic",
    "screening",
    "progress_monitoring",
    "formative",
    "interim",
    "summative_state",
    "accountability",
    "interest_inventory",
)
"""What an assessment may be for, beside `other`."""


@dataclass(frozen=True)
class Consent:
    """Somebody with the right to do so lets a recipient see sections, or forbids it, for these days."""

    recipient: str
    sections: frozenset[Section]
    permit: bool
    begin: date
    until: date
    revoked: bool = False
    capacity: str = "guardian"

    def holds(self, today: date) -> bool:
        return not self.revoked and self.begin <= today <= self.until


@dataclass(frozen=True)
class Who:
    """Somebody who looks: a person on the roster, or somebody who is known by a role alone. `says` is a role of theirs
    that stands in no roster (SAYS, or the kind of a program)."""

    person: str | None = None
    says: Role | None = None
    names: frozenset[str] = frozenset()
    """Under which names consents and plans know them: their organization, their program."""


@dataclass(frozen=True)
class Facts:
    """What is on record today between somebody and one student. Whatever is not stated is not so."""

    born: date | None = None
    """The student's day of birth."""
    staff: bool = False
    """An active member of staff."""
    teaches: bool = False
    """They are in a class together today, as teacher and student."""
    coordinates: bool = False
    team: frozenset[str] = frozenset()
    """Roles on the team of the student's plans."""
    at_school: frozenset[str] = frozenset()
    """Roles today at the student's school or above it."""
    relationships: Sequence[RelationshipFacts] = ()
    """Of this person to the student, from every source."""
    consents: Sequence[Consent] = ()
    """Those given to this somebody for the student."""
    granted: frozenset[Section] = frozenset()
    """What the district granted to this program."""
    opened: frozenset[Section] = frozenset()
    """What they opened with a reason less than a quarter of an hour ago."""


@dataclass(frozen=True)
class Decision:
    """May they or not, as what (`full` ... `none`), by which role, and why in a plain sentence."""

    allowed: bool
    how: May
    role: Role | None
    reason: str


def decide(who: Who, student: str, section: Section, facts: Facts, today: date) -> Decision:
    """Whether somebody may see a section of a student today. Of several roles the one that allows most counts; whoever
    is kept from the student is nobody's teacher either."""
    if any(r.restricted or r.education_rights == "no" for r in facts.relationships):
        return Decision(False, "none", None, "This person is kept from the student, or has no right to the record.")
    found = [
        _in_role(role, because, section, facts, today) for role, because in roles_of(who, student, facts, today).items()
    ]
    if not found and facts.relationships:
        return Decision(False, "none", None, "The rights passed to the student at 18, or this relative never had any.")
    if not found:
        return Decision(False, "none", None, "Nothing on record ties this person to the student.")
    return max(found, key=lambda decision: (decision.allowed, -_F_TO_N.index(decision.how)))


_F_TO_N: tuple[May, ...] = ("full", "add", "read", "own", "masked", "of_age", "consent", "grant", "request", "none")


def roles_of(who: Who, student: str, facts: Facts, today: date) -> dict[Role, str]:
    """Each role somebody has for a student, and by what."""
    found: dict[Role, str] = {}
    for role, because in _roles(who, student, facts, today):
        found.setdefault(role, because)
    return found


def _roles(who: Who, student: str, facts: Facts, today: date) -> Iterator[tuple[Role, str]]:
    if who.person == student:
        yield "student", "They are the student."
    if facts.staff:
        if facts.coordinates:
            yield "coordinator", "They coordinate the student's plan."
        if facts.teaches:
            yield "teacher", "They teach a class that the student is in today."
        for role in sorted(facts.team & ON_TEAM.keys()):
            yield ON_TEAM[role], f"They are on the plan's team as {_plain(role)}."
        for role in sorted(facts.at_school & AT_SCHOOL.keys()):
            yield AT_SCHOOL[role], f"They are {_plain(role)} at the student's school."
    of_age = facts.born is not None and age(facts.born, today) >= ADULT
    if not of_age and any(r.education_rights == "yes" or r.parent_or_guardian for r in facts.relationships):
        yield "guardian", "They are the student's parent or guardian, and nothing on record takes that right away."
    if any(consent.permit and consent.holds(today) for consent in facts.consents) and who.says not in CLIENTS:
        yield "partner", "A consent that holds today names them."
    if who.says is not None:
        yield who.says, f"They act as {_plain(who.says)}."


def age(born: date, today: date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def _in_role(role: Role, because: str, section: Section, facts: Facts, today: date) -> Decision:
    may = TABLE[section][role]
    name = _plain(section)
    if section in facts.opened and may in OPENED.get(role, ()):
        return Decision(True, "read", role, f"{because} They opened {name} with a reason a short while ago.")
    if may == "of_age":
        if facts.born is not None and age(facts.born, today) >= ADULT:
            return Decision(True, "read", role, f"{because} The rights are the student's own.")
        return Decision(False, "none", role, f"{because} {name.capitalize()} is the student's to see from 18 on.")
    if may == "consent":
        live = [one for one in facts.consents if one.holds(today) and section in one.sections]
        if any(not one.permit for one in live):
            return Decision(False, "none", role, f"{because} A consent forbids {name}.")
        if live:
            return Decision(True, "read", role, f"{because} It covers {name}.")
        return Decision(False, "none", role, f"{because} No consent that holds today covers {name}.")
    if may == "grant":
        if section in facts.granted:
            return Decision(True, "read", role, f"{because} The district granted it {name}.")
        return Decision(False, "none", role, f"{because} The district did not grant it {name}.")
    if may == "request":
        return Decision(False, "request", role, f"{because} {name.capitalize()} opens to them only with a reason.")
    if may == "none":
        return Decision(False, "none", role, f"{because} {name.capitalize()} is not for this role.")
    return Decision(True, may, role, f"{because} This role {MEANS[may]}: {name}.")


def _plain(word: str) -> str:
    return {"it": "district IT", "sis": "SIS", "lms": "LMS"}.get(word, word.replace("_", " "))


def narrower(one: Decision, other: Decision) -> Decision:
    """What both allow: a program shows a person no more than it may have itself."""
    if not one.allowed or not other.allowed:
        return other if one.allowed else one
    return max(one, other, key=lambda decision: _F_TO_N.index(decision.how))


@dataclass(frozen=True)
class Receiver:
    """What a destination may be given of one student today: the sections, and for each that it may not why."""

    sections: frozenset[Section]
    withheld: Mapping[Section, str] = field(default_factory=dict)


CONSENTED = frozenset(section for section, line in TABLE.items() if line["lms"] == "none")
"""What a learning platform gets of a student only where a consent that holds names it, whoever hosts the platform."""


def receiver(
    agreed: frozenset[Section] | None,
    needs_consent: bool,
    consents: Sequence[Consent],
    today: date,
    *,
    consented: frozenset[Section] = frozenset(),
) -> Receiver:
    """Compile an agreement and the consents for a student into what a destination may be given. `agreed` is None where
    the agreement, or the district that hosts it itself, names no sections. A destination that ever rested on a consent
    gets nothing without one, and none gets what is to be `consented` without one; what a consent forbids it does not
    get at all."""
    withheld: dict[Section, str] = {}
    permits = [one for one in consents if one.permit]
    permitted = frozenset[Section]().union(*(one.sections for one in permits if one.holds(today)))
    forbidden = frozenset[Section]().union(*(one.sections for one in consents if not one.permit and one.holds(today)))
    for section in SECTIONS:
        if section in forbidden:
            withheld[section] = "A family forbade it."
        elif (needs_consent or permits) and section not in permitted:
            ended = any(section in one.sections for one in permits)
            withheld[section] = (
                "The consent for it was revoked or is over." if ended else "No consent that holds today covers it."
            )
        elif section in consented and section not in permitted:
            withheld[section] = "A learning platform gets it only where a consent names it."
        elif agreed is not None and section not in agreed:
            withheld[section] = "The agreement with this destination does not cover it."
    return Receiver(frozenset(SECTIONS) - withheld.keys(), withheld)


def effective_purpose(stated: str | None, decided: str | None) -> str:
    """What results of an assessment count as. What says nothing or `other` is diagnostic until the district decides;
    what its source calls diagnostic stays so."""
    if stated not in (None, "", "other"):
        return str(stated)
    return decided or "diagnostic"


def page() -> str:
    """The table as the manual shows it (docs/access.md is held against it)."""
    heads = [_plain(role) for role in ROLES]
    lines = [f"| Section | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for section, line in TABLE.items():
        lines.append(f"| {_plain(section)} | {' | '.join(_short(line[role]) for role in ROLES)} |")
    words = [f"- **{_short(may)}**: {means}." for may, means in MEANS.items()]
    return "\n".join([*lines, "", *words]) + "\n"


def _short(may: May) -> str:
    return {"none": "-", "of_age": "of age", "request": "on reason"}.get(may, may)


def as_words(decisions: Mapping[Section, Decision]) -> list[dict[str, Any]]:
    """Decisions as rows: section, may, how, reason."""
    return [
        {"section": _plain(section), "may": "yes" if one.allowed else "no", "how": one.how, "reason": one.reason}
        for section, one in decisions.items()
    ]
