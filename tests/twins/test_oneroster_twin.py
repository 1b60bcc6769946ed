"""The OneRoster twin keeps the published contract and plays the facts of the invented district."""

import csv
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.oneroster.twin import app, twin
from connectors.oneroster.twin_files import export
from synthetic import build
from tests.openapi import CONTRACTS, document, validator
from tests.serving import serve

with_contract = pytest.mark.skipif(not CONTRACTS.is_dir(), reason=f"no contracts at {CONTRACTS}")

DISTRICT = build(students=200)
SCOPE = "https://purl.imsglobal.org/spec/or/v1p2/scope/"
ROSTERING, GRADEBOOK = "/ims/oneroster/rostering/v1p2", "/ims/oneroster/gradebook/v1p2"
# path -> its OpenAPI component without DType, the envelope of many, the envelope of one
ROSTERED = {
    "orgs": ("Org", "orgs", "org"),
    "schools": ("Org", "orgs", "org"),
    "academicSessions": ("AcademicSession", "academicSessions", "academicSession"),
    "terms": ("AcademicSession", "academicSessions", "academicSession"),
    "gradingPeriods": ("AcademicSession", "academicSessions", "academicSession"),
    "courses": ("Course", "courses", "course"),
    "classes": ("Class", "classes", "class"),
    "users": ("User", "users", "user"),
    "students": ("User", "users", "user"),
    "teachers": ("User", "users", "user"),
    "enrollments": ("Enrollment", "enrollments", "enrollment"),
    "demographics": ("Demographics", "demographics", "demographics"),
}
GRADED = {
    "assessmentLineItems": ("AssessmentLineItem", "assessmentLineItems", "assessmentLineItem"),
    "assessmentResults": ("AssessmentResult", "assessmentResults", "assessmentResult"),
}
COLLECTIONS = {**ROSTERED, **GRADED}


def address(collection: str) -> str:
    return f"{ROSTERING if collection in ROSTERED else GRADEBOOK}/{collection}"


class Client(httpx.Client):
    """An HTTP client that holds a token of the twin's."""

    def sign_in(self, *scopes: str) -> None:
        form = {"grant_type": "client_credentials", "scope": " ".join(SCOPE + scope for scope in scopes)}
        answer = self.post("/token", data=form, auth=("demo-client", "demo-secret"))
        self.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def rows(self, collection: str, **query: str | int) -> list[dict[str, Any]]:
        answer = self.get(address(collection), params={"limit": 500, **query})
        assert answer.status_code == 200, answer.text
        return answer.json()[COLLECTIONS[collection][1]]

    def all(self, collection: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        while page := self.rows(collection, offset=len(found)):
            found |= {row["sourcedId"]: row for row in page}
        return found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(twin(DISTRICT)) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(base_url=url) as client:
        client.sign_in()
        client.post("/_twin/change", json={"reset": True})
        yield client


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of a twin of its own, built with the options of the parameter."""
    with serve(twin(DISTRICT, **getattr(request, "param", {}))) as url, Client(base_url=url) as client:
        client.sign_in()
        yield client


def contract(collection: str) -> dict[str, Any]:
    service = "rosters" if collection in ROSTERED else "gradebook"
    return document(f"oneroster/openapi/v1p2/onerosterv1p2{service}service_openapi3_v1p0.yaml")


def check(collection: str, component: str, answer: httpx.Response) -> None:
    validator(contract(collection), {"$ref": f"#/components/schemas/{component}DType"}).validate(answer.json())


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield value


# --- the published contract


@with_contract
@pytest.mark.parametrize("own", [{}, {"planted": "PLANTED"}, {"tombstones": True}], indirect=True)
def test_every_answer_fits_the_contract(own: Client) -> None:
    own.post("/_twin/change", json={"without_students": 0.2, "with_new_students": 10, "moved": 0.1, "reissued": 1})
    for collection, (component, _, single) in COLLECTIONS.items():
        offset = 0
        while True:
            answer = own.get(address(collection), params={"limit": 500, "offset": offset})
            check(collection, f"{component}Set", answer)
            (rows,) = answer.json().values()
            if not rows:
                break
            offset += len(rows)
        assert bool(offset) == (collection != "gradingPeriods")
        if offset:
            one = own.get(f"{address(collection)}/{own.rows(collection)[0]['sourcedId']}")
            check(collection, f"Single{component}", one)
            assert list(one.json()) == [single]


@with_contract
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_every_property_of_the_contract_can_be_selected_and_filtered(client: Client, collection: str) -> None:
    schemas = contract(collection)["components"]["schemas"]
    properties = schemas[f"{COLLECTIONS[collection][0]}DType"]["properties"]
    for name in properties:
        for row in client.rows(collection, fields=name, limit=3):
            assert set(row) <= {name}
        value = "2026-01-01T00:00:00Z" if name == "dateLastModified" else "x"
        client.rows(collection, filter=f"{name}!='{value}'", limit=1)


@with_contract
@pytest.mark.parametrize(("root", "paths"), [(ROSTERING, ROSTERED), (GRADEBOOK, GRADED)])
def test_scopes_are_those_of_the_contract(client: Client, root: str, paths: dict[str, object]) -> None:
    for scope in ("roster.readonly", "roster-core.readonly", "roster-demographics.readonly", "assessment.readonly"):
        client.sign_in(scope)
        for path in paths:
            for asked in (f"/{path}", f"/{path}/{{sourcedId}}"):
                (security,) = contract(path)["paths"][asked]["get"]["security"]
                allowed = SCOPE + scope in security["OAuth2CC"]
                answer = client.get(root + asked.format(sourcedId="nobody"))
                assert answer.status_code == ((404 if "{" in asked else 200) if allowed else 403), (scope, asked)
                if not answer.is_success:
                    check(path, "imsx_StatusInfo", answer)


def test_spelling_that_no_schema_can_check(client: Client) -> None:
    for collection in COLLECTIONS:
        for row in client.rows(collection):
            assert None not in set(leaves(row)), "an absent value is left out"
            assert not {True, False} & {leaf for leaf in leaves(row) if isinstance(leaf, bool)}
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["dateLastModified"])


def test_every_href_leads_to_what_it_names(client: Client) -> None:
    seen: dict[str, str] = {}

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if "href" in value:
                seen[value["href"]] = value["sourcedId"]
            for item in value.values():
                collect(item)
        elif isinstance(value, list):
            for item in value:
                collect(item)

    for collection in COLLECTIONS:
        collect(client.rows(collection, limit=100))
    assert len(seen) > 100
    for href, sourced_id in seen.items():
        assert href.startswith(str(client.base_url).rstrip("/"))
        (row,) = client.get(href).json().values()
        assert row["sourcedId"] == sourced_id


# --- the facts


def test_all_collections_state_the_district(client: Client) -> None:
    orgs, classes, users = client.all("orgs"), client.all("classes"), client.all("users")
    number = {sourced_id: org["identifier"] for sourced_id, org in orgs.items()}
    assert set(number.values()) == {str(n) for n in (DISTRICT.number, *(s.number for s in DISTRICT.schools))}
    assert {(number[row["school"]["sourcedId"]], row["classCode"]) for row in classes.values()} == {
        (str(section.school), section.code) for section in DISTRICT.sections
    }
    assert {row["courseCode"] for row in client.rows("courses")} == {course.code for course in DISTRICT.courses}
    assert {row["identifier"] for row in client.all("students").values()} == {
        student.number for student in DISTRICT.students
    }
    assert {row["identifier"] for row in client.all("teachers").values()} == {
        person.number for person in DISTRICT.staff if person.role == "teacher"
    }
    assert {(row["userIds"][0]["type"], row["userIds"][0]["identifier"]) for row in users.values()} == {
        ("studentNumber", one.number) for one in DISTRICT.students
    } | {("staffNumber", one.number) for one in DISTRICT.staff}
    assert {
        (
            classes[row["class"]["sourcedId"]]["classCode"],
            number[row["school"]["sourcedId"]],
            users[row["user"]["sourcedId"]]["identifier"],
            row["role"],
            row.get("primary"),
            row["beginDate"],
        )
        for row in client.all("enrollments").values()
    } == {
        (
            one.section,
            str(one.school),
            one.person,
            one.role,
            None if one.role == "student" else str(one.primary).lower(),
            one.begin.isoformat(),
        )
        for one in DISTRICT.enrollments
    }


def test_sessions_end_on_the_first_day_after(client: Client) -> None:
    sessions = {row["title"]: row for row in client.rows("academicSessions")}
    assert sessions["School Year 2026-27"]["type"] == "schoolYear"
    assert sessions["School Year 2026-27"]["endDate"] == "2027-05-29"
    assert (sessions["Fall Semester 2026"]["type"], sessions["Fall Semester 2026"]["schoolYear"]) == ("term", "2027")
    assert len(client.rows("terms")) == 2
    assert client.rows("gradingPeriods") == []


def test_only_the_interim_assessment_is_here(client: Client) -> None:
    items = client.all("assessmentLineItems")
    (parent,) = (row for row in items.values() if "parentAssessmentLineItem" not in row)
    assert parent["metadata"] == {"purpose": "interim"}
    (test,) = (test for test in DISTRICT.assessments if test.purpose == "interim")
    assert (parent["title"], len(items)) == (test.title, 1 + len(test.objectives))
    sat = {one.student: one for one in DISTRICT.sittings if one.assessment == test.code}
    users = client.all("students")
    results = client.all("assessmentResults").values()
    assert len(results) == len(sat) * len(items)
    whole = [row for row in results if row["assessmentLineItem"]["sourcedId"] == parent["sourcedId"]]
    assert {
        (users[row["student"]["sourcedId"]]["identifier"], row["score"], row["scorePercentile"]) for row in whole
    } == {(number, one.score, one.percentile) for number, one in sat.items()}


@pytest.mark.parametrize("own", [{"planted": "PLANTED-7"}], indirect=True)
def test_planted_values_stand_wherever_a_district_needs_none(own: Client) -> None:
    for user in own.rows("users"):
        (profile,) = user["userProfiles"]
        (credential,) = profile["credentials"]
        found = {user["password"], *user["metadata"].values(), profile["description"]}
        assert found | {credential["username"], credential["password"]} == {"PLANTED-7"}
    for row in own.rows("demographics"):
        assert {row[name] for name in ("countryOfBirthCode", "stateOfBirthAbbreviation", "cityOfBirth")} == {
            "PLANTED-7"
        }


def test_nothing_is_planted_unless_asked(client: Client) -> None:
    assert not {"password", "userProfiles", "metadata"} & {key for row in client.rows("users") for key in row}
    assert "cityOfBirth" not in client.rows("demographics")[0]


# --- authorization


def ask_token(client: httpx.Client, auth: tuple[str, str] | None = ("demo-client", "demo-secret"), **form: str) -> Any:
    return client.post("/token", data=form, auth=auth, headers={"Authorization": ""} if not auth else {})


def test_a_token_for_the_scopes_that_are_known(client: Client) -> None:
    answer = ask_token(client, grant_type="client_credentials", scope=f"{SCOPE}roster.readonly {SCOPE}roster.writeonly")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    token = answer.json()
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
    assert token["scope"] == f"{SCOPE}roster.readonly"


def test_no_scope_asked_all_granted(client: Client) -> None:
    answer = ask_token(client, grant_type="client_credentials")
    assert len(answer.json()["scope"].split()) == 13


@pytest.mark.parametrize(
    ("auth", "form", "status", "error"),
    [
        (None, {"grant_type": "client_credentials"}, 401, "invalid_client"),
        (("demo-client", "wrong"), {"grant_type": "client_credentials"}, 401, "invalid_client"),
        (("else", "demo-secret"), {"grant_type": "client_credentials"}, 401, "invalid_client"),
        (("demo-client", "demo-secret"), {}, 400, "invalid_request"),
        (("demo-client", "demo-secret"), {"grant_type": "password"}, 400, "unsupported_grant_type"),
        (
            ("demo-client", "demo-secret"),
            {"grant_type": "client_credentials", "scope": "http://purl.imsglobal.org/spec/or/v1p2/scope/x"},
            400,
            "invalid_scope",
        ),
    ],
)
def test_refused_tokens(
    client: Client, auth: tuple[str, str] | None, form: dict[str, str], status: int, error: str
) -> None:
    answer = ask_token(client, auth, **form)
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("header", ["", "Bearer nonsense", "Basic ZGVtbw=="])
def test_no_token_no_rows(client: Client, header: str) -> None:
    answer = client.get(address("orgs"), headers={"Authorization": header})
    assert answer.status_code == 401
    assert minor(answer) == "unauthorisedrequest"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("own", [{"token_seconds": 0.2}], indirect=True)
def test_a_token_ends(own: Client) -> None:
    own.rows("orgs")
    time.sleep(0.25)
    assert own.get(address("orgs")).status_code == 401


def test_an_expired_token_is_refused_and_a_new_one_good(client: Client) -> None:
    client.put("/_twin/faults", json=[{"kind": "expire_tokens", "path": "/orgs"}])
    assert client.get(address("orgs")).status_code == 401
    client.sign_in()
    assert client.get(address("orgs")).status_code == 200


# --- queries


def minor(answer: httpx.Response) -> str:
    info = answer.json()
    assert (info["imsx_codeMajor"], info["imsx_severity"]) == ("failure", "error")
    (field,) = info["imsx_CodeMinor"]["imsx_codeMinorField"]
    return str(field["imsx_codeMinorFieldValue"])


@pytest.mark.parametrize("own", [{"page_cap": 70}], indirect=True)
def test_paging_by_link_meets_every_row_once(own: Client) -> None:
    pages, total = [], None
    answer = own.get(address("enrollments"), params={"limit": 5000, "filter": "role='student'"})
    while True:
        pages.append([row["sourcedId"] for row in answer.json()["enrollments"]])
        total = total or answer.headers["X-Total-Count"]
        assert answer.headers["X-Total-Count"] == total
        if "next" not in answer.links:
            break
        answer = own.get(answer.links["next"]["url"])
    found = [sourced_id for page in pages for sourced_id in page]
    assert {len(page) for page in pages[:-1]} == {70}
    assert found == sorted(set(found))
    students = [one for one in DISTRICT.enrollments if one.role == "student"]
    assert len(found) == int(total) == len(students)
    assert answer.links["prev"] and answer.links["first"]
    assert own.get(answer.links["last"]["url"]).json() == answer.json()


def test_links_of_pages_that_come_out_even(client: Client) -> None:
    def links(offset: int) -> dict[str, str]:
        answer = client.get(address("orgs"), params={"limit": 2, "offset": offset})
        return {rel: link["url"].partition("?")[2] for rel, link in answer.links.items()}

    ends = {"first": "limit=2&offset=0", "last": "limit=2&offset=2"}
    assert links(0) == {**ends, "next": "limit=2&offset=2"}
    assert links(2) == {**ends, "prev": "limit=2&offset=0"}


def test_default_limit_and_the_end(client: Client) -> None:
    assert len(client.get(address("enrollments")).json()["enrollments"]) == 100
    assert client.rows("orgs", offset=99) == []


@pytest.mark.parametrize("own", [{"totals": False, "link": False}], indirect=True)
def test_headers_can_be_missing(own: Client) -> None:
    headers = own.get(address("users")).headers
    assert "X-Total-Count" not in headers and "Link" not in headers


def test_sort_and_order(client: Client) -> None:
    for order in ("asc", "desc"):
        names = [row["familyName"] for row in client.rows("users", sort="familyName", orderBy=order)]
        assert names == sorted(names, reverse=order == "desc") and len(set(names)) > 10
    ids = [row["sourcedId"] for row in client.rows("users", sort="shoeSize")]
    assert ids == sorted(ids)


def test_filters(client: Client) -> None:
    def names(filter: str, collection: str = "users") -> set[str]:
        return {row["identifier"] for row in client.rows(collection, filter=filter)}

    people = [*DISTRICT.students, *DISTRICT.staff]
    one = next(student for student in DISTRICT.students if "'" not in student.family)
    namesakes = {person.number for person in people if person.family.lower() == one.family.lower()}
    fives = {student.number for student in DISTRICT.students if student.grade == "05"}
    assert names(f"identifier='{one.number}'") == {one.number}
    assert names(f"familyName='{one.family.upper()}'") == namesakes
    assert names(f"familyName!='{one.family}'") == {person.number for person in people} - namesakes
    assert names("grades='05'") == fives and fives
    assert names("grades~'05,06'") == fives | {student.number for student in DISTRICT.students if student.grade == "06"}
    assert names("grades='05,06'") == set()
    assert names(f"grades='05' AND familyName='{one.family}'") == fives & namesakes
    assert names(f"grades='05' OR familyName='{one.family}'") == fives | namesakes
    assert names("roles.role='principal'") == {person.number for person in DISTRICT.staff if person.role == "principal"}
    assert names(f"email~'{one.number}@'") == {one.number}
    cut = one.number
    assert names(f"identifier>='{cut}'", "students") == {
        student.number for student in DISTRICT.students if student.number >= cut
    }
    assert names(f"identifier<'{cut}'", "students") == {
        student.number for student in DISTRICT.students if student.number < cut
    }
    assert names("status='tobedeleted'") == set()
    scores = [row["score"] for row in client.rows("assessmentResults", filter="score>'99.5' AND score<='200'")]
    assert scores and max(scores) <= 200


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"filter": "shoeSize='41'"}, 400, "invalid_filter_field"),
        ({"filter": "familyName=O'Hallowin"}, 400, "invalid_filter_field"),
        ({"filter": "status='a' AND status='b' AND status='c'"}, 400, "invalid_filter_field"),
        ({"filter": "dateLastModified>'yesterday'"}, 400, "invalid_filter_field"),
        ({"fields": "sourcedId,shoeSize"}, 400, "invalid_selection_field"),
        ({"limit": "0"}, 422, "invaliddata"),
        ({"limit": "many"}, 422, "invaliddata"),
        ({"offset": "-1"}, 422, "invaliddata"),
        ({"orderBy": "random"}, 422, "invaliddata"),
    ],
)
def test_refused_queries(client: Client, query: dict[str, str], status: int, code: str) -> None:
    answer = client.get(address("users"), params=query)
    assert (answer.status_code, minor(answer)) == (status, code)


def test_one_view_does_not_show_the_rows_of_another(client: Client) -> None:
    teacher = client.rows("teachers")[0]["sourcedId"]
    assert client.get(f"{address('users')}/{teacher}").status_code == 200
    answer = client.get(f"{address('students')}/{teacher}")
    assert (answer.status_code, minor(answer)) == (404, "unknownobject")


def test_fields_of_one(client: Client) -> None:
    org = client.rows("orgs")[0]
    answer = client.get(f"{address('orgs')}/{org['sourcedId']}", params={"fields": "name,identifier"})
    assert answer.json() == {"org": {"name": org["name"], "identifier": org["identifier"]}}


def test_writing_is_not_supported(client: Client) -> None:
    answer = client.put(f"{address('orgs')}/x", json={})
    assert (answer.status_code, answer.json()["imsx_codeMajor"]) == (405, "unsupported")


# --- days that pass


def deltas(client: Client, collection: str) -> list[dict[str, Any]]:
    return client.rows(collection, filter="dateLastModified>'2026-07-01T00:00:00.000Z'")


def test_removed_rows_vanish(own: Client) -> None:
    before = own.all("students")
    own.post("/_twin/change", json={"without_students": 0.25})
    after = own.all("students")
    assert (len(before), len(after)) == (200, 150)
    assert set(after) < set(before)
    assert deltas(own, "users") == []


@pytest.mark.parametrize("own", [{"tombstones": True}], indirect=True)
def test_removed_rows_stay_as_tombstones_when_asked(own: Client) -> None:
    before = own.all("students")
    own.post("/_twin/change", json={"without_students": 0.25})
    gone = own.rows("students", filter="status='tobedeleted'")
    assert len(gone) == 50 and len(own.all("students")) == 200
    assert gone == deltas(own, "students")
    for row in gone:
        kept = {"status": "active", "dateLastModified": before[row["sourcedId"]]["dateLastModified"]}
        assert row | kept == before[row["sourcedId"]]
    own.post("/_twin/change", json={"reset": True})
    assert own.rows("students", filter="status='tobedeleted'") == []
    assert len(deltas(own, "students")) == 50


def test_deltas_show_what_changed_and_nothing_else(own: Client) -> None:
    own.post("/_twin/change", json={"moved": 0.1})
    changed = deltas(own, "enrollments")
    assert len(changed) == 40, "20 ended, 20 new"
    assert deltas(own, "users") == []
    last = max(row["dateLastModified"] for row in changed)
    own.post("/_twin/change", json={"with_new_students": 3})
    newer = own.rows("users", filter=f"dateLastModified>'{last}'")
    assert len(newer) == 3 == len(own.rows("demographics", filter=f"dateLastModified>'{last}'"))


@pytest.mark.parametrize(("status", "code"), [(429, "server_busy"), (500, "internal_server_error")])
def test_faults_speak_oneroster(client: Client, status: int, code: str) -> None:
    client.put("/_twin/faults", json=[{"kind": "status", "path": "/classes", "status": status}])
    answer = client.get(address("classes"))
    assert (answer.status_code, minor(answer)) == (status, code)
    assert client.get(address("classes")).status_code == 200


def test_revoked_credentials_get_no_token(client: Client) -> None:
    client.put("/_twin/faults", json=[{"kind": "revoke", "path": "/classes"}])
    assert client.get(address("classes")).status_code == 401
    form = {"grant_type": "client_credentials"}
    assert client.post("/token", data=form, auth=("demo-client", "demo-secret")).json() == {"error": "invalid_client"}
    client.delete("/_twin/faults")
    client.sign_in()
    assert client.get(address("classes")).status_code == 200


def test_reissued_ids_are_all_new_and_lead_to_the_same(own: Client) -> None:
    before = {name: own.all(name) for name in COLLECTIONS}
    own.post("/_twin/change", json={"reissued": 1})
    after = {name: own.all(name) for name in COLLECTIONS}
    for name, rows in after.items():
        assert len(rows) == len(before[name]) and not rows.keys() & before[name].keys()
    people = {row["sourcedId"]: row["identifier"] for row in after["users"].values()}
    assert sorted(people.values()) == sorted(row["identifier"] for row in before["users"].values())
    for row in after["enrollments"].values():
        assert row["user"]["sourcedId"] in people
        assert row["class"]["href"].endswith(f"/classes/{row['class']['sourcedId']}")
        assert row["class"]["sourcedId"] in after["classes"]


# --- an export in files


def test_an_export_says_what_the_service_says(own: Client, tmp_path: Path) -> None:
    export(DISTRICT, tmp_path)
    files = {path.stem: path.read_text(encoding="utf-8").splitlines() for path in tmp_path.iterdir()}
    rows = {name: list(csv.DictReader(lines)) for name, lines in files.items()}
    for name in ("orgs", "academicSessions", "courses", "classes", "users", "enrollments", "demographics"):
        assert {row["sourcedId"] for row in rows[name]} == own.all(name).keys()
    assert {row["userSourcedId"] for row in rows["roles"]} == own.all("users").keys()
    enrollments = own.all("enrollments")
    for row in rows["enrollments"]:
        assert row["classSourcedId"] == enrollments[row["sourcedId"]]["class"]["sourcedId"]
        assert row["endDate"] == enrollments[row["sourcedId"]]["endDate"]


def test_an_export_can_be_marked_and_misspelt(tmp_path: Path) -> None:
    export(DISTRICT, tmp_path, mark="\ufeff", respelt={"identifier": "identifer"})
    header = (tmp_path / "users.csv").read_bytes().splitlines()[0]
    assert header.startswith(b"\xef\xbb\xbfsourcedId,") and b",identifer," in header and b",identifier," not in header


# --- as a program, and in size


def test_app_takes_its_size_and_names_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "STUDENTS": "20",
        "SCHOOLS": "2",
        "SEED": "3",
        "CLIENT_ID": "me",
        "CLIENT_SECRET": "s:e",
        "PAGE_CAP": "7",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"TWIN_{name}", value)
    with serve(app()) as url, Client(base_url=url) as client:
        answer = ask_token(client, ("me", "s%3Ae"), grant_type="client_credentials")
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        assert len(client.rows("students")) == 7
        wanted = {student.number for student in build(schools=2, students=20, seed=3).students}
        assert {row["identifier"] for row in client.all("students").values()} == wanted
        assert len(client.rows("schools")) == 2


def test_a_page_of_a_hundred_thousand_is_as_fast_as_any() -> None:
    with serve(twin(build(students=13_500))) as url, Client(base_url=url) as client:
        client.sign_in()
        client.rows("enrollments")
        begin = time.perf_counter()
        for offset in range(0, 100_000, 10_000):
            assert len(client.rows("enrollments", offset=offset)) == 500
        assert time.perf_counter() - begin < 2
