"""What is agreed with a vendor: the terms, what of them widens what it sees, and which reads are bulk."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import msgspec

from gateway import served
from gateway.access import JUDGING, PURPOSES, SECTIONS, TABLE
from gateway.errors import ConfigError, Refused

Basis = Literal["school_official", "directory", "consent"]
BASES: Mapping[str, str] = {
    "school_official": "does for the district what its own staff would do, under its control",
    "directory": "is given directory information: whoever opted out is not in it",
    "consent": "is given students for whom a consent names it",
}
"""By which right a vendor is given anything. # 34 CFR 99.31(a)(1), 99.37, 99.30"""

People = Literal["student", "staff", "contact"]
OURS = ("plans", "record", "events")
"""Collections of our own, beside `results`, which is the gradebook's and what /v1 lists of results."""
COLLECTIONS = (*served.COLLECTIONS, *OURS)
BASE = frozenset({"sourcedId", "status", "dateLastModified"})
"""Fields of OneRoster that every served record has, whatever is agreed."""
GRANTABLE = frozenset(section for section in SECTIONS if TABLE[section]["vendor"] == "grant")
"""What may be agreed of plans and records: their fields are sections here. What is restricted goes to nobody."""

_WHOLLY = frozenset({"demographics", "results", "assessmentResults", "plans", "record"})
_SENSITIVE: Mapping[str, frozenset[str]] = {
    "users": frozenset(
        {"username", "userIds", "userMasterIdentifier", "identifier", "email", "sms", "phone", "agents", "pronouns"}
    )
}


def sensitive(collection: str, field: str) -> bool:
    """Whether a field tells more of somebody than who they are and where they learn or work."""
    return collection in _WHOLLY or field in _SENSITIVE.get(collection, ())


OF_STUDENTS = frozenset({"users", "results", "plans", "record", "events"})
"""Collections of which any lets a program know by /v1 which students there are."""
_OF_RESULTS = {
    "title": "lineItem",
    "on": "scoreDate",
    "period": "scoreDate",
    "scores": "score",
    "performance_levels": "textScore",
}


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom and what a vendor reaches. None: all of them. Classes are those at these schools in one of these grades (or
    in none), and where any of `classes` (ids), `subjects` (names or codes) and `courses` (codes) is given, that one of
    these names. Students are those of these schools and grades; with `only_classes` those enrolled in the classes."""

    schools: frozenset[str] | None = None
    grades: frozenset[str] | None = None
    classes: frozenset[str] | None = None
    subjects: frozenset[str] | None = None
    courses: frozenset[str] | None = None
    only_classes: bool = False
    people: frozenset[People] = frozenset({"student", "staff"})


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was signed. `collections`: each to the fields that may be served, None for all that there are; `document`: a
    reference, or the SHA-256 of the signed file; `pages`: how many pages of a collection may be walked in a day
    before that is bulk; `writes`: of which collections it may write records of its own; days are inclusive."""

    purpose: str
    basis: Basis
    signer: str
    document: str
    breach_contact: str
    begin: date
    until: date
    collections: dict[str, frozenset[str] | None]
    destroy_by: date | None = None
    rule: Rule = Rule()
    authoring: bool = False
    bulk: bool = False
    writes: frozenset[str] = frozenset()
    pages: int = 100


@dataclass(frozen=True)
class Agreement:
    """An agreement with a program, as the district approved it last."""

    id: int
    client: str
    version: int
    terms: Terms

    @property
    def purpose(self) -> str:
        return self.terms.purpose

    @property
    def collections(self) -> Mapping[str, frozenset[str] | None]:
        return self.terms.collections

    @property
    def authoring(self) -> bool:
        return self.terms.authoring

    @property
    def bulk(self) -> bool:
        return self.terms.bulk

    @property
    def begin(self) -> date:
        return self.terms.begin

    @property
    def until(self) -> date:
        return self.terms.until

    def fields(self, collection: str) -> frozenset[str] | None:
        """The fields of a collection that may be served, None for all; what every record of OneRoster has comes beside.
        Refused where the agreement does not name the collection."""
        if collection not in self.terms.collections:
            raise Refused(
                "agreement-collection",
                f"The agreement with the district does not name {collection}.",
                "Ask the district; it changes an agreement with `planbridge vendors agree`.",
            )
        return self.terms.collections[collection]

    def refuse_writing(self, collection: str) -> None:
        """Refused where the agreement does not let the vendor write records of its own to a collection."""
        if collection not in self.terms.writes:
            raise Refused(
                "agreement-writing",
                f"The agreement with the district does not say that this program writes {collection}.",
                f"Ask the district; it changes an agreement with `planbridge vendors agree --writes {collection}`.",
            )

    @property
    def told_of_students(self) -> frozenset[str]:
        """What /v1 lists of students under this agreement: `id`, `names`, `schools`, `grades`; nothing where it names
        no collection by which a program knows of students."""
        found = {"id"} if not OF_STUDENTS.isdisjoint(self.terms.collections) else set()
        if "users" in self.terms.collections:
            fields = self.terms.collections["users"]
            named = {"names": {"givenName", "familyName"}, "schools": {"roles"}, "grades": {"grades"}}
            found |= {what for what, needs in named.items() if fields is None or needs <= fields}
        for collection in ("plans", "record"):
            sections = self.terms.collections.get(collection, frozenset())
            if sections is None or "identity" in sections:
                found |= {"names", "schools", "grades"}
        return frozenset(found)

    @property
    def told_of_results(self) -> frozenset[str]:
        """What /v1 lists of each result, by the fields of the gradebook's that the agreement names."""
        fields = self.terms.collections.get("results", frozenset())
        return frozenset(what for what, by in _OF_RESULTS.items() if fields is None or by in fields)

    def refuse_authoring(self) -> None:
        """Refused where the agreement does not let the vendor write plans on behalf of educators."""
        if not self.terms.authoring:
            raise Refused(
                "agreement-authoring",
                "The agreement with the district does not name authoring: no plan is written through this program.",
                "Ask the district; it changes an agreement with `planbridge vendors agree --authoring`.",
            )


def fields_of(collection: str) -> frozenset[str]:
    """The fields that may be agreed of a collection: those of the standard, or sections; of events there are none."""
    if collection in served.COLLECTIONS:
        return frozenset(served.COLLECTIONS[collection].fields) - {"password"}
    return GRANTABLE if collection in ("plans", "record") else frozenset()


def checked(terms: Terms) -> Terms:
    """The terms, if they may be drafted. ConfigError for what is incomplete or unknown, Refused for what nobody may
    agree to."""
    for name in ("signer", "document", "breach_contact"):
        if not getattr(terms, name).strip():
            raise _incomplete(f"It has no {name.replace('_', ' ')}.")
    if terms.until < terms.begin or (terms.destroy_by is not None and terms.destroy_by < terms.until):
        raise _incomplete("It ends no earlier than it begins, and data are destroyed no earlier than it ends.")
    if not terms.collections:
        raise _incomplete("It names no collection.")
    if terms.purpose not in PURPOSES:
        raise _incomplete(f"There is no purpose {terms.purpose!r}: {', '.join(PURPOSES)}.")
    if terms.purpose in JUDGING:
        raise Refused(
            "purpose-refused",
            f"Nothing is given for the purpose {terms.purpose!r}: what helps a student judges nobody.",
            "Name the purpose it has for the student, if there is one.",
        )
    if terms.basis == "directory" and (more := sorted(_WHOLLY & terms.collections.keys())):
        raise Refused(
            "agreement-field",
            f"{more[0]} is no directory information.",
            "Agree on it by another right, or leave it out.",
        )
    if not 1 <= terms.pages <= MOST_PAGES:
        raise _incomplete(f"Pages in one walk are 1 to {MOST_PAGES}; beyond, agree on bulk and give leave for it.")
    if terms.rule.only_classes and not (terms.rule.classes or terms.rule.subjects or terms.rule.courses):
        raise _incomplete("Students of its classes only: then it says which classes.")
    if unknown := sorted(terms.writes - set(served.WRITABLE)):
        raise _incomplete(f"{unknown[0]} cannot be written: {', '.join(served.WRITABLE)} can.")
    if unnamed := sorted(terms.writes - terms.collections.keys()):
        raise _incomplete(f"It would write {unnamed[0]} and not see them: name them with --collection too.")
    for collection, asked in terms.collections.items():
        if collection not in COLLECTIONS:
            raise _incomplete(f"There is no collection {collection!r}: {', '.join(COLLECTIONS)}.")
        there = fields_of(collection)
        if unknown := sorted((asked or frozenset()) - BASE - there):
            raise Refused(
                "agreement-field",
                f"{collection} has no {unknown[0]} that a vendor may be given.",
                f"Choose from: {', '.join(sorted(there))}." if there else "Name the collection alone.",
            )
    return terms


def _incomplete(what: str) -> ConfigError:
    return ConfigError(
        "vendor-terms-incomplete", f"These terms are not complete. {what}", "See docs/vendors.md for what terms say."
    )


@dataclass(frozen=True)
class Widening:
    """What a vendor would be shown beside what it is shown. `seen`: people it sees today; `people`: how many of the
    people that it would see it does not see today; `schools` and sensitive `fields` (`users.email`) that are new."""

    seen: int
    people: int
    schools: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def large(self) -> bool:
        """Whether somebody has to say that they mean it: a tenth more people, or any new school or such field."""
        return self.people * 10 > self.seen or bool(self.schools or self.fields)

    def refuse(self, confirmed: int | None) -> None:
        """Refused where it is large and nobody has named its number of people."""
        if self.large and confirmed != self.people:
            more = [f"{len(self.schools)} new schools"] if self.schools else []
            more += [f"new fields: {', '.join(self.fields)}"] if self.fields else []
            raise Refused(
                "agreement-widens",
                f"The vendor would newly see {self.people} people, beside {self.seen} that it sees today"
                f"{'; ' if more else ''}{'; '.join(more)}.",
                f"If this is meant, look at the preview and approve with --people {self.people}.",
            )


def new_fields(before: Terms | None, after: Terms) -> tuple[str, ...]:
    """Sensitive fields that these terms open and those before did not, and what may be written by them alone."""

    def told(terms: Terms | None) -> set[str]:
        written = {f"{collection} (written)" for collection in terms.writes} if terms else set()
        return written | {
            f"{collection}.{field}"
            for collection, agreed in (terms.collections if terms else {}).items()
            for field in (fields_of(collection) if agreed is None else agreed)
            if sensitive(collection, field)
        }

    return tuple(sorted(told(after) - told(before)))


PAGE = 1_000
"""Rows of one answer beyond which it is bulk, whatever is agreed."""
COMMON = 100
"""Rows of a page where nothing is said: an answer to a search with a smaller limit is no page."""
MOST_PAGES = 1_000
"""Pages that may be agreed at most: whoever needs more is given leave to take all."""


def is_bulk(terms: Terms, *, limit: int, offset: int, delta: bool, walked: float = 0) -> bool:
    """Whether a page of a collection is bulk: larger than a page, or further into a walk without a filter by time than
    agreed, by the place it begins at or by the pages `walked` today in any other way. An export as a file always is,
    and asks nobody."""
    pages = min(terms.pages, MOST_PAGES)
    return limit > PAGE or (not delta and limit > 0 and (offset // limit >= pages or walked >= pages))


def share(rows: int, limit: int, *, goes_on: bool) -> float:
    """How much of a page an answer of so many rows is. One that follows another (`goes_on`: from a place, or from a
    value onwards) is measured by its own limit, as an offset is; what only was searched for by a common page, so that
    to look somebody up takes next to nothing."""
    return rows / (limit if goes_on else max(limit, COMMON))


def as_json(terms: Terms) -> str:
    return msgspec.json.encode(terms, order="deterministic").decode()


def from_json(said: Any) -> Terms:
    """Terms as they are stored or were typed. ConfigError for what is none."""
    try:
        return msgspec.convert(said, Terms, strict=False)
    except msgspec.ValidationError as error:
        raise _incomplete(str(error)) from None
