"""The twin has every path of OneRoster 1.1 and of the three services of 1.2, and every row fits its document."""

import re
from typing import Any

import pytest

from tests.openapi import CONTRACTS, document
from tests.twins.oneroster import COLLECTIONS, DISTRICT, ROOT, ROOTS, Client, asked, complaints

with_contract = pytest.mark.skipif(not CONTRACTS.is_dir(), reason=f"no contracts at {CONTRACTS}")
DOCUMENTS = {
    "1.1": ["oneroster/openapi/v1p1/oneroster_v1p1_openapi3.json"],
    "1.2": [
        f"oneroster/openapi/v1p2/onerosterv1p2{service}service_openapi3_v1p0.yaml"
        for service in ("rosters", "gradebook", "resources")
    ],
}
BOTH = ("1.1", "1.2")


def collections(version: str) -> list[str]:
    return [name for name, (_, _, old, _) in COLLECTIONS.items() if version == "1.2" or old]


@with_contract
@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("options", [{}, {"full": True}, {"full": True, "planted": "PLANTED"}, {"tombstones": True}])
def test_every_row_fits_the_document(version: str, options: dict[str, Any]) -> None:
    with asked(version, versions=BOTH, **options) as client:
        for collection in collections(version):
            client.get(client.at(collection), params={"limit": 1})
        client.post("/_twin/change", json={"without_students": 0.2, "with_new_students": 5, "reissued": 1})
        for collection in collections(version):
            rows = client.all(collection)
            assert rows, collection
            for row in rows.values():
                assert complaints(version, collection, row) == []
            (single,) = client.get(client.at(f"{collection}/{next(iter(rows))}")).json().items()
            assert single == (COLLECTIONS[collection][3], rows[next(iter(rows))])


@with_contract
@pytest.mark.parametrize("version", BOTH)
def test_every_path_of_the_document_is_there(version: str) -> None:
    with asked(version, versions=BOTH, full=True) as client:
        one = Something(client)
        for name in DOCUMENTS[version]:
            found = document(name)
            root = ROOT if version == "1.1" else next(part for key, part in ROOTS.items() if f"v1p2{key}" in name)
            for path, operations in found["paths"].items():
                for verb in operations.keys() & {"get", "put", "delete", "post"}:
                    address = f"{client.below}{root}{one.filled(path, verb)}"
                    answer = client.request(verb, address, json={} if verb in ("put", "post") else None)
                    wanted = {"get": 200, "put": 422, "post": 422, "delete": 404}[verb]
                    assert answer.status_code == wanted, (verb, path, answer.text)


class Something:
    """Values for the parameters of a path, each of something that is there; nobody is deleted or written."""

    def __init__(self, client: Client) -> None:
        self._client = client
        student = client.rows("students")[0]["sourcedId"]
        enrollment = next(row for row in client.rows("enrollments") if row["user"]["sourcedId"] == student)
        self._known = {
            "student": student,
            "user": student,
            "teacher": client.rows("teachers")[0]["sourcedId"],
            "class": enrollment["class"]["sourcedId"],
            "school": enrollment["school"]["sourcedId"],
            "course": client.rows("courses")[0]["sourcedId"],
            "term": client.rows("terms")[0]["sourcedId"],
            "academicSession": client.rows("terms")[0]["sourcedId"],
        }
        self._known["lineItem"] = client.rows(f"classes/{self._known['class']}/lineItems")[0]["sourcedId"]

    def filled(self, path: str, verb: str) -> str:
        collection = path.split("/")[1]
        path = re.sub(r"{(\w+)SourcedId}", lambda match: self._known[match[1]], path)
        if "{sourcedId}" not in path:
            return path
        if verb == "delete":
            return path.replace("{sourcedId}", "nobody")
        return path.replace("{sourcedId}", self._client.rows(collection, limit=1)[0]["sourcedId"])


@pytest.mark.parametrize("version", BOTH)
def test_every_href_leads_to_what_it_names(version: str) -> None:
    with asked(version, versions=BOTH, full=True, below="/district") as client:
        client.below = "/district"
        seen: dict[str, str] = {}
        for collection in collections(version):
            gather(client.rows(collection, limit=25), seen)
        assert len(seen) > 50
        for href, sourced_id in seen.items():
            assert href.startswith(f"{client.base_url}".rstrip("/") + "/district/ims/")
            assert ("/v1p1/" in href) == (version == "1.1")
            (row,) = client.get(href).json().values()
            assert row["sourcedId"] == sourced_id


def gather(value: Any, seen: dict[str, str]) -> None:
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        gather(part, seen)
    if isinstance(value, dict) and "href" in value:
        seen[value["href"]] = value["sourcedId"]


def test_a_user_of_1_1_has_one_role_and_orgs() -> None:
    with asked("1.1", versions=BOTH) as client:
        users = client.all("users")
        client.version = "1.2"
        for sourced_id, new in client.all("users").items():
            old = users[sourced_id]
            assert "roles" not in old and "primaryOrg" not in old and "preferredFirstName" not in old
            assert [org["sourcedId"] for org in old["orgs"]] == [role["org"]["sourcedId"] for role in new["roles"]]
            assert old["enabledUser"] is (new["enabledUser"] == "true")
            assert old["role"] in ("administrator", "student", "teacher")
        client.version = "1.1"
        assert len(client.rows("users", filter="role='student'")) == len(DISTRICT.students)


def test_parts_of_a_school_and_a_class() -> None:
    with asked(full=True) as client:
        enrollments, classes = client.all("enrollments").values(), client.all("classes")
        school = client.rows("schools")[0]["sourcedId"]
        own = {sourced_id for sourced_id, row in classes.items() if row["school"]["sourcedId"] == school}
        assert set(client.all(f"schools/{school}/classes")) == own
        assert set(client.all(f"schools/{school}/enrollments")) == {
            row["sourcedId"] for row in enrollments if row["class"]["sourcedId"] in own
        }
        for one in sorted(own)[:3]:
            for role, path in (("student", "students"), ("teacher", "teachers")):
                there = {
                    row["user"]["sourcedId"]
                    for row in enrollments
                    if row["class"]["sourcedId"] == one and row["role"] == role
                }
                assert set(client.all(f"classes/{one}/{path}")) == there
                assert set(client.all(f"schools/{school}/classes/{one}/{path}")) == there
            assert [row["sourcedId"] for row in client.rows(f"classes/{one}/resources")] == [
                part["sourcedId"] for part in classes[one]["resources"]
            ]
            items = client.all(f"classes/{one}/lineItems")
            assert len(items) == 2
            results = client.all(f"classes/{one}/results").values()
            assert {row["lineItem"]["sourcedId"] for row in results} <= set(items)
            assert {row["student"]["sourcedId"] for row in results} == set(client.all(f"classes/{one}/students"))
        answer = client.get(client.at("classes/nobody/students"))
        assert answer.status_code == 404


def test_a_full_district_has_families_grading_periods_and_profiles() -> None:
    with asked(full=True) as client:
        users = client.all("users")
        families = [row for row in users.values() if row["roles"][0]["role"] in ("parent", "guardian", "relative")]
        assert len(families) == len(DISTRICT.contacts)
        for row in families:
            for child in row["agents"]:
                assert row["sourcedId"] in {agent["sourcedId"] for agent in users[child["sourcedId"]]["agents"]}
        assert all(row["userProfiles"] for row in users.values())
        assert {row["type"] for row in client.rows("gradingPeriods")} == {"gradingPeriod"}
        term = client.rows("terms")[0]["sourcedId"]
        assert len(client.rows(f"terms/{term}/gradingPeriods")) == 2


def test_the_gradebook_is_the_same_every_time() -> None:
    with asked() as client, asked() as again:
        for collection in ("categories", "lineItems", "results", "scoreScales", "resources"):
            left, right = client.all(collection), again.all(collection)
            assert left.keys() == right.keys()
            assert [one.get("score") for one in left.values()] == [one.get("score") for one in right.values()]
        states = {row["scoreStatus"] for row in left.values() if "scoreStatus" in row}
        assert states <= {"fully graded", "not submitted"}
