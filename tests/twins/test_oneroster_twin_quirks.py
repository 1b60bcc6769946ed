"""Each switch of the twin's quirks does what it says, and nothing else has it."""

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.oneroster.twin import Quirks, twin
from tests.serving import serve
from tests.twins.oneroster import DISTRICT, Client, asked, complaints

USERS = len(DISTRICT.students) + len(DISTRICT.staff)
GRADES = {student.grade for student in DISTRICT.students}


def paged(client: Client, path: str, limit: int = 20, **query: str) -> list[Any]:
    """All rows as a client meets them that goes on by the rows it was given, until a page is empty."""
    met: list[Any] = []
    while page := client.rows(path, limit=limit, offset=len(met), **query):
        met += page
        assert len(met) < 100_000
    return met


def ids(rows: list[Any]) -> list[str]:
    return [row["sourcedId"] for row in rows]


def first(client: Client, path: str, **query: str | int) -> httpx.Response:
    return client.get(client.at(path), params={"limit": 20, **query})


# --- paging


def test_totals_and_links() -> None:
    with asked(totals=False, link=False) as client:
        assert not {"x-total-count", "link"} & first(client, "users").headers.keys()
    with asked(wrong_total=-3) as client:
        assert first(client, "users").headers["X-Total-Count"] == str(USERS - 3)
        assert len(paged(client, "users")) == USERS


def test_limits() -> None:
    with asked(page_cap=7) as client:
        assert len(client.rows("users", limit=5000)) == 7
    with asked(limit_refused_above=50) as client:
        assert first(client, "users", limit=50).status_code == 200
        assert first(client, "users", limit=51).status_code == 400


def test_an_offset_that_is_ignored_gives_the_first_page_for_ever() -> None:
    with asked(offset_ignored=True) as client:
        assert client.rows("users", limit=20) == client.rows("users", limit=20, offset=40)


@pytest.mark.parametrize(("beyond", "status"), [("empty", 200), ("404", 404), ("400", 400)])
def test_what_is_behind_the_end(beyond: str, status: int) -> None:
    with asked(offset_beyond=beyond) as client:
        assert first(client, "users", offset=USERS).status_code == status
        assert first(client, "users", offset=USERS - 1).status_code == 200
        assert first(client, "gradingPeriods").status_code == 200, "nothing is not behind anything"


def test_rows_are_met_twice_and_counted_once() -> None:
    with asked(duplicates=True) as client:
        met = ids(paged(client, "users"))
        assert (len(met), len(set(met))) == (USERS + 3, USERS)
        assert first(client, "users").headers["X-Total-Count"] == str(USERS)
        assert not set(met[:3]) & set(met[3:20]) and set(met[:3]) & set(met[20:])


@pytest.mark.parametrize("moving", ["order", "removed", "inserted"])
def test_a_list_that_moves_loses_or_repeats_rows_and_then_rests(moving: str) -> None:
    with asked(moving=moving) as client, asked() as still:
        every = set(ids(paged(still, "users")))
        met = ids(paged(client, "users"))
        again = ids(paged(client, "users"))
        assert again == ids(paged(client, "users")) and len(set(again)) == len(again)
        assert set(again) == (every - set(met[:3]) if moving == "removed" else every)
        if moving == "inserted":
            assert len(met) > len(set(met)) and set(met) < every
        else:
            assert len(set(met)) < len(every), "what moved past a page was not met"


@pytest.mark.parametrize("perm_rev", ["steady", "moving"])
def test_revisions(perm_rev: str) -> None:
    with asked(perm_rev=perm_rev) as client:
        seen = [first(client, "users", offset=20 * n).headers["x-perm-rev"] for n in range(6)]
        assert len(set(seen)) == (3 if perm_rev == "moving" else 1) and seen[-1] == seen[-2]
        client.post("/_twin/change", json={"moved": 0.1})
        assert int(first(client, "users").headers["x-perm-rev"]) > int(seen[-1])
        assert first(client, "users").headers["x-count"] == "20"


# --- asking


def test_filters() -> None:
    student = next(one for one in DISTRICT.students if "'" not in one.family)
    same, otherwise = f"familyName='{student.family}'", f"familyName='{student.family.upper()}'"
    with asked() as client:
        wanted = ids(client.rows("users", filter=same))
    assert 0 < len(wanted) < USERS
    with asked(filter="ignored") as client:
        assert len(client.rows("users", filter=same)) == USERS
        assert len(client.rows("users", filter="no filter at all")) == USERS
    with asked(filter="refused") as client:
        assert first(client, "users", filter=same).status_code == 400
    with asked(filter="and-only") as client:
        assert ids(client.rows("users", filter=f"{same} AND status='active'")) == wanted
        assert first(client, "users", filter=f"{same} OR status='active'").status_code == 400
    with asked(filter="case-broken") as client:
        assert ids(client.rows("users", filter=same)) == wanted
        assert client.rows("users", filter=otherwise) == []
    with asked(filter_blind=("grades",)) as client:
        assert first(client, "users", filter="grades='05'").status_code == 400
        assert ids(client.rows("users", filter=same)) == wanted


def test_sorting() -> None:
    with asked(sort="ignored") as client:
        rows = ids(client.rows("users", sort="familyName", orderBy="desc"))
        assert rows == ids(client.rows("users")) == sorted(rows, key=lambda one: one[::-1]) != sorted(rows)
    for version, code in (("1.1", "invalid_sort_field"), ("1.2", None)):
        with asked(version, sort="refused", versions=(version,)) as client:
            answer = first(client, "users", sort="familyName")
            assert answer.status_code == 400
            assert (code or "imsx_codeMajor") in answer.text


# --- spelling


def test_shapes() -> None:
    for version, shape in (("1.1", "1.2"), ("1.2", "1.1")):
        with asked(version, versions=(version,), shape=shape) as client:
            assert {"roles" in row for row in client.rows("users")} == {shape == "1.2"}
    with asked(shape="mixed") as client:
        rows = client.rows("users")
        assert {"roles" in row for row in rows} == {True, False}
        for row in rows:
            assert complaints("1.2" if "roles" in row else "1.1", "users", row) == []


def test_envelopes() -> None:
    def envelopes(**options: Any) -> list[Any]:
        with asked(**options) as client:
            found = [first(client, path).json() for path in ("students", "academicSessions")]
            return [list(one) if isinstance(one, dict) else type(one) for one in found]

    assert envelopes() == [["users"], ["academicSessions"]]
    assert envelopes(envelope="other-case") == [["Users"], ["AcademicSessions"]]
    assert envelopes(envelope="other-name") == [["students"], ["academicSessions"]]
    assert envelopes(envelope="bare-list") == [list, list]
    with asked(envelope="bare-list") as client:
        org = client.get(client.at("orgs")).json()[0]["sourcedId"]
        assert client.get(client.at(f"orgs/{org}")).json()["sourcedId"] == org


def one_user(**options: Any) -> dict[str, Any]:
    with asked(**options) as client:
        found: dict[str, Any] = client.rows("students", limit=1)[0]
        return found


def test_what_is_absent() -> None:
    assert None not in one_user().values() and "" not in one_user().values()
    null, empty, both = (one_user(nulls=nulls) for nulls in ("null", "empty", "both"))
    assert null["pronouns"] is None and null["agents"] is None and "" not in null.values()
    assert empty["pronouns"] == "" and "agents" not in empty
    assert (both["pronouns"], both["agents"], both["metadata"]) == ("", None, None)


@pytest.mark.parametrize(("booleans", "spelt"), [("text", "true"), ("json", True), ("Title", "True")])
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_booleans(booleans: str, spelt: object, version: str) -> None:
    with asked(version, versions=(version,), booleans=booleans) as client:
        enabled = client.rows("students", limit=1)[0]["enabledUser"]
        assert enabled == spelt and type(enabled) is type(spelt)


@pytest.mark.parametrize(
    ("dates", "day", "moment"),
    [
        ("iso", "2026-08-17", "2026-07-01T00:00:00.000Z"),
        ("z-date", "2026-08-17Z", "2026-07-01T00:00:00.000Z"),
        ("no-zone", "2026-08-17", "2026-07-01T00:00:00.000"),
        ("offset-z", "2026-08-17", "2026-07-01T00:00:00.000+00:00Z"),
        ("date-time", "2026-08-17T00:00:00.000Z", "2026-07-01T00:00:00.000Z"),
        ("day", "2026-08-17", "2026-07-01"),
        ("us", "08/17/2026", "2026-07-01T00:00:00.000Z"),
    ],
)
def test_dates(dates: str, day: str, moment: str) -> None:
    begins = min(term.begin for term in DISTRICT.terms).isoformat()
    with asked(dates=dates) as client:
        row = next(row for row in client.rows("academicSessions") if row["type"] == "term")
        assert row["dateLastModified"] == moment
        plain = day.replace("2026-08-17", begins).replace("08/17/2026", f"{begins[5:7]}/{begins[8:]}/{begins[:4]}")
        assert plain in (one["startDate"] for one in client.rows("academicSessions"))
        assert client.rows("users", filter="dateLastModified>'2026-06-01T00:00:00Z'"), "filters see what is meant"


def test_grades() -> None:
    def spelt(**options: Any) -> set[str]:
        with asked(**options) as client:
            return {grade for row in client.rows("students") for grade in row["grades"]}

    assert spelt() == GRADES
    assert {"First grade", "Twelfth grade", "Kindergarten"} & spelt(grades="words")
    assert spelt(grades="unpadded") == {str(int(one)) if one.isdecimal() else one for one in GRADES}
    assert spelt(grades="KG") - GRADES <= {"K", "Kinder", "kindergarten"}
    assert spelt(grades="KG") - GRADES if "KG" in GRADES else True


def test_who_is_primary_and_who_has_a_username() -> None:
    with asked(primaries="students", usernames=False) as client:
        for row in client.rows("enrollments"):
            assert row.get("primary") == ("false" if row["role"] == "student" else None)
        assert {row["username"] for row in client.rows("users")} == {""}


def test_references() -> None:
    def references(**options: Any) -> tuple[Any, Any]:
        with asked(**options) as client:
            row = client.rows("enrollments", limit=1)[0]
            user = client.rows("students", limit=1)[0]
            return row["class"], user["roles"][0]["org"]

    for ref in references():
        assert ref.keys() == {"href", "sourcedId", "type"}
    for ref in references(refs="href-only"):
        assert ref.keys() == {"href"}
    for ref in references(refs="no-id"):
        assert ref["sourcedId"] == "" and ref["href"]
    for ref in references(refs="text"):
        assert isinstance(ref, str)
    with asked(id_case=True) as client:
        classes = ids(client.rows("classes"))
        named = client.rows("enrollments", limit=1)[0]["class"]["sourcedId"]
        assert named not in classes and named.lower() in classes


def test_bytes() -> None:
    with asked(bom=True) as client:
        body = first(client, "users").content
        assert body.startswith(b"\xef\xbb\xbf") and len(json.loads(body.decode("utf-8-sig"))["users"]) == 20
    with asked(gzip=True) as client:
        answer = first(client, "users")
        assert answer.headers["Content-Encoding"] == "gzip" and len(answer.json()["users"]) == 20


# --- truth


@pytest.mark.parametrize("inactive", [False, True])
def test_tombstones(inactive: bool) -> None:
    with asked(tombstones=True, inactive=inactive) as client:
        client.post("/_twin/change", json={"without_students": 0.25})
        gone = [row for row in client.rows("students") if row["status"] != "active"]
        assert len(gone) == 15 and {row["status"] for row in gone} == {"inactive" if inactive else "tobedeleted"}


def test_a_refresh_touches_every_row() -> None:
    with asked(refresh_times=True) as client:
        before = {row["dateLastModified"] for row in client.rows("users")}
        client.post("/_twin/change", json={"moved": 0.1})
        (after,) = {row["dateLastModified"] for row in client.rows("users")}
        assert len(before) == 1 and after > max(before) > "2026-07-01"
        assert len(client.rows("users", filter=f"dateLastModified>'{max(before)}'")) == USERS


def test_rows_that_do_not_say_when_they_changed() -> None:
    with asked(undated=3) as client:
        undated = [row for row in client.rows("users") if "dateLastModified" not in row]
        assert 0 < len(undated) < USERS
        found = client.rows("users", filter="dateLastModified>'1990-01-01T00:00:00.000Z'")
        assert len(found) == USERS - len(undated)


def test_a_change_that_is_stamped_with_an_earlier_time() -> None:
    with asked(stamps_behind=36_000) as client:
        client.post("/_twin/change", json={"moved": 0.1})
        newest = max(row["dateLastModified"] for row in client.rows("enrollments"))
        behind = datetime.now(UTC) - datetime.fromisoformat(newest)
        assert timedelta(hours=9.9) < behind < timedelta(hours=10.1)


def test_a_filter_by_days_a_filter_that_finds_nothing_and_a_count_of_everything() -> None:
    born = "dateLastModified>'2026-07-01T{}.000Z'".format
    with asked(filter="by-day") as client:
        assert client.rows("users", filter="dateLastModified>'2026-06-30T23:59:59.000Z'")
        client.post("/_twin/change", json={"moved": 0.1})
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        assert client.rows("enrollments", filter=f"dateLastModified>'{today}T00:00:00.000Z'") == []
    with asked(filter="finds-nothing") as client:
        assert client.rows("users", filter=born("00:00:00").replace("2026", "1990")) == []
    with asked(counts="everything") as client:
        answer = first(client, "users", filter=born("12:00:00"))
        assert (answer.json()["users"], answer.headers["X-Total-Count"]) == ([], str(USERS))


def test_bad_rows_and_references_to_nobody() -> None:
    with asked(bad_rows=4, dangling=2) as client, asked() as right:
        rows, good = client.rows("enrollments"), right.rows("enrollments")
        assert [row["user"]["sourcedId"].startswith("nobody-") for row in rows[:2]] == [True, True]
        wrong_type, incomplete, nameless, text = rows[2:6]
        assert isinstance(text, str) and "sourcedId" not in nameless
        assert wrong_type.keys() == good[2].keys() and wrong_type["sourcedId"] == good[2]["sourcedId"]
        assert complaints("1.2", "enrollments", wrong_type) and complaints("1.2", "enrollments", incomplete)
        assert len(incomplete) == len(good[3]) - 1
        assert rows[6:] == [unhosted(row, right, client) for row in good[6:]], "the others are as they were"


def test_students_who_are_two() -> None:
    with asked(doubled=3) as client:
        students = client.all("students")
        assert len(students) == len(DISTRICT.students) + 3
        again = {sourced_id: row for sourced_id, row in students.items() if sourced_id.endswith("-again")}
        in_class = {row["user"]["sourcedId"] for row in client.rows("enrollments")}
        for sourced_id, row in again.items():
            assert row == students[sourced_id.removesuffix("-again")] | {"sourcedId": sourced_id}
            assert sourced_id not in in_class


def unhosted(row: dict[str, Any], of: Client, to: Client) -> Any:
    return json.loads(json.dumps(row).replace(str(of.base_url).rstrip("/"), str(to.base_url).rstrip("/")))


def test_a_clock_that_is_ahead() -> None:
    with asked(clock_ahead=3600, refresh_times=True) as client:
        answer = first(client, "users")
        ahead = parsedate_to_datetime(answer.headers["Date"]) - datetime.now(UTC)
        assert timedelta(minutes=50) < ahead < timedelta(minutes=70)
        assert answer.json()["users"][0]["dateLastModified"] > datetime.now(UTC).isoformat()


def test_errors_for_persons() -> None:
    with asked(html_errors=True) as client:
        answer = client.get(client.at("orgs/nobody"))
        assert answer.status_code == 404 and answer.headers["Content-Type"].startswith("text/html")


def test_every_switch_is_tried_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [field.name for field in fields(Quirks) if f"{field.name}=" not in text and field.name != "moves"] == []


def test_without_a_switch_every_row_is_as_published() -> None:
    with serve(twin(DISTRICT, quirks=Quirks())) as url, Client(base_url=url) as client:
        client.sign_in()
        assert complaints("1.2", "users", client.rows("users")[0]) == []
