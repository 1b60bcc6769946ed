"""Every deviation that is read: over a socket, what is published is what the standard's own spelling gives, and the run
says where it was met. What could mean two things is set aside."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.e2e.office import Docs, Office
from tests.e2e.processes import Home
from tests.serving import serve

Row = dict[str, Any]


def ref(key: str, collection: str) -> Row:
    return {"sourcedId": key, "type": collection, "href": f"https://sis.example.org/ims/v1p2/{collection}s/{key}"}


SPELT_RIGHT: dict[str, Row] = {
    "orgs": {"name": "Fennel School", "type": "school", "identifier": "7", "parent": ref("orgs", "org")},
    "academicSessions": {
        "title": "Autumn", "type": "gradingPeriod", "startDate": "2026-08-17", "endDate": "2026-12-18",
        "schoolYear": "2027",
    },
    "courses": {
        "title": "Reading", "grades": ["09", "KG"], "subjects": ["Reading, advanced"], "subjectCodes": ["1", "2"],
        "org": ref("orgs", "org"),
    },
    "classes": {
        "title": "Reading 9a", "classType": "scheduled", "course": ref("courses", "course"),
        "school": ref("orgs", "org"), "terms": [ref("academicSessions", "term")], "periods": ["1", "2"],
    },
    "users": {
        "givenName": "Ptolemaia", "familyName": "Vexwood", "enabledUser": "true", "grades": ["09"],
        "roles": [{"roleType": "primary", "role": "student", "org": ref("orgs", "org"), "beginDate": "2026-08-17"}],
    },
    "demographics": {"birthDate": "2011-10-25", "sex": "male", "asian": "true"},
    "enrollments": {
        "user": ref("users", "user"), "class": ref("classes", "class"), "role": "student",
        "beginDate": "2026-08-17",
    },
    "assessmentLineItems": {"title": "Screening", "resultValueMax": 2000.5, "resultValueMin": 0},
    "assessmentResults": {
        "assessmentLineItem": ref("assessmentLineItems", "assessmentLineItem"), "student": ref("users", "user"),
        "scoreStatus": "fully graded", "scoreDate": "2026-10-01", "score": 87.5, "late": "true",
    },
}  # fmt: skip
KINDS = {
    "orgs": "organization", "academicSessions": "session", "courses": "course", "classes": "class", "users": "person",
    "demographics": "person", "enrollments": "enrollment", "assessmentLineItems": "assessment",
    "assessmentResults": "assessment_result",
}  # fmt: skip


@dataclass(frozen=True)
class Quirk:
    """A field of a record as some server writes it, and the leniency by which it is read."""

    collection: str
    field: str
    value: Any
    code: str
    at: str = ""

    @property
    def row(self) -> Row:
        return SPELT_RIGHT[self.collection] | {self.field: self.value}


def role(**more: Any) -> Row:
    return SPELT_RIGHT["users"]["roles"][0] | more


QUIRKS = (
    Quirk("users", "middleName", None, "null-for-absent"),
    Quirk("orgs", "metadata", None, "null-for-absent"),
    Quirk("users", "username", "", "empty-for-absent"),
    Quirk("users", "enabledUser", True, "boolean-as-json"),
    Quirk("users", "enabledUser", "True", "boolean-in-capitals"),
    Quirk("users", "enabledUser", "TRUE ", "boolean-in-capitals"),
    Quirk("users", "enabledUser", "1", "boolean-in-other-words"),
    Quirk("users", "enabledUser", 1, "boolean-in-other-words"),
    Quirk("users", "enabledUser", "yes", "boolean-in-other-words"),
    Quirk("demographics", "asian", "Y", "boolean-in-other-words"),
    Quirk("assessmentResults", "late", "True", "boolean-in-capitals"),
    Quirk("enrollments", "primary", "true", "primary-student"),
    Quirk("demographics", "birthDate", "2011-10-25Z", "date-with-zone"),
    Quirk("demographics", "birthDate", "2011-10-25+00:00Z", "date-with-zone"),
    Quirk("demographics", "birthDate", "2011-10-25T00:00:00.000Z", "date-with-time"),
    Quirk("demographics", "birthDate", "2011-10-25 00:00:00", "date-with-time"),
    Quirk("demographics", "birthDate", "2011-10-25T00:00:00-05:00", "date-with-time"),
    Quirk("demographics", "birthDate", "20111025", "date-in-other-form"),
    Quirk("demographics", "birthDate", "2011/10/25", "date-in-other-form"),
    Quirk("demographics", "birthDate", "10/25/2011", "date-in-other-form"),
    Quirk("demographics", "birthDate", "25.10.2011", "date-in-other-form"),
    Quirk("demographics", "birthDate", "25-OCT-2011", "date-in-other-form"),
    Quirk("demographics", "birthDate", "October 25, 2011", "date-in-other-form"),
    Quirk("enrollments", "endDate", "0000-00-00", "date-of-zeros"),
    Quirk("users", "roles", [role(beginDate="2026-08-17Z")], "date-with-zone", "roles[].beginDate"),
    Quirk("academicSessions", "schoolYear", "2026-2027", "school-year-as-span"),
    Quirk("academicSessions", "schoolYear", "2026-27", "school-year-as-span"),
    Quirk("academicSessions", "schoolYear", 2027, "number-for-text"),
    Quirk("academicSessions", "type", "Grading Period", "code-in-other-spelling"),
    Quirk("classes", "classType", "SCHEDULED", "code-in-other-spelling"),
    Quirk("assessmentResults", "scoreStatus", "Fully_Graded", "code-in-other-spelling"),
    Quirk("users", "roles", [role(role="Student")], "code-in-other-spelling", "roles[].role"),
    Quirk("users", "roles", [role(roleType="Primary")], "code-in-other-spelling", "roles[].roleType"),
    Quirk("demographics", "sex", "M", "code-in-other-words"),
    Quirk("courses", "grades", ["9", "K"], "grade-in-other-words"),
    Quirk("courses", "grades", ["Ninth grade", "kindergarten"], "grade-in-other-words"),
    Quirk("courses", "grades", "09,KG", "text-for-list"),
    Quirk("courses", "subjects", "Reading, advanced", "text-for-list"),
    Quirk("courses", "subjectCodes", [1, 2], "number-for-text", "subjectCodes[]"),
    Quirk("classes", "periods", "1,2", "text-for-list"),
    Quirk("classes", "terms", "academicSessions", "text-for-list"),
    Quirk("classes", "terms", ["academicSessions"], "reference-as-text", "terms[]"),
    Quirk("classes", "terms", ref("academicSessions", "term"), "one-for-list"),
    Quirk("classes", "school", "orgs", "reference-as-text"),
    Quirk("classes", "school", ref("orgs", "org")["href"], "reference-as-text"),
    Quirk("classes", "school", {"href": ref("orgs", "org")["href"]}, "reference-by-address"),
    Quirk("classes", "school", [ref("orgs", "org")], "list-for-one"),
    Quirk("users", "roles", role(), "one-for-list"),
    Quirk("orgs", "identifier", 7, "number-for-text"),
    Quirk("orgs", "name", ["Fennel School"], "list-for-one"),
    Quirk("assessmentLineItems", "resultValueMax", "2000,5", "number-with-comma"),
    Quirk("assessmentLineItems", "resultValueMax", "2,000.5", "number-with-comma"),
)

REFUSED = (
    ("academicSessions", "startDate", "08/07/2026", "bad-date"),
    ("academicSessions", "startDate", "17.8.26", "bad-date"),
    ("academicSessions", "startDate", "2026-02-30", "bad-date"),
    ("academicSessions", "schoolYear", "2026-2028", "bad-year"),
    ("users", "enabledUser", "perhaps", "bad-boolean"),
    ("users", "enabledUser", 2, "bad-boolean"),
    ("classes", "terms", {"value": "academicSessions"}, "bad-reference"),
    ("orgs", "name", {"en": "Fennel School"}, "unreadable-record"),
)
"""(collection, field, value, code): what could mean two things, or none."""


def key(n: int) -> str:
    return f"quirk-{n:03}"


def service() -> Starlette:
    """A record of each collection spelt right, under the collection's name, and one for each quirk."""

    async def token(_: Request) -> Response:
        return JSONResponse({"access_token": "t", "token_type": "bearer", "expires_in": 3600})

    async def page(request: Request) -> Response:
        name = request.path_params["collection"]
        rows = {name: SPELT_RIGHT[name]} if name in SPELT_RIGHT else {}
        if name == "users":  # whose demographics are spelt in many ways
            rows |= {"demographics": SPELT_RIGHT[name]}
            rows |= {key(n): SPELT_RIGHT[name] for n, one in enumerate(QUIRKS) if one.collection == "demographics"}
        rows |= {key(n): one.row for n, one in enumerate(QUIRKS) if one.collection == name}
        rows |= {
            f"refused-{n}": SPELT_RIGHT[name] | {field: value}
            for n, (collection, field, value, _) in enumerate(REFUSED)
            if collection == name
        }
        stamp = {"status": "active", "dateLastModified": "2026-09-01T06:00:00.000Z"}
        told = [{"sourcedId": one} | stamp | row for one, row in rows.items()]
        offset = int(request.query_params.get("offset", 0))
        return JSONResponse({name: told[offset:]}, headers={"X-Total-Count": str(len(told))})

    return Starlette(
        routes=[
            Route("/token", token, methods=["POST"]),
            Route("/ims/oneroster/{service}/v1p2/{collection}", page),
        ]
    )


@dataclass(frozen=True)
class Pulled:
    office: Office
    run: dict[str, Any]
    docs: dict[str, Docs]
    rejects: list[dict[str, Any]]


@pytest.fixture(scope="module")
def pulled(installation: Home) -> Iterator[Pulled]:
    office = Office(installation, "where nothing is spelt right")
    with serve(service()) as url:
        office.connect("oneroster", url)
        run = office.pull("oneroster")
        rejects = office.ask("rejects", "--run", str(run["id"]))["set_aside"]
        yield Pulled(office, run, office.published("oneroster"), rejects)


@pytest.mark.parametrize("n", range(len(QUIRKS)), ids=lambda n: f"{QUIRKS[n].field}={QUIRKS[n].value!r}"[:60])
def test_a_deviation_is_read_and_told(pulled: Pulled, n: int) -> None:
    quirk = QUIRKS[n]
    docs = pulled.docs[KINDS[quirk.collection]]
    assert docs[key(n)] == docs[quirk.collection]
    [told] = [
        one
        for one in pulled.run["leniencies"]
        if (one["collection"], one["code"], one["field"]) == (quirk.collection, quirk.code, quirk.at or quirk.field)
    ]
    alike = [
        (other.collection, other.code, other.at or other.field)
        for other in QUIRKS
        if (other.collection, other.code, other.at or other.field) == (quirk.collection, quirk.code, told["field"])
    ]
    # What asks for two leniencies is counted for both: K in a list as text, an address as text.
    assert told["records"] >= len(alike)
    assert told["examples"] and all(example.startswith("...") for example in told["examples"])


def test_what_is_spelt_right_is_told_of_nowhere(pulled: Pulled) -> None:
    """Each record here deviates in one field; the records that are spelt right would add to the counts."""
    assert sum(one["records"] for one in pulled.run["leniencies"]) == len(QUIRKS)


@pytest.mark.parametrize("n", range(len(REFUSED)), ids=lambda n: f"{REFUSED[n][1]}={REFUSED[n][2]!r}")
def test_what_could_mean_two_things_is_set_aside(pulled: Pulled, n: int) -> None:
    collection, _, _, code = REFUSED[n]
    assert f"refused-{n}" not in pulled.docs[KINDS[collection]]
    ends = {(one["collection"], one["code"]) for one in pulled.rejects}
    assert (collection, code) in ends
    assert len(pulled.rejects) == len(REFUSED)


def test_people_are_told_with_the_ends_of_keys_alone(pulled: Pulled) -> None:
    said = pulled.office.tell("runs", str(pulled.run["id"]))
    assert "Read leniently in demographics birthDate: date-in-other-form, 6 times (as in ...-0" in said
    assert "more leniencies; --json shows all." in said
    assert "quirk-0" not in said
    shown = pulled.office.ask("runs", str(pulled.run["id"]))
    assert shown["leniencies"] == pulled.run["leniencies"]


def test_what_is_unchanged_is_not_counted_again(pulled: Pulled) -> None:
    again = pulled.office.pull("oneroster")
    assert again["leniencies"] == []
