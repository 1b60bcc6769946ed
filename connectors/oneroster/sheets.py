"""Which lines of which files a OneRoster record makes in a CSV package, written as strictly as the standard asks."""

import math
import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import date
from functools import cache
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from connectors.oneroster.catalogue import Version

Record = Mapping[str, Any]
What = Literal["lost", "changed", "filled", "left out", "withheld"]

# Columns in their order, after sourcedId, status and dateLastModified. With a star: no line may be without.
# OneRoster 1.2 CSV binding 1.2.1
_NEW = {
    "academicSessions": "title* type* startDate* endDate* parentSourcedId schoolYear*",
    "categories": "title* weight",
    "classes": "title* grades courseSourcedId* classCode classType* location schoolSourcedId* termSourcedIds* subjects"
    " subjectCodes periods",
    "classResources": "title classSourcedId* resourceSourcedId*",
    "courseResources": "title courseSourcedId* resourceSourcedId*",
    "courses": "schoolYearSourcedId title* courseCode grades orgSourcedId* subjects subjectCodes",
    "demographics": "birthDate sex americanIndianOrAlaskaNative asian blackOrAfricanAmerican"
    " nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces hispanicOrLatinoEthnicity"
    " countryOfBirthCode stateOfBirthAbbreviation cityOfBirth publicSchoolResidenceStatus",
    "enrollments": "classSourcedId* schoolSourcedId* userSourcedId* role* primary beginDate endDate",
    "lineItemLearningObjectiveIds": "lineItemSourcedId* source* learningObjectiveId*",
    "lineItems": "title* description assignDate* dueDate* classSourcedId* categorySourcedId* academicSessionSourcedId*"
    " resultValueMin* resultValueMax* schoolSourcedId*",
    "lineItemScoreScales": "title lineItemSourcedId* scoreScaleSourcedId*",
    "orgs": "name* type* identifier parentSourcedId",
    "resources": "vendorResourceId* title roles importance vendorId applicationId",
    "resultLearningObjectiveIds": "resultSourcedId* source* learningObjectiveId* score textScore",
    "results": "lineItemSourcedId* studentSourcedId* scoreStatus* score scoreDate* comment textScore classSourcedId"
    " inProgress incomplete late missing",
    "resultScoreScales": "title resultSourcedId* scoreScaleSourcedId*",
    "roles": "userSourcedId* roleType* role* beginDate endDate orgSourcedId* userProfileSourcedId",
    "scoreScales": "title* type* orgSourcedId* courseSourcedId* classSourcedId* scoreScaleValue*",
    "userProfiles": "userSourcedId* profileType* vendorId* applicationId description credentialType* username*"
    " password",
    "userResources": "userSourcedId* orgSourcedId classSourcedId resourceSourcedId*",
    "users": "enabledUser* username* userIds givenName* familyName* middleName identifier email sms phone"
    " agentSourcedIds grades password userMasterIdentifier preferredGivenName preferredMiddleName preferredFamilyName"
    " primaryOrgSourcedId pronouns",
}
# OneRoster 1.1 CSV
_OLD_ONLY = {
    "categories": "title*",
    "lineItems": "title* description assignDate* dueDate* classSourcedId* categorySourcedId* gradingPeriodSourcedId*"
    " resultValueMin* resultValueMax*",
    "results": "lineItemSourcedId* studentSourcedId* scoreStatus* score* scoreDate* comment",
    "users": "enabledUser* orgSourcedIds* role* username* userIds givenName* familyName* middleName identifier email"
    " sms phone agentSourcedIds grades password",
}
_BEGUN_WITH_NEW = ("lineItemLearningObjectiveIds", "lineItemScoreScales", "resultLearningObjectiveIds",
                   "resultScoreScales", "roles", "scoreScales", "userProfiles", "userResources")  # fmt: skip

FILES: Mapping[Version, Mapping[str, str]] = {
    "1.1": {name: _OLD_ONLY.get(name, columns) for name, columns in _NEW.items() if name not in _BEGUN_WITH_NEW},
    "1.2": _NEW,
}
BASE = ("sourcedId", "status", "dateLastModified")


class Line(NamedTuple):
    """One line of a file: `cells` stand behind the three columns that every file begins with."""

    file: str
    id: str
    cells: tuple[str, ...]


class Note(NamedTuple):
    """How a line differs from what is known: something is lost, changed, filled in, withheld, or the whole line left
    out. `of` is a file or a kind of entity, `field` a column or a field that no column has."""

    of: str
    field: str
    what: What
    reason: str


def header(version: Version, file: str) -> list[str]:
    """The first line of a file."""
    return [*BASE, *(name for name, _ in _columns(version, file))]


def lines(
    version: Version, collection: str, record: Record, absent: Container[str] = frozenset()
) -> tuple[list[Line], list[Note]]:
    """The lines that a record of the 1.2 REST shape makes, its own first, and what they do not say of it.

    Without its own line there is none. `absent` holds the ids that are in no file: nothing may refer to them.
    """
    notes: list[Note] = []
    if collection not in FILES[version]:
        return [], [Note(collection, "", "left out", f"OneRoster {version} CSV has no file for it")]
    if version == "1.1" and collection == "users":
        record = _with_one_role(record, notes)
    made = _line(version, collection, record["sourcedId"], record, absent, notes)
    if made is None:
        return [], notes
    found = [made]
    for file, id, part in _parts(version, collection, record, notes):
        line = _line(version, file, id, part, absent, notes)
        if line is not None:
            found.append(line)
    if collection == "users" and version == "1.2" and not any(line.file == "roles" for line in found):
        notes.append(Note("users", "roles", "left out", "a person needs a role at an organization"))
        return [], notes
    return found, notes


def _line(
    version: Version, file: str, id: str, record: Record, absent: Container[str], notes: list[Note]
) -> Line | None:
    """One line, or None where a cell would be empty that may not be."""
    if not _ID.fullmatch(id):
        notes.append(Note(file, "sourcedId", "left out", "its id has signs that the standard does not allow"))
        return None
    cells = []
    held = {*BASE, "metadata", "children", *_APART.get(file, ())}
    for column, required in _columns(version, file):
        key = _key(column, record)
        held.add(key)
        if column in _FIELDS and key != _FIELDS[column][0]:
            notes.append(Note(file, key, "changed", f"OneRoster {version} CSV has one column for both, {column}"))
        cell = _cell(version, file, column, record.get(key), absent, notes)
        if not cell and (fill := _FILLED.get((file, column))) and required:
            cell = fill(record)
            notes.append(Note(file, column, "filled", "nothing is known, and it may not be empty"))
        if required and not cell:
            why = "it refers to what is left out" if record.get(key) and "Sourced" in column else "it may not be empty"
            notes.append(Note(file, column, "left out", why))
            return None
        cells.append(cell)
    for key in sorted(record.keys() - held):
        notes.append(Note(file, key, "lost", f"OneRoster {version} CSV has no column for it"))
    for key in sorted(record.get("metadata") or ()):
        notes.append(Note(file, f"metadata.{key}", "lost", "metadata is not written"))
    return Line(file, id, tuple(cells))


@cache
def _columns(version: Version, file: str) -> tuple[tuple[str, bool], ...]:
    """The columns, and whether a line needs them."""
    return tuple((column.rstrip("*"), column.endswith("*")) for column in FILES[version][file].split())


# Where a column and the field of the REST model have different names; the first that is there is taken.
_FIELDS = {
    "preferredGivenName": ("preferredFirstName",),
    "preferredFamilyName": ("preferredLastName",),
    "academicSessionSourcedId": ("academicSession", "gradingPeriod"),
    "gradingPeriodSourcedId": ("gradingPeriod", "academicSession"),
}
# What of a record stands in lines of its own.
_APART = {
    "users": ("roles", "resources"),
    "classes": ("resources",),
    "courses": ("resources",),
    "lineItems": ("scoreScale", "learningObjectiveSet"),
    "results": ("scoreScale", "learningObjectiveSet"),
}
_FILLED: Mapping[tuple[str, str], Callable[[Record], str]] = {
    ("users", "username"): lambda record: str(record["sourcedId"]),
    ("classes", "classType"): lambda record: "scheduled",
}


def _key(column: str, record: Record) -> str:
    """The field of the REST model that a column holds."""
    if column in _FIELDS:
        names = _FIELDS[column]
        return next((name for name in names if record.get(name)), names[0])
    if column.endswith("SourcedIds"):
        return f"{column.removesuffix('SourcedIds')}s"
    return column.removesuffix("SourcedId")


def _cell(version: Version, file: str, column: str, value: Any, absent: Container[str], notes: list[Note]) -> str:
    """What stands in a cell; empty where there is nothing, or nothing that may stand there."""
    if value is None or value == "" or value == []:
        return ""
    if column.endswith("SourcedIds"):
        return _list(file, column, _present(file, column, value, absent, notes), notes)
    if column.endswith("SourcedId"):
        return "".join(_present(file, column, [value], absent, notes))
    if column in ("userIds", "scoreScaleValue"):
        return _pairs(file, column, value, notes)
    if isinstance(value, list):
        return _list(file, column, value, notes)
    said = _clean(file, column, value, notes)
    if column in ("assignDate", "dueDate"):  # OneRoster 1.2: a day in CSV, an instant in JSON
        said = said[:10]
    allowed = _allowed(version, file, column, said)
    if allowed is None:
        notes.append(Note(file, column, "lost", "the standard does not allow what is known"))
        return ""
    if allowed != said:
        notes.append(Note(file, column, "changed", f"OneRoster {version} has no word of its own for it"))
    return allowed


def _present(
    file: str, column: str, references: Iterable[Record], absent: Container[str], notes: list[Note]
) -> list[str]:
    """The ids that references name, of those that are in the package."""
    found = []
    for reference in references:
        id = reference["sourcedId"]
        if id in absent:
            notes.append(Note(file, column, "lost", "it refers to what is left out"))
        else:
            found.append(id)
    return found


def _pairs(file: str, column: str, value: Iterable[Record], notes: list[Note]) -> str:
    """`{type:identifier},{type:identifier}`. # OneRoster 1.2 CSV: userIds, scoreScaleValue"""
    first, second = ("type", "identifier") if column == "userIds" else ("itemValueLHS", "itemValueRHS")
    made = []
    for pair in value:
        left = _clean(file, column, pair.get(first, ""), notes).strip()
        right = _clean(file, column, pair.get(second, ""), notes).strip()
        if not left or not right or re.search("[{}:]", left) or re.search("[{}]", right):
            notes.append(Note(file, column, "lost", "a brace or colon in it cannot be told from those around it"))
        else:
            made.append(f"{{{left}:{right}}}")
    return ",".join(made)


def _list(file: str, column: str, items: Iterable[Any], notes: list[Note]) -> str:
    """Items with commas between them, so none may have one in it."""
    made = []
    for item in items:
        said = _clean(file, column, item, notes).strip()
        if "," in said:
            notes.append(Note(file, column, "changed", "a comma would end the item, so it is a semicolon"))
            said = said.replace(",", ";")
        if said:
            made.append(said)
    return ",".join(made)


def _clean(file: str, column: str, value: Any, notes: list[Note]) -> str:
    """A value as the text of a cell, in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    said = str(value)
    if said.isprintable():  # nearly always
        return said
    kept = "".join(" " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign for sign in said)
    if kept != said:
        notes.append(Note(file, column, "changed", "a line break or another control sign became a blank"))
    return kept


_ID = re.compile(r"[0-9A-Za-z./@_-]{1,255}")
_EXTENDED = re.compile(r"ext:[a-zA-Z0-9.\-_]+")
_DAYS = ("startDate", "endDate", "beginDate", "birthDate", "assignDate", "dueDate", "scoreDate")
_NUMBERS = ("weight", "resultValueMin", "resultValueMax", "score")
_FLAGS = ("enabledUser", "primary", "inProgress", "incomplete", "late", "missing", "americanIndianOrAlaskaNative",
          "asian", "blackOrAfricanAmerican", "nativeHawaiianOrOtherPacificIslander", "white",
          "demographicRaceTwoOrMoreRaces", "hispanicOrLatinoEthnicity")  # fmt: skip
# The lists of both versions, and what is another in one of them. 1.2 lets everybody add words that begin with ext:.
_WORDS = {
    ("academicSessions", "type"): "gradingPeriod|semester|schoolYear|term",
    ("classes", "classType"): "homeroom|scheduled",
    ("demographics", "sex"): "male|female|other|unspecified",
    ("enrollments", "role"): "administrator|proctor|student|teacher",
    ("orgs", "type"): "department|district|local|national|school|state",
    ("resources", "importance"): "primary|secondary",
    ("results", "scoreStatus"): "exempt|fully graded|not submitted|partially graded|submitted",
    ("roles", "roleType"): "primary|secondary",
    ("roles", "role"): "aide|counselor|districtAdministrator|guardian|parent|principal|proctor|relative"
    "|siteAdministrator|student|systemAdministrator|teacher",
}
_OLD_WORDS = _WORDS | {
    ("demographics", "sex"): "male|female",
    ("users", "role"): "administrator|aide|guardian|parent|proctor|relative|student|teacher",
}
_CLOSED = {("resources", "importance"), ("roles", "roleType")}
# OneRoster 1.2 splits 1.1's administrator into these
_SPLIT = ("counselor", "districtAdministrator", "principal", "siteAdministrator", "systemAdministrator")


def _allowed(version: Version, file: str, column: str, said: str) -> str | None:
    """The value as it may stand in the column; None where it may not."""
    if column in _DAYS:
        return said if _is_day(said) else None
    if column in _NUMBERS:
        return said if _is_number(said) else None
    if column in _FLAGS:
        return said if said in ("true", "false") else None
    if column == "schoolYear":
        return said if re.fullmatch("[0-9]{4}", said) else None
    words = (_OLD_WORDS if version == "1.1" else _WORDS).get((file, column))
    if words is None or said in words.split("|"):
        return said
    if version == "1.1":
        return "administrator" if file == "users" and said in _SPLIT else None
    return said if (file, column) not in _CLOSED and _EXTENDED.fullmatch(said) else None


def _is_day(said: str) -> bool:
    try:
        return bool(date.fromisoformat(said)) and len(said) == len("2026-08-17")
    except ValueError:
        return False


def _is_number(said: str) -> bool:
    try:
        return math.isfinite(float(said)) and said.isascii() and "_" not in said
    except ValueError:
        return False


def _with_one_role(record: Record, notes: list[Note]) -> Record:
    """A user as 1.1 has it: one role, at every org at which it is held. Any other role is lost."""
    roles = sorted(record.get("roles") or (), key=_weight)
    if not roles:
        return record
    main = roles[0]["role"]
    same = [role for role in roles if role["role"] == main]
    if len(same) < len(roles):
        notes.append(Note("users", "roles", "lost", "OneRoster 1.1 has one role for a person"))
    if any("beginDate" in role or "endDate" in role for role in same):
        notes.append(Note("users", "roles", "lost", "OneRoster 1.1 CSV has no column for when"))
    orgs = {role["org"]["sourcedId"]: role["org"] for role in same}
    return {**record, "role": main.removeprefix("ext:"), "orgs": list(orgs.values())}


def _weight(role: Record) -> tuple[int, bool]:
    """What a person is first of all: a student, then whatever is no family, then what is called primary."""
    kin = role["role"] in ("guardian", "parent", "relative")
    return (0 if role["role"] == "student" else 2 if kin else 1), role.get("roleType") != "primary"


def _parts(version: Version, collection: str, record: Record, notes: list[Note]) -> Iterator[tuple[str, str, Record]]:
    """What of a record stands in files of its own: file, id, its fields."""
    for file, known_by, part in _parts_of_any(collection, record):
        if file in FILES[version]:
            yield file, f"{record['sourcedId']}-{_digest(*known_by)}", part
        elif file != "roles":  # which 1.1 has with the user
            notes.append(Note(collection, file, "lost", f"OneRoster {version} CSV has no such file"))


def _parts_of_any(collection: str, record: Record) -> Iterator[tuple[str, tuple[str, ...], Record]]:
    own = {"sourcedId": record["sourcedId"]}
    one = {"users": "user", "classes": "class", "courses": "course", "lineItems": "lineItem", "results": "result"}
    if collection not in one:
        return
    name = one[collection]
    seen: list[tuple[str, str]] = []
    for role in record.get("roles") or () if collection == "users" else ():
        held = (role["role"], role["org"]["sourcedId"])
        seen.append(held)
        # The same role at the same place, twice at different times.
        yield "roles", (*held, str(seen.count(held))), {**role, "user": own}
    for resource in record.get("resources") or ():
        yield f"{name}Resources", (resource["sourcedId"],), {name: own, "resource": resource}
    if scale := record.get("scoreScale"):
        yield f"{name}ScoreScales", (scale["sourcedId"],), {name: own, "scoreScale": scale}
    for objectives in record.get("learningObjectiveSet") or ():
        source = objectives["source"]
        stated = objectives.get("learningObjectiveResults") or [
            {"learningObjectiveId": id} for id in objectives.get("learningObjectiveIds") or ()
        ]
        for one_of in stated:
            known_by = (source, one_of["learningObjectiveId"])
            yield f"{name}LearningObjectiveIds", known_by, {name: own, "source": source, **one_of}


def _digest(*parts: str) -> str:
    """What tells a line from its neighbours, stable and of the signs that an id may have."""
    return blake2b("\x1f".join(parts).encode(), digest_size=8).hexdigest()
