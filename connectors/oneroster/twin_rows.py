"""How a OneRoster 1.2 provider spells the facts of the invented district, row by row."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import blake2b
from typing import Any

from synthetic import SUBJECTS, District
from synthetic.model import (
    Assessment,
    Contact,
    Course,
    Kinship,
    Objective,
    School,
    Section,
    SectionEnrollment,
    Sitting,
    Staff,
    Student,
    Term,
)

ROSTERING = "/ims/oneroster/rostering/v1p2"
GRADEBOOK = "/ims/oneroster/gradebook/v1p2"
RESOURCES = "/ims/oneroster/resources/v1p2"

_ROLES = {"district_administrator": "districtAdministrator"}
_RACES = {
    "american_indian": "americanIndianOrAlaskaNative",
    "asian": "asian",
    "black": "blackOrAfricanAmerican",
    "pacific_islander": "nativeHawaiianOrOtherPacificIslander",
    "white": "white",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """A family contact with the children they belong to, and the schools of these."""

    contact: Contact
    kin: tuple[Kinship, ...]
    schools: tuple[int, ...]

    @property
    def number(self) -> str:
        return self.contact.number


class Roster:
    """One district as nine collections of facts, and the row that states a fact.

    `facts[collection][sourcedId]` is a fact of `synthetic.model` (or such a fact with what its row needs besides);
    two districts differ in a row exactly where these facts differ. `planted` fills every field that no planner
    should ever receive. A `full` roster also has the family contacts as users and agents, grading periods, profiles to
    sign in with, and the books of courses and classes.
    """

    def __init__(self, district: District, planted: str | None = None, *, full: bool = False) -> None:
        self._district = district
        self._planted = planted
        self._full = full
        self._contacts: dict[str, list[str]] = {}
        for kinship in district.kinships if full else ():
            self._contacts.setdefault(kinship.student, []).append(kinship.contact)
        self._subjects = {course.code: SUBJECTS[course.subject] for course in district.courses}
        self._render: Mapping[str, Callable[[str, Any], Row]] = {
            "orgs": self._org,
            "academicSessions": self._session,
            "courses": self._course,
            "classes": self._class,
            "users": self._user,
            "enrollments": self._enrollment,
            "demographics": self._demographics,
            "assessmentLineItems": self._line_item,
            "assessmentResults": self._result,
        }
        self.facts: Mapping[str, Mapping[str, Any]] = {
            collection: {self.reissued(sourced_id): fact for sourced_id, fact in facts.items()}
            for collection, facts in _facts(district, full=full).items()
        }

    def row(self, collection: str, fact: object, base: str) -> Row:
        """The fact's own properties, without those that every row has; `base` starts its hrefs."""
        row = self._render[collection](base, fact)
        if self._district.generation:
            self.reissue_references(row)
        return row

    def reissued(self, sourced_id: str) -> str:
        """The sourcedId in use now; it was another one before the system gave out new ones."""
        generation = self._district.generation
        return make_id("reissued", generation, sourced_id) if generation else sourced_id

    def reissue_references(self, value: Any) -> None:
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for part in parts:
            self.reissue_references(part)
        if isinstance(value, dict) and "href" in value:
            sourced_id = self.reissued(value["sourcedId"])
            value |= {"sourcedId": sourced_id, "href": f"{value['href'].rpartition('/')[0]}/{sourced_id}"}

    def _org(self, base: str, school: School) -> Row:
        row: Row = {"name": school.name, "type": "school", "identifier": str(school.number)}
        if school.number == self._district.number:
            row["type"] = "district"
            row["children"] = [org_ref(base, child.number) for child in self._district.schools]
        else:
            row["parent"] = org_ref(base, self._district.number)
        return row

    def _session(self, base: str, term: Term) -> Row:
        row: Row = {
            "title": term.title,
            "startDate": day_of(term.begin),
            "endDate": day_after(term.end),
            "type": "term",
            "schoolYear": str(self._district.school_year),
        }
        if term.code.partition("-")[2]:
            row["type"] = "gradingPeriod"
            row["parent"] = session_ref(base, session_id(self._district, term.code.partition("-")[0]))
        elif term.code == "year":
            row["type"] = "schoolYear"
            row["children"] = [
                session_ref(base, session_id(self._district, child.code)) for child in self._district.terms
            ]
        else:
            row["parent"] = session_ref(base, session_id(self._district, "year"))
        return row

    def _course(self, base: str, fact: tuple[Course, str]) -> Row:
        course, year = fact
        row = {
            "title": course.title,
            "schoolYear": session_ref(base, year),
            "courseCode": course.code,
            "grades": list(course.grades),
            "subjects": [self._subjects[course.code]],
            "org": org_ref(base, self._district.number),
        }
        return row | self._books(base, course.code)

    def _books(self, base: str, course: str) -> Row:
        if not self._full:
            return {}
        return {"resources": [ref(f"{base}{RESOURCES}/resources", "resource", make_id("resource", course))]}

    def _class(self, base: str, section: Section) -> Row:
        return {
            "title": section.title,
            "classCode": section.code,
            "classType": "scheduled",
            "grades": list(section.grades),
            "subjects": [self._subjects[section.course]],
            "course": ref(f"{base}{ROSTERING}/courses", "course", make_id("course", section.course)),
            "school": org_ref(base, section.school),
            "terms": [session_ref(base, session_id(self._district, section.term))],
            "periods": [section.period],
            **self._books(base, section.course),
        }

    def _user(self, base: str, person: Student | Staff | Family) -> Row:
        if isinstance(person, Family):
            return self._contact(base, person)
        if isinstance(person, Student):
            org, kind = person.school, "studentNumber"
            held: Row = {"role": "student", "beginDate": day_of(person.entry)}
        else:
            org, kind = person.school or self._district.number, "staffNumber"
            held = {"role": _ROLES.get(person.role, person.role), "beginDate": day_of(person.begin)}
        last = person.exit if isinstance(person, Student) else person.end
        if last:
            held["endDate"] = day_after(last)
        row: Row = {
            "username": person.email.split("@")[0],
            "userIds": [{"type": kind, "identifier": person.number}],
            "enabledUser": truth(not (isinstance(person, Student) and person.exit)),
            "givenName": person.given,
            "familyName": person.family,
            "roles": [{"roleType": "primary", "org": org_ref(base, org), **held}],
            "primaryOrg": org_ref(base, org),
            "identifier": person.number,
            "email": person.email,
        }
        if isinstance(person, Student):
            row["grades"] = [person.grade]
            if person.middle:
                row["middleName"] = person.middle
            if person.preferred_given:
                row["preferredFirstName"] = person.preferred_given
        if self._full:
            row |= self._signing_in(person.number, person.email) | self._agents(
                base, self._contacts.get(person.number, [])
            )
        if self._planted:
            row |= _secrets(self._planted)
        return row

    def _contact(self, base: str, family: Family) -> Row:
        """One role for each school where a child of theirs is, the first of them primary."""
        contact = family.contact
        schools = list(dict.fromkeys(family.schools)) or [self._district.number]
        role = "guardian" if any(one.legal_guardian for one in family.kin) else "relative"
        if any(one.relation in ("mother", "father") for one in family.kin):
            role = "parent"
        return {
            "username": contact.email.split("@")[0],
            "userIds": [{"type": "contactNumber", "identifier": contact.number}],
            "enabledUser": "true",
            "givenName": contact.given,
            "familyName": contact.family,
            "roles": [{"roleType": "primary", "role": role, "org": org_ref(base, school)} for school in schools],
            "primaryOrg": org_ref(base, schools[0]),
            "identifier": contact.number,
            "email": contact.email,
            "phone": contact.phone,
            **self._signing_in(contact.number, contact.email),
            **self._agents(base, [one.student for one in family.kin]),
            **(_secrets(self._planted) if self._planted else {}),
        }

    def _agents(self, base: str, numbers: list[str]) -> Row:
        if not numbers:
            return {}
        return {"agents": [user_ref(base, user_id(self._district, number)) for number in numbers]}

    def _signing_in(self, number: str, email: str) -> Row:
        """What somebody signs in with elsewhere: invented, and never to be kept."""
        profile = {"profileId": f"urn:example:profile:{number}", "profileType": "sign-in", "vendorId": "example-vendor"}
        return {"userProfiles": [{**profile, "credentials": [{"type": "sso", "username": email}]}]}

    def _enrollment(self, base: str, enrollment: SectionEnrollment) -> Row:
        section = class_id(self._district, enrollment.school, enrollment.section)
        row: Row = {
            "user": user_ref(base, user_id(self._district, enrollment.person)),
            "class": ref(f"{base}{ROSTERING}/classes", "class", section),
            "school": org_ref(base, enrollment.school),
            "role": enrollment.role,
            "beginDate": day_of(enrollment.begin),
            "endDate": day_after(enrollment.end),
        }
        if enrollment.role == "teacher":  # OneRoster 1.2: primary applies to teachers only
            row["primary"] = truth(enrollment.primary)
        return row

    def _demographics(self, base: str, student: Student) -> Row:
        row: Row = {"birthDate": day_of(student.birth), "sex": student.sex}
        row |= {name: truth(race in student.races) for race, name in _RACES.items()}
        row["demographicRaceTwoOrMoreRaces"] = truth(len(student.races) > 1)
        row["hispanicOrLatinoEthnicity"] = truth(student.hispanic)
        if self._planted:
            row |= dict.fromkeys(("countryOfBirthCode", "stateOfBirthAbbreviation", "cityOfBirth"), self._planted)
        return row

    def _line_item(self, base: str, fact: tuple[Assessment, Objective | None]) -> Row:
        assessment, part = fact
        row: Row = {
            "title": part.title if part else assessment.title,
            "resultValueMin": assessment.minimum,
            "resultValueMax": assessment.maximum,
        }
        if part:
            row["parentAssessmentLineItem"] = _line_item_ref(base, assessment.code)
            row["learningObjectiveSet"] = [{"source": "unknown", "learningObjectiveIds": [part.code]}]
        else:  # OneRoster has no property for what a test is for; providers that say it say it here
            row["metadata"] = {"purpose": assessment.purpose}
        return row

    def _result(self, base: str, fact: tuple[Sitting, str | None, str]) -> Row:
        sitting, part, student = fact
        row: Row = {
            "assessmentLineItem": _line_item_ref(base, sitting.assessment, part),
            "student": user_ref(base, student),
            "score": sitting.objectives[part] if part else sitting.score,
            "scoreDate": day_of(sitting.on),
            "scoreStatus": "fully graded",
        }
        if not part and sitting.percentile is not None:
            row["scorePercentile"] = sitting.percentile
        return row


def _facts(district: District, *, full: bool) -> Mapping[str, Mapping[str, Any]]:
    office = School(district.number, district.name, "district", ())
    title = f"School Year {district.school_year - 1}-{district.school_year % 100:02d}"
    year = Term("year", title, district.year_begin, district.year_end)
    tests = [test for test in district.assessments if test.purpose == "interim"]
    sat = [sitting for sitting in district.sittings if sitting.assessment in {test.code for test in tests}]
    people: tuple[Staff | Student | Family, ...] = (*district.staff, *district.students)
    sessions = [year, *district.terms]
    if full:
        people = (*people, *_families(district))
        sessions += [period for term in district.terms for period in _periods(term)]
    return {
        "orgs": {make_id("org", one.number): one for one in (office, *district.schools)},
        "academicSessions": {session_id(district, one.code): one for one in sessions},
        "courses": {make_id("course", one.code): (one, session_id(district, "year")) for one in district.courses},
        "classes": {class_id(district, one.school, one.code): one for one in district.sections},
        "users": {user_id(district, one.number): one for one in people},
        "enrollments": {make_id("enrollment", *one.key): one for one in district.enrollments},
        "demographics": {user_id(district, one.number): one for one in district.students},
        "assessmentLineItems": {
            make_id("line item", test.code, part.code if part else ""): (test, part)
            for test in tests
            for part in (None, *test.objectives)
        },
        "assessmentResults": {
            make_id("result", sitting.code, part or ""): (sitting, part, user_id(district, sitting.student))
            for sitting in sat
            for part in (None, *sitting.objectives)
        },
    }


def _families(district: District) -> Iterator[Family]:
    schools = {student.number: student.school for student in district.students}
    kin: dict[str, list[Kinship]] = {}
    for one in district.kinships:
        if one.student in schools:
            kin.setdefault(one.contact, []).append(one)
    for contact in district.contacts:
        own = kin.get(contact.number, [])
        yield Family(contact, tuple(own), tuple(schools[one.student] for one in own))


def _periods(term: Term) -> tuple[Term, Term]:
    """A term in halves."""
    middle = term.begin + (term.end - term.begin) // 2
    return (
        Term(f"{term.code}-1", f"{term.title}, first half", term.begin, middle),
        Term(f"{term.code}-2", f"{term.title}, second half", middle + timedelta(days=1), term.end),
    )


def make_id(kind: str, *key: object) -> str:
    """A sourcedId that is stable and tells nothing about whom it names."""
    return blake2b("\x1f".join((kind, *map(str, key))).encode(), digest_size=12).hexdigest()


def session_id(district: District, code: str) -> str:
    return make_id("session", district.school_year, code)


def class_id(district: District, school: int, code: str) -> str:
    return make_id("class", district.school_year, school, code)


def user_id(district: District, number: str) -> str:
    return make_id("user", number, *(["remade"] if number in district.remade else []))


def ref(collection: str, kind: str, sourced_id: str) -> Row:
    return {"href": f"{collection}/{sourced_id}", "sourcedId": sourced_id, "type": kind}


def org_ref(base: str, number: int) -> Row:
    return ref(f"{base}{ROSTERING}/orgs", "org", make_id("org", number))


def session_ref(base: str, sourced_id: str) -> Row:
    return ref(f"{base}{ROSTERING}/academicSessions", "academicSession", sourced_id)


def user_ref(base: str, sourced_id: str) -> Row:
    return ref(f"{base}{ROSTERING}/users", "user", sourced_id)


def _line_item_ref(base: str, assessment: str, part: str | None = None) -> Row:
    sourced_id = make_id("line item", assessment, part or "")
    return ref(f"{base}{GRADEBOOK}/assessmentLineItems", "assessmentLineItem", sourced_id)


def day_of(day: date) -> str:
    return day.isoformat()


def day_after(last: date) -> str:
    """OneRoster 1.2: an endDate is the first day that no longer belongs."""
    return (last + timedelta(days=1)).isoformat()


def truth(value: bool) -> str:
    return "true" if value else "false"


def _secrets(planted: str) -> Row:
    profile = {
        "profileId": "urn:example:profile:1",
        "profileType": "sign-in",
        "vendorId": "example-vendor",
        "applicationId": "default",
        "description": planted,
        "credentials": [{"type": "password", "username": planted, "password": planted, "recoveryAnswer": planted}],
    }
    return {"password": planted, "userProfiles": [profile], "metadata": {"lockerCombination": planted}}
