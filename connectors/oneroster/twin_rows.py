"""How a OneRoster 1.2 provider spells the facts of the invented district, row by row."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from hashlib import blake2b
from typing import Any

from synthetic import SUBJECTS, District
from synthetic.model import (
    Assessment,
    Course,
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

# What may be selected and filtered on: the properties of OneRoster 1.2's data models.
_EVERY = frozenset({"sourcedId", "status", "dateLastModified", "metadata"})
FIELDS: Mapping[str, frozenset[str]] = {
    "orgs": _EVERY | {"name", "type", "identifier", "parent", "children"},
    "academicSessions": _EVERY | {"title", "startDate", "endDate", "type", "parent", "children", "schoolYear"},
    "courses": _EVERY | {"title", "schoolYear", "courseCode", "grades", "subjects", "org", "subjectCodes", "resources"},
    "classes": _EVERY
    | {"title", "classCode", "classType", "location", "grades", "subjects", "course", "school", "terms"}
    | {"subjectCodes", "periods", "resources"},
    "users": _EVERY
    | {"userMasterIdentifier", "username", "userIds", "enabledUser", "givenName", "familyName", "middleName"}
    | {"preferredFirstName", "preferredMiddleName", "preferredLastName", "pronouns", "roles", "userProfiles"}
    | {"primaryOrg", "identifier", "email", "sms", "phone", "agents", "grades", "password", "resources"},
    "enrollments": _EVERY | {"user", "class", "school", "role", "primary", "beginDate", "endDate"},
    "demographics": _EVERY
    | {"birthDate", "sex", "americanIndianOrAlaskaNative", "asian", "blackOrAfricanAmerican", "white"}
    | {"nativeHawaiianOrOtherPacificIslander", "demographicRaceTwoOrMoreRaces", "hispanicOrLatinoEthnicity"}
    | {"countryOfBirthCode", "stateOfBirthAbbreviation", "cityOfBirth", "publicSchoolResidenceStatus"},
    "assessmentLineItems": _EVERY
    | {"title", "description", "class", "parentAssessmentLineItem", "scoreScale", "resultValueMin"}
    | {"resultValueMax", "learningObjectiveSet"},
    "assessmentResults": _EVERY
    | {"assessmentLineItem", "student", "score", "textScore", "scoreDate", "scoreScale", "scorePercentile"}
    | {"scoreStatus", "comment", "learningObjectiveSet", "inProgress", "incomplete", "late", "missing"},
}

_ROLES = {"district_administrator": "districtAdministrator"}
_RACES = {
    "american_indian": "americanIndianOrAlaskaNative",
    "asian": "asian",
    "black": "blackOrAfricanAmerican",
    "pacific_islander": "nativeHawaiianOrOtherPacificIslander",
    "white": "white",
}

Row = dict[str, Any]


class Roster:
    """One district as nine collections of facts, and the row that states a fact.

    `facts[collection][sourcedId]` is a fact of `synthetic.model` (or such a fact with what its row needs besides);
    two districts differ in a row exactly where these facts differ. `planted` fills every field that no planner
    should ever receive.
    """

    def __init__(self, district: District, planted: str | None = None) -> None:
        self._district = district
        self._planted = planted
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
            collection: {self._reissued(sourced_id): fact for sourced_id, fact in facts.items()}
            for collection, facts in _facts(district).items()
        }

    def row(self, collection: str, fact: object, base: str) -> Row:
        """The fact's own properties, without those that every row has; `base` starts its hrefs."""
        row = self._render[collection](base, fact)
        if self._district.generation:
            self._reissue_references(row)
        return row

    def _reissued(self, sourced_id: str) -> str:
        """The sourcedId in use now; it was another one before the system gave out new ones."""
        generation = self._district.generation
        return _id("reissued", generation, sourced_id) if generation else sourced_id

    def _reissue_references(self, value: Any) -> None:
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for part in parts:
            self._reissue_references(part)
        if isinstance(value, dict) and "href" in value:
            sourced_id = self._reissued(value["sourcedId"])
            value |= {"sourcedId": sourced_id, "href": f"{value['href'].rpartition('/')[0]}/{sourced_id}"}

    def _org(self, base: str, school: School) -> Row:
        row: Row = {"name": school.name, "type": "school", "identifier": str(school.number)}
        if school.number == self._district.number:
            row["type"] = "district"
            row["children"] = [_org_ref(base, child.number) for child in self._district.schools]
        else:
            row["parent"] = _org_ref(base, self._district.number)
        return row

    def _session(self, base: str, term: Term) -> Row:
        row: Row = {
            "title": term.title,
            "startDate": _day(term.begin),
            "endDate": _day_after(term.end),
            "type": "term",
            "schoolYear": str(self._district.school_year),
        }
        if term.code == "year":
            row["type"] = "schoolYear"
            row["children"] = [
                _session_ref(base, _session_id(self._district, child.code)) for child in self._district.terms
            ]
        else:
            row["parent"] = _session_ref(base, _session_id(self._district, "year"))
        return row

    def _course(self, base: str, fact: tuple[Course, str]) -> Row:
        course, year = fact
        return {
            "title": course.title,
            "schoolYear": _session_ref(base, year),
            "courseCode": course.code,
            "grades": list(course.grades),
            "subjects": [self._subjects[course.code]],
            "org": _org_ref(base, self._district.number),
        }

    def _class(self, base: str, section: Section) -> Row:
        return {
            "title": section.title,
            "classCode": section.code,
            "classType": "scheduled",
            "grades": list(section.grades),
            "subjects": [self._subjects[section.course]],
            "course": _ref(f"{base}{ROSTERING}/courses", "course", _id("course", section.course)),
            "school": _org_ref(base, section.school),
            "terms": [_session_ref(base, _session_id(self._district, section.term))],
            "periods": [section.period],
        }

    def _user(self, base: str, person: Student | Staff) -> Row:
        if isinstance(person, Student):
            org, kind = person.school, "studentNumber"
            held: Row = {"role": "student", "beginDate": _day(person.entry)}
        else:
            org, kind = person.school or self._district.number, "staffNumber"
            held = {"role": _ROLES.get(person.role, person.role), "beginDate": _day(person.begin)}
        last = person.exit if isinstance(person, Student) else person.end
        if last:
            held["endDate"] = _day_after(last)
        row: Row = {
            "username": person.email.split("@")[0],
            "userIds": [{"type": kind, "identifier": person.number}],
            "enabledUser": _truth(not (isinstance(person, Student) and person.exit)),
            "givenName": person.given,
            "familyName": person.family,
            "roles": [{"roleType": "primary", "org": _org_ref(base, org), **held}],
            "primaryOrg": _org_ref(base, org),
            "identifier": person.number,
            "email": person.email,
        }
        if isinstance(person, Student):
            row["grades"] = [person.grade]
            if person.middle:
                row["middleName"] = person.middle
            if person.preferred_given:
                row["preferredFirstName"] = person.preferred_given
        if self._planted:
            row |= _secrets(self._planted)
        return row

    def _enrollment(self, base: str, enrollment: SectionEnrollment) -> Row:
        section = _class_id(self._district, enrollment.school, enrollment.section)
        row: Row = {
            "user": _user_ref(base, _user_id(self._district, enrollment.person)),
            "class": _ref(f"{base}{ROSTERING}/classes", "class", section),
            "school": _org_ref(base, enrollment.school),
            "role": enrollment.role,
            "beginDate": _day(enrollment.begin),
            "endDate": _day_after(enrollment.end),
        }
        if enrollment.role == "teacher":  # OneRoster 1.2: primary applies to teachers only
            row["primary"] = _truth(enrollment.primary)
        return row

    def _demographics(self, base: str, student: Student) -> Row:
        row: Row = {"birthDate": _day(student.birth), "sex": student.sex}
        row |= {name: _truth(race in student.races) for race, name in _RACES.items()}
        row["demographicRaceTwoOrMoreRaces"] = _truth(len(student.races) > 1)
        row["hispanicOrLatinoEthnicity"] = _truth(student.hispanic)
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
            "student": _user_ref(base, student),
            "score": sitting.objectives[part] if part else sitting.score,
            "scoreDate": _day(sitting.on),
            "scoreStatus": "fully graded",
        }
        if not part and sitting.percentile is not None:
            row["scorePercentile"] = sitting.percentile
        return row


def _facts(district: District) -> Mapping[str, Mapping[str, Any]]:
    office = School(district.number, district.name, "district", ())
    title = f"School Year {district.school_year - 1}-{district.school_year % 100:02d}"
    year = Term("year", title, district.year_begin, district.year_end)
    tests = [test for test in district.assessments if test.purpose == "interim"]
    sat = [sitting for sitting in district.sittings if sitting.assessment in {test.code for test in tests}]
    people: tuple[Staff | Student, ...] = (*district.staff, *district.students)
    return {
        "orgs": {_id("org", one.number): one for one in (office, *district.schools)},
        "academicSessions": {_session_id(district, one.code): one for one in (year, *district.terms)},
        "courses": {_id("course", one.code): (one, _session_id(district, "year")) for one in district.courses},
        "classes": {_class_id(district, one.school, one.code): one for one in district.sections},
        "users": {_user_id(district, one.number): one for one in people},
        "enrollments": {_id("enrollment", *one.key): one for one in district.enrollments},
        "demographics": {_user_id(district, one.number): one for one in district.students},
        "assessmentLineItems": {
            _id("line item", test.code, part.code if part else ""): (test, part)
            for test in tests
            for part in (None, *test.objectives)
        },
        "assessmentResults": {
            _id("result", sitting.code, part or ""): (sitting, part, _user_id(district, sitting.student))
            for sitting in sat
            for part in (None, *sitting.objectives)
        },
    }


def _id(kind: str, *key: object) -> str:
    """A sourcedId that is stable and tells nothing about whom it names."""
    return blake2b("\x1f".join((kind, *map(str, key))).encode(), digest_size=12).hexdigest()


def _session_id(district: District, code: str) -> str:
    return _id("session", district.school_year, code)


def _class_id(district: District, school: int, code: str) -> str:
    return _id("class", district.school_year, school, code)


def _user_id(district: District, number: str) -> str:
    return _id("user", number, *(["remade"] if number in district.remade else []))


def _ref(collection: str, kind: str, sourced_id: str) -> Row:
    return {"href": f"{collection}/{sourced_id}", "sourcedId": sourced_id, "type": kind}


def _org_ref(base: str, number: int) -> Row:
    return _ref(f"{base}{ROSTERING}/orgs", "org", _id("org", number))


def _session_ref(base: str, sourced_id: str) -> Row:
    return _ref(f"{base}{ROSTERING}/academicSessions", "academicSession", sourced_id)


def _user_ref(base: str, sourced_id: str) -> Row:
    return _ref(f"{base}{ROSTERING}/users", "user", sourced_id)


def _line_item_ref(base: str, assessment: str, part: str | None = None) -> Row:
    sourced_id = _id("line item", assessment, part or "")
    return _ref(f"{base}{GRADEBOOK}/assessmentLineItems", "assessmentLineItem", sourced_id)


def _day(day: date) -> str:
    return day.isoformat()


def _day_after(last: date) -> str:
    """OneRoster 1.2: an endDate is the first day that no longer belongs."""
    return (last + timedelta(days=1)).isoformat()


def _truth(value: bool) -> str:
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
