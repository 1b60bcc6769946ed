"""Who is where in a school district: organizations, sessions, courses, classes, people, enrollments, family."""

from datetime import date
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from gateway.schema.fields import Values, meta


class Organization(Values):
    """A school, a district, or what stands above them. Source: OneRoster 1.2 Org; Ed-Fi EducationOrganization."""

    name: Annotated[str | UnsetType, meta("Official name.", required=True)] = UNSET
    type: Annotated[str | UnsetType, meta("school, district, local, state, national, department.")] = UNSET
    identifier: Annotated[str | UnsetType, meta("The number the state or district gives it.")] = UNSET
    parent: Annotated[str | UnsetType, meta("Organization above.", ref="organization")] = UNSET
    grades: Annotated[list[str] | UnsetType, meta("Grades taught, CEDS codes.")] = UNSET


class Session(Values):
    """A stretch of the school year. Source: OneRoster 1.2 AcademicSession; Ed-Fi Session."""

    title: Annotated[str | UnsetType, meta("Title.", required=True)] = UNSET
    type: Annotated[str | UnsetType, meta("school_year, semester, term, grading_period.")] = UNSET
    begin_on: Annotated[date | UnsetType, meta("First day.")] = UNSET
    end_on: Annotated[date | UnsetType, meta("Last day.")] = UNSET
    school_year: Annotated[int | UnsetType, meta("The year in which the school year ends.")] = UNSET
    parent: Annotated[str | UnsetType, meta("Session this one is part of.", ref="session")] = UNSET
    school: Annotated[str | UnsetType, meta("School, where sessions are per school.", ref="organization")] = UNSET


class LearningResource(Values):
    """Something to teach or learn with: a book, an application. Source: OneRoster 1.2 Resource."""

    title: Annotated[str | UnsetType, meta("Title.")] = UNSET
    vendor_resource_id: Annotated[str | UnsetType, meta("The vendor's own id of it.", required=True)] = UNSET
    vendor: Annotated[str | UnsetType, meta("The vendor's id.")] = UNSET
    application: Annotated[str | UnsetType, meta("The vendor's application it belongs to.")] = UNSET
    importance: Annotated[str | UnsetType, meta("primary or secondary.")] = UNSET
    roles: Annotated[list[str] | UnsetType, meta("Roles it is meant for: student, teacher ...")] = UNSET


class Course(Values):
    """What is taught, apart from when and to whom. Source: OneRoster 1.2 Course; Ed-Fi Course."""

    title: Annotated[str | UnsetType, meta("Title.", required=True)] = UNSET
    code: Annotated[str | UnsetType, meta("Course code of the catalogue.")] = UNSET
    organization: Annotated[str | UnsetType, meta("Who offers it.", ref="organization")] = UNSET
    session: Annotated[str | UnsetType, meta("School year it is offered in.", ref="session")] = UNSET
    grades: Annotated[list[str] | UnsetType, meta("Grades, CEDS codes.")] = UNSET
    subjects: Annotated[list[str] | UnsetType, meta("Subjects, in the source's words.")] = UNSET
    subject_codes: Annotated[list[str] | UnsetType, meta("Subject codes (SCED where the source has them).")] = UNSET
    resources: Annotated[list[str] | UnsetType, meta("What it is taught with.", ref="resource", merge="owned")] = UNSET


class Class(Values):
    """A course taught to a group. Source: OneRoster 1.2 Class; Ed-Fi Section."""

    title: Annotated[str | UnsetType, meta("Title.", required=True)] = UNSET
    code: Annotated[str | UnsetType, meta("Code, unique in its school by local policy.")] = UNSET
    type: Annotated[str | UnsetType, meta("homeroom or scheduled.")] = UNSET
    location: Annotated[str | UnsetType, meta("Room.")] = UNSET
    course: Annotated[str | UnsetType, meta("Course.", ref="course", required=True)] = UNSET
    school: Annotated[str | UnsetType, meta("School.", ref="organization", required=True)] = UNSET
    sessions: Annotated[list[str] | UnsetType, meta("Sessions it meets in.", ref="session")] = UNSET
    grades: Annotated[list[str] | UnsetType, meta("Grades, CEDS codes.")] = UNSET
    subjects: Annotated[list[str] | UnsetType, meta("Subjects, in the source's words.")] = UNSET
    subject_codes: Annotated[list[str] | UnsetType, meta("Subject codes.")] = UNSET
    periods: Annotated[list[str] | UnsetType, meta("Periods of the day.")] = UNSET
    resources: Annotated[list[str] | UnsetType, meta("What it is taught with.", ref="resource", merge="owned")] = UNSET


class Identifier(msgspec.Struct, frozen=True, omit_defaults=True):
    """One number or name a system knows a person by. `system` is the source's own word for it; `assigned_by` the
    organization that gave the number, where the source names one."""

    system: str
    value: str
    assigned_by: str | UnsetType = UNSET


class Role(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a person is at one organization, and when (both days included)."""

    role: str
    organization: Annotated[str, meta("Where.", ref="organization")]
    primary: bool | UnsetType = UNSET
    begin_on: date | UnsetType = UNSET
    end_on: date | UnsetType = UNSET


class Person(Values):
    """A student, a member of staff or a family contact. Source: OneRoster 1.2 User and Demographics;
    Ed-Fi Student, Staff, Contact (Parent) and their associations."""

    population: Annotated[str | UnsetType, meta("student, staff or contact.")] = UNSET
    given_name: Annotated[str | UnsetType, meta("Given name.", required=True)] = UNSET
    middle_name: Annotated[str | UnsetType, meta("Middle name.")] = UNSET
    family_name: Annotated[str | UnsetType, meta("Family name.", required=True)] = UNSET
    preferred_given_name: Annotated[str | UnsetType, meta("Given name in use.")] = UNSET
    preferred_middle_name: Annotated[str | UnsetType, meta("Middle name in use.")] = UNSET
    preferred_family_name: Annotated[str | UnsetType, meta("Family name in use.")] = UNSET
    pronouns: Annotated[str | UnsetType, meta("Pronouns.")] = UNSET
    active: Annotated[bool | UnsetType, meta("Account enabled in the source.")] = UNSET
    username: Annotated[str | UnsetType, meta("Sign-in name.")] = UNSET
    email: Annotated[str | UnsetType, meta("E-mail.")] = UNSET
    phone: Annotated[str | UnsetType, meta("Telephone.")] = UNSET
    sms: Annotated[str | UnsetType, meta("Number for text messages.")] = UNSET
    identifiers: Annotated[list[Identifier] | UnsetType, meta("Every known number.", merge="union")] = UNSET
    roles: Annotated[list[Role] | UnsetType, meta("Roles at organizations.", merge="owned")] = UNSET
    primary_organization: Annotated[
        str | UnsetType, meta("Organization the person mainly belongs to.", ref="organization")
    ] = UNSET
    grades: Annotated[list[str] | UnsetType, meta("Grade of a student, CEDS codes.")] = UNSET
    birth_date: Annotated[date | UnsetType, meta("Date of birth.")] = UNSET
    sex: Annotated[str | UnsetType, meta("female, male, other, unspecified.")] = UNSET
    races: Annotated[list[str] | UnsetType, meta("Race codes of the common schema.")] = UNSET
    hispanic: Annotated[bool | UnsetType, meta("Hispanic or Latino.")] = UNSET
    languages: Annotated[list[str] | UnsetType, meta("Home languages, in the source's code.")] = UNSET
    resources: Annotated[list[str] | UnsetType, meta("What the person works with.", ref="resource", merge="owned")] = (
        UNSET
    )
    internet_at_home: Annotated[bool | UnsetType, meta("A student has internet at home.")] = UNSET
    internet_type: Annotated[
        str | UnsetType, meta("broadband, cellular, hot_spot, community, satellite, dial_up, other, none.")
    ] = UNSET
    internet_performance: Annotated[
        str | UnsetType, meta("Whether it is fast and steady enough to learn with: good, sometimes, poor.")
    ] = UNSET
    internet_barrier: Annotated[
        str | UnsetType, meta("Why there is none: not_available, not_affordable, not_desired, other.")
    ] = UNSET
    device: Annotated[
        str | UnsetType,
        meta(
            "What a student learns on away from school: desktop, laptop, tablet, chromebook, smartphone, other, none."
        ),
    ] = UNSET
    device_access: Annotated[str | UnsetType, meta("Whether it is the student's alone: own or shared.")] = UNSET
    device_provider: Annotated[str | UnsetType, meta("Whose it is: family, school, other.")] = UNSET


AT_HOME = (
    "internet_at_home",
    "internet_type",
    "internet_performance",
    "internet_barrier",
    "device",
    "device_access",
    "device_provider",
)
"""What a student has at home to learn with. Source: Ed-Fi studentEducationOrganizationAssociation (digital equity)."""


class Enrollment(Values):
    """One person in one class. Source: OneRoster 1.2 Enrollment; Ed-Fi student/staffSectionAssociation."""

    person: Annotated[str | UnsetType, meta("Who.", ref="person", required=True)] = UNSET
    class_: Annotated[str | UnsetType, meta("Class.", ref="class", required=True)] = msgspec.field(
        name="class", default=UNSET
    )
    school: Annotated[str | UnsetType, meta("School.", ref="organization")] = UNSET
    role: Annotated[str | UnsetType, meta("student, teacher, proctor, administrator, aide.", required=True)] = UNSET
    primary: Annotated[bool | UnsetType, meta("Primary teacher.")] = UNSET
    begin_on: Annotated[date | UnsetType, meta("First day.")] = UNSET
    end_on: Annotated[date | UnsetType, meta("End, as the source states it.")] = UNSET


class Relationship(Values):
    """How a contact belongs to a student. Source: Ed-Fi studentContactAssociation; OneRoster agents."""

    student: Annotated[str | UnsetType, meta("Student.", ref="person", required=True)] = UNSET
    contact: Annotated[str | UnsetType, meta("Contact.", ref="person", required=True)] = UNSET
    relation: Annotated[str | UnsetType, meta("mother, father, guardian ... of the common schema.")] = UNSET
    legal_guardian: Annotated[bool | UnsetType, meta("Legal guardian, as the source says.")] = UNSET
    education_rights: Annotated[str | UnsetType, meta("yes, no or unknown.")] = UNSET
    restrictions: Annotated[str | UnsetType, meta("Contact restrictions, restricted text.")] = UNSET
    lives_with: Annotated[bool | UnsetType, meta("The student lives with the contact.")] = UNSET
    emergency: Annotated[bool | UnsetType, meta("Emergency contact.")] = UNSET
    primary: Annotated[bool | UnsetType, meta("Primary contact.")] = UNSET
    priority: Annotated[int | UnsetType, meta("Order in which to call, 1 first.")] = UNSET


class ProgramStatus(Values):
    """One need indicator of a student (restricted). Source: Ed-Fi need indicators; CEDS program status."""

    student: Annotated[str | UnsetType, meta("Student.", ref="person", required=True)] = UNSET
    status: Annotated[str | UnsetType, meta("english_learner, disability, section_504 ...", required=True)] = UNSET
    organization: Annotated[str | UnsetType, meta("Who stated it.", ref="organization")] = UNSET
    code: Annotated[str | UnsetType, meta("The source's own code.")] = UNSET
    program: Annotated[str | UnsetType, meta("Program it comes from, in the source's words.")] = UNSET
    begin_on: Annotated[date | UnsetType, meta("First day.")] = UNSET
    end_on: Annotated[date | UnsetType, meta("Last day.")] = UNSET
