"""Which records of OneRoster's rostering and resources services an entity of the roster makes."""

from gateway.schema.roster import AT_HOME
from mappings.oneroster.cells import (
    Entity,
    Gap,
    Row,
    Shape,
    Write,
    always,
    boolean,
    children,
    code,
    either,
    flag,
    ref,
    refs,
    school_of_class,
    told,
    word,
    words,
)
from mappings.oneroster.roster import RACES

_NO_RACE = "OneRoster has no field for this race."


def _identifier(system: str) -> Write:
    """The first number of that name; further ones stand in userIds."""

    def write(entity: Entity) -> str | None:
        stated = entity.values.get("identifiers", ())
        return next((one["value"] for one in stated if one["system"] == system), None)

    return write


def _user_ids(entity: Entity) -> list[Row]:
    own = {"identifier", "userMasterIdentifier"}
    found = []
    stated = entity.values.get("identifiers", ())
    if any("assigned_by" in one for one in stated):
        entity.lose("identifiers", "OneRoster has no place for who gave a number.")
    for one in stated:
        if one["system"] in own:
            own.discard(one["system"])
        else:
            found.append({"type": one["system"], "identifier": one["value"]})
    return found


def _roles(entity: Entity) -> list[Row]:
    """The roles. The standard wants each called primary or secondary: where that is not told, the first at an
    organization is primary."""
    stated = entity.values.get("roles", ())
    led = {role["organization"] for role in stated if role.get("primary")}
    found = []
    for n, role in enumerate(stated):
        name = code(entity, "out_role", role["role"])
        if name is None:
            entity.lose(f"roles/{n}", "The crosswalk out_role has no code for it.")
            continue
        if "primary" not in role:
            entity.gaps.append(Gap("users", "roles/roleType", filled=True))
        primary = role.get("primary", role["organization"] not in led)
        if primary:
            led.add(role["organization"])
        row: Row = {"roleType": "primary" if primary else "secondary", "role": name}
        row |= {"org": entity.link("orgs", role["organization"])}
        row |= {
            theirs: role[ours] for theirs, ours in (("beginDate", "begin_on"), ("endDate", "end_on")) if ours in role
        }
        found.append(row)
    return found


def _agents(entity: Entity) -> list[Row]:
    contacts = entity.beside.contacts(entity.id) if entity.values.get("population") == "student" else ()
    return [entity.link("users", contact) for contact in contacts]


def _race(race: str) -> Write:
    """That a race is not stated does not say that it is none of the person's, so false is never written."""
    return lambda entity: "true" if race in entity.values.get("races", ()) else None


def _hispanic(entity: Entity) -> str | None:
    for n, race in enumerate(entity.values.get("races", ())):
        if race not in RACES.values() and race != "hispanic_or_latino":
            entity.lose(f"races/{n}", _NO_RACE)
    stated = entity.values.get("hispanic")
    return boolean(True if stated is None and "hispanic_or_latino" in entity.values.get("races", ()) else stated)


SHAPES: dict[str, tuple[Shape, ...]] = {
    "organization": (
        Shape(
            "orgs",
            {
                "name": told("name"),
                "type": word("type", "out_org_type"),
                "identifier": told("identifier"),
                "parent": ref("parent", "orgs"),
                "children": children("orgs"),
            },
            required=("name", "type", "identifier"),
        ),
    ),
    "session": (
        Shape(
            "academicSessions",
            {
                "title": told("title"),
                "startDate": told("begin_on"),
                "endDate": told("end_on"),
                "type": word("type", "out_session_type"),
                "parent": ref("parent", "academicSessions"),
                "children": children("academicSessions"),
                "schoolYear": lambda entity: str(entity.values.get("school_year", "")),
            },
            required=("title", "startDate", "endDate", "type", "schoolYear"),
        ),
    ),
    "resource": (
        Shape(
            "resources",
            {
                "title": told("title"),
                "roles": words("roles", "out_resource_role"),
                "importance": word("importance", "out_resource_importance"),
                "vendorResourceId": told("vendor_resource_id"),
                "vendorId": told("vendor"),
                "applicationId": told("application"),
            },
            required=("vendorResourceId",),
        ),
    ),
    "course": (
        Shape(
            "courses",
            {
                "title": told("title"),
                "schoolYear": ref("session", "academicSessions"),
                "courseCode": told("code"),
                "grades": told("grades"),
                "subjects": told("subjects"),
                "org": ref("organization", "orgs"),
                "subjectCodes": told("subject_codes"),
                "resources": refs("resources", "resources"),
            },
            required=("title", "courseCode"),
        ),
    ),
    "class": (
        Shape(
            "classes",
            {
                "title": told("title"),
                "classCode": told("code"),
                "classType": word("type", "out_class_type"),
                "location": told("location"),
                "grades": told("grades"),
                "subjects": told("subjects"),
                "course": ref("course", "courses"),
                "school": ref("school", "orgs"),
                "terms": refs("sessions", "academicSessions"),
                "subjectCodes": told("subject_codes"),
                "periods": told("periods"),
                "resources": refs("resources", "resources"),
            },
            required=("title", "course", "school", "terms"),
        ),
    ),
    "person": (
        Shape(
            "users",
            {
                "userMasterIdentifier": _identifier("userMasterIdentifier"),
                "username": told("username"),
                "userIds": _user_ids,
                "enabledUser": flag("active"),
                "givenName": told("given_name"),
                "familyName": told("family_name"),
                "middleName": told("middle_name"),
                "preferredFirstName": told("preferred_given_name"),
                "preferredMiddleName": told("preferred_middle_name"),
                "preferredLastName": told("preferred_family_name"),
                "pronouns": told("pronouns"),
                "roles": _roles,
                "primaryOrg": ref("primary_organization", "orgs"),
                "identifier": _identifier("identifier"),
                "email": told("email"),
                "sms": told("sms"),
                "phone": told("phone"),
                "agents": _agents,
                "grades": told("grades"),
                "resources": refs("resources", "resources"),
            },
            required=("enabledUser", "givenName", "familyName", "roles"),
            # Who is in the roster may sign in, as far as anybody says.
            placeholders={"enabledUser": always("true")},
        ),
        Shape(
            "demographics",
            {
                "birthDate": told("birth_date"),
                "sex": word("sex", "out_sex"),
                **{name: _race(race) for name, race in RACES.items()},
                "hispanicOrLatinoEthnicity": _hispanic,
            },
            optional=True,
        ),
    ),
    "enrollment": (
        Shape(
            "enrollments",
            {
                "user": ref("person", "users"),
                "class": ref("class", "classes"),
                "school": either(ref("school", "orgs"), school_of_class),
                "role": word("role", "out_enrollment_role"),
                "primary": flag("primary"),
                "beginDate": told("begin_on"),
                "endDate": told("end_on"),
            },
            required=("user", "class", "school", "role"),
        ),
    ),
    "relationship": (),
    "program_status": (),
}

_NO_RELATION = "OneRoster says who is a student's contact, and nothing of how."
_NO_HOME = "OneRoster does not say what a student has at home to learn with."
_NO_STATUS = "OneRoster has no place for what a student needs."
NOWHERE: dict[str, dict[str, str]] = {
    "organization": {"grades": "OneRoster does not say which grades an organization teaches."},
    "session": {"school": "A session of OneRoster belongs to no school."},
    "person": {"languages": "OneRoster has no languages.", **dict.fromkeys(AT_HOME, _NO_HOME)},
    "relationship": dict.fromkeys(
        (
            "relation",
            "legal_guardian",
            "education_rights",
            "restrictions",
            "lives_with",
            "emergency",
            "primary",
            "priority",
        ),
        _NO_RELATION,
    ),
    "program_status": dict.fromkeys(
        ("student", "status", "organization", "code", "program", "begin_on", "end_on"), _NO_STATUS
    ),
}
"""Of each kind, the fields that no record has a place for, and why."""
