"""What OneRoster's organizations, sessions, courses, classes, people and enrollments state."""

from collections.abc import Iterable, Iterator

from msgspec import UNSET, UnsetType

from connectors.oneroster import models as wire
from gateway.errors import RecordError
from gateway.mapping import Claim, Crosswalks
from gateway.schema import roster
from mappings.oneroster.values import (
    code,
    day,
    flag,
    grades,
    reference,
    references,
    required_reference,
    required_text,
    text,
    texts,
    year,
)

# Who holds several roles is planned for as a student before anything else.
POPULATIONS = {
    "student": "student",
    "aide": "staff",
    "counselor": "staff",
    "principal": "staff",
    "proctor": "staff",
    "teacher": "staff",
    "administrator": "staff",
    "district_administrator": "staff",
    "site_administrator": "staff",
    "system_administrator": "staff",
    "guardian": "contact",
    "parent": "contact",
    "relative": "contact",
}
_FIRST = ("student", "staff", "contact")

RACES = {
    "americanIndianOrAlaskaNative": "american_indian_or_alaska_native",
    "asian": "asian",
    "blackOrAfricanAmerican": "black_or_african_american",
    "nativeHawaiianOrOtherPacificIslander": "native_hawaiian_or_other_pacific_islander",
    "white": "white",
    "demographicRaceTwoOrMoreRaces": "two_or_more_races",
}

NEVER_KEPT = ("ssn", "socialsecuritynumber")


def org(record: wire.Org, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "organization",
        record.sourcedId,
        roster.Organization(
            name=required_text(record.name, "name"),
            type=code("org_type", record.type, codes),
            identifier=text(record.identifier),
            parent=reference(record.parent, "parent"),
        ),
    )


def academic_session(record: wire.AcademicSession, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "session",
        record.sourcedId,
        roster.Session(
            title=required_text(record.title, "title"),
            type=code("session_type", record.type, codes),
            begin_on=day(record.startDate, "startDate"),
            end_on=day(record.endDate, "endDate"),
            school_year=year(record.schoolYear, "schoolYear"),
            parent=reference(record.parent, "parent"),
        ),
    )


def resource(record: wire.ResourceItem, codes: Crosswalks) -> Iterator[Claim]:
    stated = texts(record.roles) or texts(record.role) or ()
    words = [code("role", role, codes) for role in stated]
    yield Claim(
        "resource",
        record.sourcedId,
        roster.LearningResource(
            title=text(record.title),
            vendor_resource_id=required_text(record.vendorResourceId, "vendorResourceId"),
            vendor=text(record.vendorId),
            application=text(record.applicationId),
            importance=code("resource_importance", record.importance, codes),
            roles=list(dict.fromkeys(word for word in words if word is not UNSET)) or UNSET,
        ),
    )


def course(record: wire.Course, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "course",
        record.sourcedId,
        roster.Course(
            title=required_text(record.title, "title"),
            code=text(record.courseCode),
            organization=reference(record.org, "org"),
            session=reference(record.schoolYear, "schoolYear"),
            grades=grades(record.grades, codes),
            subjects=texts(record.subjects),
            subject_codes=texts(record.subjectCodes),
            resources=references(record.resources) or UNSET,
        ),
    )


def class_(record: wire.Class, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "class",
        record.sourcedId,
        roster.Class(
            title=required_text(record.title, "title"),
            code=text(record.classCode),
            type=code("class_type", record.classType, codes),
            location=text(record.location),
            course=required_reference(record.course, "course"),
            school=required_reference(record.school, "school"),
            sessions=references(record.terms) or UNSET,
            grades=grades(record.grades, codes),
            subjects=texts(record.subjects),
            subject_codes=texts(record.subjectCodes),
            periods=texts(record.periods),
            resources=references(record.resources) or UNSET,
        ),
    )


def user(record: wire.User, codes: Crosswalks) -> Iterator[Claim]:
    """The person; and, of a student, that each agent is a contact. How they are related is not said."""
    roles, population = _roles(record, codes)
    yield Claim(
        "person",
        record.sourcedId,
        roster.Person(
            population=population,
            given_name=required_text(record.givenName, "givenName"),
            middle_name=text(record.middleName),
            family_name=required_text(record.familyName, "familyName"),
            preferred_given_name=text(record.preferredFirstName),
            preferred_middle_name=text(record.preferredMiddleName),
            preferred_family_name=text(record.preferredLastName),
            pronouns=text(record.pronouns),
            active=flag(record.enabledUser, "enabledUser"),
            username=text(record.username),
            email=text(record.email),
            phone=text(record.phone),
            sms=text(record.sms),
            identifiers=_identifiers(record) or UNSET,
            roles=roles or UNSET,
            primary_organization=reference(record.primaryOrg, "primaryOrg"),
            grades=grades(record.grades, codes),
            resources=references(record.resources) or UNSET,
        ),
    )
    if population == "student":
        for agent in references(record.agents):
            yield Claim(
                "relationship",
                f"{record.sourcedId}|{agent}",
                roster.Relationship(student=record.sourcedId, contact=agent),
            )


def _roles(record: wire.User, codes: Crosswalks) -> tuple[list[roster.Role], str | UnsetType]:
    """The roles, and the population they put the person in: by `roles` (1.2), else `role` and `orgs` (1.1)."""
    if record.roles:
        stated = [(code("role", role.role, codes), role) for role in record.roles]
        return [_role(word, role) for word, role in stated if word is not UNSET], _population(w for w, _ in stated)
    word = code("role", record.role, codes)
    if word is UNSET:
        return [], UNSET
    return [roster.Role(word, org) for org in references(record.orgs)], _population([word])


def _role(word: str, role: wire.Role | wire.UserRole) -> roster.Role:
    kind = (role.roleType or "").strip().casefold()
    return roster.Role(
        word,
        required_reference(role.org, "org"),
        primary=kind == "primary" if kind else UNSET,
        begin_on=day(role.beginDate, "beginDate"),
        end_on=day(role.endDate, "endDate"),
    )


def _population(words: Iterable[str | UnsetType]) -> str | UnsetType:
    found = {POPULATIONS.get(word) for word in words if word is not UNSET}
    return next((population for population in _FIRST if population in found), UNSET)


def _identifiers(record: wire.User) -> list[roster.Identifier]:
    """Every number of the person. An id whose type is not said goes by the name of the field it stands in."""
    if isinstance(record.userIds, str) and record.userIds.strip():
        raise RecordError("bad-user-ids", "userIds does not have the form {type:id},{type:id}.", field="userIds")
    stated = [("identifier", text(record.identifier)), ("userMasterIdentifier", text(record.userMasterIdentifier))]
    if not isinstance(record.userIds, str):
        stated += [((id.type or "").strip() or "userIds", text(id.identifier)) for id in record.userIds or ()]
    kept = [
        roster.Identifier(system, value)
        for system, value in stated
        if value is not UNSET and "".join(filter(str.isalpha, system.casefold())) not in NEVER_KEPT
    ]
    return list(dict.fromkeys(kept))


def user_role(record: wire.UserRole, codes: Crosswalks) -> Iterator[Claim]:
    """One role of a person. Of several lines the one that counts for the population has the lowest rank."""
    person = required_reference(record.user, "user")
    word = code("role", record.role, codes)
    if word is UNSET:
        return
    population = _population([word])
    yield Claim(
        "person",
        person,
        roster.Person(population=population, roles=[_role(word, record)]),
        anchor=False,
        rank=1 + (len(_FIRST) if population is UNSET else _FIRST.index(population)),
    )


def demographics(record: wire.Demographics, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "person",
        record.sourcedId,
        roster.Person(
            birth_date=day(record.birthDate, "birthDate"),
            sex=code("sex", record.sex, codes),
            races=[race for field, race in RACES.items() if flag(getattr(record, field), field) is True] or UNSET,
            hispanic=flag(record.hispanicOrLatinoEthnicity, "hispanicOrLatinoEthnicity"),
        ),
        anchor=False,
    )


def enrollment(record: wire.Enrollment, codes: Crosswalks) -> Iterator[Claim]:
    stated = required_text(record.role, "role")
    role = codes.translate("enrollment_role", stated)
    if role is None:
        reason = f"The enrollment role {stated!r} has no counterpart in the crosswalk."
        raise RecordError("unmapped-code", reason, field="role")
    primary = flag(record.primary, "primary")
    if role == "student" and primary is True:  # it says which of several teachers leads
        codes.notice("primary-student", "primary")
        primary = UNSET
    yield Claim(
        "enrollment",
        record.sourcedId,
        roster.Enrollment(
            person=required_reference(record.user, "user"),
            class_=required_reference(record.class_, "class"),
            school=reference(record.school, "school"),
            role=role,
            primary=primary,
            begin_on=day(record.beginDate, "beginDate"),
            end_on=day(record.endDate, "endDate"),
        ),
    )
