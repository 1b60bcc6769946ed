"""What OneRoster 1.1 makes of 1.2: its records, and what they are asked for by."""

import operator
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from gateway.api.oneroster import filters
from gateway.queries import Clause, Filter, Op, Query
from gateway.served import COLLECTIONS

Record = dict[str, Any]
Fields = frozenset[str] | None
"""Names of fields; None for all of them."""

# OneRoster 1.1: the enumeration of roles, of users, enrollments and resources alike
ROLES = ("administrator", "aide", "guardian", "parent", "proctor", "relative", "student", "teacher")
_KIN = ("guardian", "parent", "relative")
# 1.2 says of what; what it has no word for, it has behind ext:
_ADMINISTRATORS = ("counselor", "districtAdministrator", "principal", "siteAdministrator", "systemAdministrator")
_LATER = {
    "users": "userMasterIdentifier preferredFirstName preferredMiddleName preferredLastName pronouns roles userProfiles"
    " primaryOrg resources",
    "categories": "weight",
    "lineItems": "school academicSession scoreScale learningObjectiveSet",
    "results": "class scoreScale textScore learningObjectiveSet inProgress incomplete late missing",
    "resources": "roles",
}
_MADE: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "users": {"role": ("roles",), "orgs": ("roles",)},
    "lineItems": {"gradingPeriod": ("gradingPeriod", "academicSession")},
    "resources": {"role": ("roles",)},
}
"""Of what of 1.2 a field of 1.1 is made: the first of these that is there."""
SOURCES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    name: {
        **{field: (field,) for field in collection.fields if field not in _LATER.get(name, "").split()},
        **_MADE.get(name, {}),
    }
    for name, collection in COLLECTIONS.items()
    if name not in ("scoreScales", "assessmentLineItems", "assessmentResults")
}
"""Of each collection of 1.1, its fields, and of what of 1.2 each of them is made."""
_WORDS: Mapping[tuple[str, str], tuple[str, ...] | None] = {
    ("users", "roles"): ROLES,
    ("enrollments", "role"): ROLES,
    ("orgs", "type"): ("department", "district", "local", "national", "school", "state"),
    ("academicSessions", "type"): ("gradingPeriod", "semester", "schoolYear", "term"),
    ("results", "scoreStatus"): ("exempt", "fully graded", "not submitted", "partially graded", "submitted"),
    ("results", "score"): None,
}
"""What 1.1 demands and not every record of 1.2 has: one of these words, or anything."""


def record(collection: str, whole: Mapping[str, Any], asked: Fields, allowed: Fields) -> tuple[Record, set[str]] | None:
    """A record of 1.2 in 1.1, of it the fields that are asked for, and of which fields of 1.2 they tell; both but for
    the three that every record has. None where 1.1 demands what it has no word for. `asked` are names of 1.1, `allowed`
    those of 1.2 that may be served; what may not be is not demanded either."""
    if not _can_be_said(collection, whole, allowed):
        return None
    known = {name: value for name, value in whole.items() if allowed is None or name in allowed}
    made = _TURNED.get(collection, _unturned)(known)
    shown: Record = {}
    told: set[str] = set()
    for name, sources in SOURCES[collection].items():
        may = allowed is None or not allowed.isdisjoint(sources)
        if name in made and may and (asked is None or name in asked):
            shown[name] = _truth(collection, name, made[name])
            told.update([source for source in sources if source in known][:1])
    return shown, told


def _can_be_said(collection: str, whole: Mapping[str, Any], allowed: Fields) -> bool:
    for (where, field), words in _WORDS.items():
        if where != collection or not (allowed is None or field in allowed):
            continue
        said = [one["role"] for one in whole["roles"]] if field == "roles" else [whole.get(field)]
        if all(one is None or (words is not None and one not in _spelt(words)) for one in said):
            return False
    return True


@cache
def _spelt(words: tuple[str, ...]) -> tuple[str, ...]:
    """How these words of 1.1 are written in 1.2: a role in several ways."""
    if not set(words) <= set(ROLES):
        return words
    found = (*words, *(_ADMINISTRATORS if "administrator" in words else ()))
    return (*found, *(f"ext:{word}" for word in found))


def _truth(collection: str, name: str, value: Any) -> Any:
    """1.1 has true and false where 1.2 has the texts."""
    field = COLLECTIONS[collection].fields.get(name)
    return value == "true" if field is not None and field.type == "boolean" else value


# --- one function for each collection that differs by more than fields that came later ----------------------------


def _unturned(known: Record) -> Record:
    return known


def _user(known: Record) -> Record:
    """One role, at every org at which it is held: that of a student, else one that is no family's, else the primary
    one. 1.1 demands a name to sign in with, and an empty one is how its servers say that there is none."""
    made = {"username": "", **known}
    said = [(word, role) for role in known.get("roles", ()) if (word := _role(role["role"]))]
    if said:
        main, _ = min(said, key=lambda one: _weight(*one))
        made["role"] = main
        made["orgs"] = list({role["org"]["sourcedId"]: role["org"] for word, role in said if word == main}.values())
    return made


def _weight(word: str, role: Mapping[str, Any]) -> tuple[int, bool]:
    return (0 if word == "student" else 2 if word in _KIN else 1), role.get("roleType") != "primary"


def _role(word: str) -> str | None:
    bare = word.removeprefix("ext:")
    return "administrator" if bare in _ADMINISTRATORS else bare if bare in ROLES else None


def _enrollment(known: Record) -> Record:
    return {**known, "role": _role(known["role"])} if "role" in known else known


def _class(known: Record) -> Record:
    """# OneRoster 1.1: in the OpenAPI document the periods are one text"""
    made = {**known, "periods": ",".join(known["periods"])} if "periods" in known else dict(known)
    return _without_unless(made, "classType", ("homeroom", "scheduled"))


def _demographics(known: Record) -> Record:
    return _without_unless(known, "sex", ("female", "male"))


def _resource(known: Record) -> Record:
    """1.1 has one role here too: the first for which it has a word."""
    made = _without_unless(known, "importance", ("primary", "secondary"))
    words = [word for role in known.get("roles", ()) if (word := _role(role))]
    return {**made, "role": words[0]} if words else made


def _line_item(known: Record) -> Record:
    """1.1 has one session, and demands the least that can be scored: nothing, unless somebody says otherwise."""
    made = {"resultValueMin": min(0, known.get("resultValueMax", 0)), **known}
    session = known.get("gradingPeriod", known.get("academicSession"))
    return {**made, "gradingPeriod": session} if session else made


def _without_unless(known: Record, name: str, words: tuple[str, ...]) -> Record:
    """Without a word that 1.1 does not have and does not demand."""
    return known if known.get(name) in words else {key: value for key, value in known.items() if key != name}


_TURNED: Mapping[str, Callable[[Record], Record]] = {
    "users": _user,
    "enrollments": _enrollment,
    "classes": _class,
    "demographics": _demographics,
    "resources": _resource,
    "lineItems": _line_item,
}


# --- what is asked --------------------------------------------------------------------------------------------


def asked_by(collection: str, given: Filter) -> Filter:
    """A filter by fields of 1.1 as one by those of 1.2. Trouble for a field that 1.1 does not have."""
    if len(given.clauses) == 1 and collection == "lineItems" and given.clauses[0].field == "gradingPeriod.sourcedId":
        [one] = given.clauses
        other = replace(one, field="academicSession.sourcedId")
        return Filter((one, other), either=one.op != "!=")
    return replace(given, clauses=tuple(_clause(collection, one) for one in given.clauses))


def _clause(collection: str, given: Clause) -> Clause:
    first, _, rest = given.field.partition(".")
    if first not in ("sourcedId", "status", "dateLastModified", *SOURCES[collection]):
        raise filters.unusable(f"In OneRoster 1.1 {collection} have no such field to filter by.")
    if first == "role":
        return _of_role("roles.role" if collection == "users" else SOURCES[collection]["role"][0], given)
    if first == "orgs" and collection == "users" and rest:
        return replace(given, field=f"roles.org.{rest}")
    if first == "gradingPeriod":
        raise filters.unusable("Filter by gradingPeriod.sourcedId alone, without AND or OR.")
    return given


_COMPARED: Mapping[Op, Callable[[str, str], bool]] = {
    "=": operator.eq, "!=": operator.eq, "~": operator.contains, ">": operator.gt, ">=": operator.ge,
    "<": operator.lt, "<=": operator.le,
}  # fmt: skip


def _of_role(field: str, given: Clause) -> Clause:
    """Which of the roles are meant, in the words of 1.2."""
    meant = tuple(word for word in ROLES if _COMPARED[given.op](word, given.value.lower()))
    return Clause(field, "not in" if given.op == "!=" else "in", ",".join(_spelt(meant)))


def sorted_by(collection: str, field: str) -> str:
    """By which field of 1.2 rows are in that order; by none where 1.1 has no such field, or it is a list in 1.2."""
    return field if field in ("sourcedId", "dateLastModified") or field in SOURCES[collection].get(field, ()) else ""


def sources(collection: str, names: Fields) -> Fields:
    """Of which fields of 1.2 these of 1.1 are made."""
    if names is None:
        return None
    return frozenset(source for name in names for source in SOURCES[collection].get(name, (name,)))


def can_be_said(query: Query, allowed: Fields) -> Query:
    """The question for those rows alone that `record` does not make None; a delta has the others too, as gone."""
    asked = query.filter
    active = any(
        clause.field == "status" and (clause.op, clause.value.lower()) == ("=", "active") for clause in asked.clauses
    )
    if asked.tells_of_the_gone and not active:
        return query
    view = query.view
    clauses = tuple(
        Clause("roles.role" if field == "roles" else field, "in", ",".join(_spelt(words)))
        if words is not None
        else Clause(field, ">=", str(-sys.float_info.max))
        for (collection, field), words in _WORDS.items()
        if collection == view.collection and (allowed is None or field in allowed)
    )
    return replace(query, view=replace(view, where=(*view.where, *clauses)))
