"""What becomes of each field of OneRoster 1.2 on its way through the common schema and back: the declared table.

It is a declaration, not a comparison: a test sends records through and holds what came back against it, both ways.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gateway.connector import Loss
from gateway.mapping import Crosswalks
from mappings.oneroster.roster import NEVER_KEPT, RACES

Record = Mapping[str, Any]
Rule = Callable[[Any, Record, Crosswalks], Iterator[str]]
"""Of a field's value in its record: where something is lost, as a pointer from the field on (empty: all of it)."""


def losses(collection: str, record: Record, codes: Crosswalks) -> list[Loss]:
    """What of a 1.2 record does not come back as it was when its entity is written as 1.2 again.

    Pointers lead into the record; an empty one means the whole record. Of a record that is set aside, the field is
    among them that is the reason. `record` is valid by the standard; `codes` are those of this mapping.
    """
    if record["status"] == "tobedeleted":
        return [Loss("", "cannot", "It says that the record is gone: the entity ends.")]
    fates = FATES[collection]
    found = [
        Loss(f"/{name}{pointer}", "withheld" if fates[name].how == "dropped" else "cannot", fates[name].why or _FORM)
        for name, value in record.items()
        for pointer in fates[name].lost(value, record, codes)
    ]
    if collection == "users":
        found += [Loss(f"/{name}", "cannot", _MOVED) for name in _numbers(record)[0] if name not in record]
    if collection == "demographics" and {loss.pointer for loss in found} >= {
        f"/{name}" for name in record.keys() - _ID
    }:
        return [Loss("", "cannot", "Nothing is known of the person that could stand in such a record.")]
    return found


_FORM = "Blanks around it, repetitions and empty parts are not kept, and addresses are our own."
_MOVED = "A number in userIds whose type is the name of this field comes back in it."
_ID = {"sourcedId", "status"}


@dataclass(frozen=True)
class Fate:
    """What becomes of a field. kept: it comes back; partly: `why` says what of it does not; dropped: it is removed
    before anything is stored; unused: nothing reads it. `lost` says it of one value."""

    how: Literal["kept", "partly", "dropped", "unused"]
    lost: Rule
    why: str = ""


def _kept(rule: Rule, why: str = "") -> Fate:
    return Fate("partly" if why else "kept", rule, why)


def _dropped(why: str) -> Fate:
    return Fate("dropped", _all, why)


def _unused(why: str) -> Fate:
    return Fate("unused", _all, why)


def _all(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    yield ""


def _nothing(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    yield from ()


def _if(changed: bool) -> Iterator[str]:
    if changed:
        yield ""


def _empty(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    return _if(not value)


def _text(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    return _if(not value.strip() or value != value.strip())


def _texts(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    return _if(not value or any(not one.strip() or one != one.strip() for one in value))


def _year(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    return _if(not (len(value) == 4 and value.isascii() and value.isdigit() and value[0] != "0"))


def _moment(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    return _if(value != f"{value[:10]}T00:00:00.000Z")


def _word(table: str, out: str) -> Rule:
    def lost(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
        return _if(_and_back(value, table, out, codes) != value)

    return lost


def _and_back(value: str, table: str, out: str, codes: Crosswalks) -> str | None:
    """A code by way of our word for it."""
    there = codes.find(table, value.strip())
    back = codes.find(out, there.target) if there and there.target else None
    return (back.target or None) if back else None


def _words(table: str, out: str) -> Rule:
    def lost(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
        return _if(
            not value or len(set(value)) < len(value) or any(_and_back(v, table, out, codes) != v for v in value)
        )

    return lost


def _grades(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    found = [codes.find("grade", one.strip()) for one in value]
    return _if(not value or [row.target if row else None for row in found] != value or len(set(value)) < len(value))


def _ref(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    yield "/href" if value["sourcedId"] else ""


def _refs(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    ids = [one["sourcedId"] for one in value]
    if not all(ids) or not ids or len(set(ids)) < len(ids):
        yield ""
    else:
        yield from (f"/{n}/href" for n in range(len(ids)))


def _agents(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    words = {_role_word(role, codes) for role in record["roles"]}
    yield from _refs(value, record, codes) if "student" in words else ("",)


def _role_word(role: Record, codes: Crosswalks) -> str | None:
    row = codes.find("role", role["role"].strip())
    return (row.target or None) if row else None


def _roles(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    """A role whose code has no word is lost; a repeated one is there once; a profile is never kept."""
    nowhere = [n for n, role in enumerate(value) if _role_word(role, codes) and not role["org"]["sourcedId"]]
    if nowhere:
        yield f"/{nowhere[0]}/org"
        return
    seen = []
    for role in value:
        back = _and_back(role["role"], "role", "out_role", codes)
        said = {name: role.get(name) for name in ("roleType", "role", "beginDate", "endDate")}
        said["org"] = role["org"]["sourcedId"]
        if back != role["role"] or said in seen:
            yield ""
            return
        seen.append(said)
    for n, role in enumerate(value):
        yield f"/{n}/org/href"
        if "userProfile" in role:
            yield f"/{n}/userProfile"


def _own_id(name: str) -> Rule:
    def lost(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
        return _if(_numbers(record)[0].get(name) != value)

    return lost


def _user_ids(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    """An id of a type that is the name of a field stands in that field, where nothing else does."""
    _, others = _numbers(record)
    return _if(not value or [(one["type"], one["identifier"]) for one in value] != others)


def _numbers(record: Record) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The person's numbers as they come back: those with a field of their own, and the others."""
    stated = [(name, record.get(name, "")) for name in ("identifier", "userMasterIdentifier")]
    stated += [(one["type"].strip() or "userIds", one["identifier"]) for one in record.get("userIds", ())]
    kept = dict.fromkeys(
        (system, value.strip())
        for system, value in stated
        if value.strip() and "".join(filter(str.isalpha, system.casefold())) not in NEVER_KEPT
    )
    own: dict[str, str] = {}
    others = []
    for system, value in kept:
        if system in ("identifier", "userMasterIdentifier") and system not in own:
            own[system] = value
        else:
            others.append((system, value))
    return own, others


def _true_only(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    return _if(value != "true")


def _primary(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    row = codes.find("enrollment_role", record["role"].strip())
    return _if(value == "true" and row is not None and row.target == "student")


def _scale_values(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    sides = [(one["itemValueLHS"], one["itemValueRHS"]) for one in value]
    return _if(any(not left.strip() or left != left.strip() or right != right.strip() for left, right in sides))


def _objectives(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    """Objectives of one source come back together, each once."""
    sources = [one["source"] for one in value]
    ids = [(one["source"], id) for one in value for id in one["learningObjectiveIds"]]
    return _if(_regrouped(sources, ids) or len(set(ids)) < len(ids))


def _objective_results(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    sources = [one["source"] for one in value]
    results = [(one["source"], result) for one in value for result in one["learningObjectiveResults"]]
    ids = [(source, result["learningObjectiveId"]) for source, result in results]
    words = [result["textScore"] for _, result in results if "textScore" in result]
    twice = any(one in results[:n] for n, one in enumerate(results))
    return _if(_regrouped(sources, ids) or twice or any(not word or word != word.strip() for word in words))


def _regrouped(sources: list[str], ids: list[tuple[str, str]]) -> bool:
    texts = [*sources, *(id for _, id in ids)]
    return not sources or len(set(sources)) < len(sources) or any(not one or one != one.strip() for one in texts)


def _metadata_but_purpose(value: Any, record: Record, codes: Crosswalks) -> Iterator[str]:
    stated = value.get("purpose")
    row = None if stated is None else codes.find("assessment_purpose", str(stated).strip())
    return _if(not row or value != {"purpose": row.target})


_METADATA = _dropped("It may hold anything about a person; only what a district reads by name is kept.")
_FREE = _unused("The standard does not say what it means; it stays in the stored record.")
_BASE = {
    "sourcedId": _kept(_empty),
    "status": _kept(_nothing),
    "dateLastModified": Fate("partly", _all, "It becomes the time of publication here."),
}
_TEXT, _TEXTS, _REF, _REFS, _SAME = (_kept(rule) for rule in (_text, _texts, _ref, _refs, _nothing))
_CODE = "A code that the crosswalk does not know, such as an ext: of the vendor's own, is counted and left out."
_GRADES = _kept(_grades, "Grades become CEDS codes.")
_CHILDREN = _unused("It is written from the parents that the other records name.")
_OBJECTIVES = _kept(_objectives, "Those of one source come back together, each once.")
_RESULTS = _kept(_objective_results, "Those of one source come back together, each once.")
_TIME = _kept(_moment, "The day is kept, the time of day is not.")
_BIRTH = _dropped("Planning never needs it.")
_PROFILES = _dropped("Profiles and credentials are never kept.")
_RACE = _kept(_true_only, "That a race is not the person's is not told from its not being stated.")


def _code(table: str, out: str = "") -> Fate:
    return _kept(_word(table, out or f"out_{table}"), _CODE)


_STATUS = _code("score_status")
_FLAGS = dict.fromkeys(("inProgress", "incomplete", "late", "missing"), _SAME)

FATES: dict[str, dict[str, Fate]] = {
    "orgs": _BASE
    | {
        "metadata": _FREE,
        "name": _TEXT,
        "type": _code("org_type"),
        "identifier": _TEXT,
        "parent": _REF,
        "children": _CHILDREN,
    },
    "academicSessions": _BASE
    | {
        "metadata": _FREE,
        "title": _TEXT,
        "startDate": _SAME,
        "endDate": _SAME,
        "type": _code("session_type"),
        "parent": _REF,
        "children": _CHILDREN,
        "schoolYear": _kept(_year),
    },
    "resources": _BASE
    | {
        "metadata": _FREE,
        "title": _TEXT,
        "roles": _kept(_words("role", "out_resource_role"), _CODE),
        "importance": _code("resource_importance"),
        "vendorResourceId": _TEXT,
        "vendorId": _TEXT,
        "applicationId": _TEXT,
    },
    "courses": _BASE
    | {
        "metadata": _FREE,
        "title": _TEXT,
        "schoolYear": _REF,
        "courseCode": _TEXT,
        "grades": _GRADES,
        "subjects": _TEXTS,
        "org": _REF,
        "subjectCodes": _TEXTS,
        "resources": _REFS,
    },
    "classes": _BASE
    | {
        "metadata": _FREE,
        "title": _TEXT,
        "classCode": _TEXT,
        "classType": _code("class_type"),
        "location": _TEXT,
        "grades": _GRADES,
        "subjects": _TEXTS,
        "course": _REF,
        "school": _REF,
        "terms": _REFS,
        "subjectCodes": _TEXTS,
        "periods": _TEXTS,
        "resources": _REFS,
    },
    "users": _BASE
    | {
        "metadata": _METADATA,
        "userMasterIdentifier": _kept(_own_id("userMasterIdentifier")),
        "username": _TEXT,
        "userIds": _kept(_user_ids, "Social security numbers are dropped; each number is there once."),
        "enabledUser": _SAME,
        "givenName": _TEXT,
        "familyName": _TEXT,
        "middleName": _TEXT,
        "preferredFirstName": _TEXT,
        "preferredMiddleName": _TEXT,
        "preferredLastName": _TEXT,
        "pronouns": _TEXT,
        "roles": _kept(_roles, f"{_CODE} userProfile is dropped."),
        "userProfiles": _PROFILES,
        "primaryOrg": _REF,
        "identifier": _kept(_own_id("identifier")),
        "email": _TEXT,
        "sms": _TEXT,
        "phone": _TEXT,
        "agents": _kept(_agents, "Only a student's: they become contacts of unknown relation."),
        "grades": _GRADES,
        "password": _dropped("Passwords are never kept."),
        "resources": _REFS,
    },
    "demographics": _BASE
    | {
        "metadata": _METADATA,
        "birthDate": _SAME,
        "sex": _code("sex"),
        **dict.fromkeys(RACES, _RACE),
        "hispanicOrLatinoEthnicity": _SAME,
        "countryOfBirthCode": _BIRTH,
        "stateOfBirthAbbreviation": _BIRTH,
        "cityOfBirth": _BIRTH,
        "publicSchoolResidenceStatus": _BIRTH,
    },
    "enrollments": _BASE
    | {
        "metadata": _METADATA,
        "user": _REF,
        "class": _REF,
        "school": _REF,
        "role": _kept(
            _word("enrollment_role", "out_enrollment_role"),
            "A role that the crosswalk does not know sets the record aside.",
        ),
        "primary": _kept(_primary, "It says which of several teachers leads; true is not kept of a student."),
        "beginDate": _SAME,
        "endDate": _SAME,
    },
    "categories": _BASE | {"metadata": _FREE, "title": _TEXT, "weight": _SAME},
    "scoreScales": _BASE
    | {
        "metadata": _FREE,
        "title": _TEXT,
        "type": _TEXT,
        "course": _REF,
        "class": _REF,
        "scoreScaleValue": _kept(_scale_values),
    },
    "lineItems": _BASE
    | {
        "metadata": _FREE,
        "title": _TEXT,
        "description": _TEXT,
        "assignDate": _TIME,
        "dueDate": _TIME,
        "class": _REF,
        "school": _REF,
        "category": _REF,
        "gradingPeriod": _REF,
        "academicSession": _REF,
        "scoreScale": _REF,
        "resultValueMin": _SAME,
        "resultValueMax": _SAME,
        "learningObjectiveSet": _OBJECTIVES,
    },
    "results": _BASE
    | {
        "metadata": _METADATA,
        "lineItem": _REF,
        "student": _REF,
        "class": _REF,
        "scoreScale": _REF,
        "scoreStatus": _STATUS,
        "score": _SAME,
        "textScore": _TEXT,
        "scoreDate": _SAME,
        "comment": _TEXT,
        "learningObjectiveSet": _RESULTS,
        **_FLAGS,
    },
    "assessmentLineItems": _BASE
    | {
        "metadata": _kept(_metadata_but_purpose, "Only its purpose is read: what the assessment is for."),
        "title": _TEXT,
        "description": _TEXT,
        "class": _REF,
        "parentAssessmentLineItem": _REF,
        "scoreScale": _REF,
        "resultValueMin": _SAME,
        "resultValueMax": _SAME,
        "learningObjectiveSet": _OBJECTIVES,
    },
    "assessmentResults": _BASE
    | {
        "metadata": _METADATA,
        "assessmentLineItem": _REF,
        "student": _REF,
        "score": _SAME,
        "textScore": _TEXT,
        "scoreDate": _SAME,
        "scoreScale": _REF,
        "scorePercentile": _SAME,
        "scoreStatus": _STATUS,
        "comment": _TEXT,
        "learningObjectiveSet": _RESULTS,
        **_FLAGS,
    },
}
"""Every field of every model of the three 1.2 services."""
