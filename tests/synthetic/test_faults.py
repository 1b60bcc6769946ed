"""Every fault is seen by a client at the other end of a socket, as often as it was asked for and no oftener."""

import time
from collections.abc import Iterator
from datetime import date
from email.utils import parsedate_to_datetime

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from synthetic import District, Year, build
from synthetic.damage import DEPTH, LENGTH
from synthetic.faults import Faults
from tests.serving import serve

DISTRICT = build(students=60)


class Stage:
    """What a twin does on its side of the middleware."""

    def __init__(self) -> None:
        self.forgotten = 0
        self.revoked = False
        self.ahead = 0.0
        self.secret = "first"
        self.district = DISTRICT

    def play(self, district: District) -> None:
        self.district = district

    def forget(self) -> None:
        self.forgotten += 1

    def renew(self, secret: str) -> None:
        self.secret = secret

    def app(self, *, control: bool = True) -> Starlette:
        async def rows(request: Request) -> JSONResponse:
            return JSONResponse({"rows": [student.number for student in self.district.students]})

        async def page(request: Request) -> JSONResponse:
            first, limit = (int(request.query_params.get(name, "0")) for name in ("offset", "limit"))
            found = [{"id": one.number, "title": one.given, "grade": 1} for one in self.district.students]
            total = {"X-Total-Count": str(len(found))}
            return JSONResponse({"people": found[first : first + limit], "note": "a page"}, headers=total)

        async def token(request: Request) -> JSONResponse:
            return JSONResponse({"access_token": "t", "expires_in": 300}, 401 if self.revoked else 200)

        faults = Middleware(
            Faults,
            district=DISTRICT,
            play=self.play,
            error=lambda status: {"our": status},
            tokens=self,
            control=control,
        )
        routes = [Route("/rows", rows), Route("/other", rows), Route("/people", page), Route("/token", token)]
        return Starlette(routes=routes, middleware=[faults])


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(stage: Stage) -> Iterator[httpx.Client]:
    with serve(stage.app()) as url, httpx.Client(base_url=url) as client:
        yield client


def ask(client: httpx.Client, *faults: dict[str, object]) -> None:
    assert client.put("/_twin/faults", json=list(faults)).status_code == 204


@pytest.mark.parametrize("status", [429, 500, 503])
def test_status_in_the_systems_own_words(client: httpx.Client, status: int) -> None:
    ask(client, {"kind": "status", "path": "/rows", "status": status, "retry_after": 7})
    answer = client.get("/rows")
    assert (answer.status_code, answer.json()) == (status, {"our": status})
    assert answer.headers["Retry-After"] == "7"
    assert client.get("/rows").status_code == 200


def test_no_retry_after_unless_asked(client: httpx.Client) -> None:
    ask(client, {"kind": "status", "status": 429})
    assert "Retry-After" not in client.get("/rows").headers


def test_drop_closes_the_connection_in_the_body(client: httpx.Client) -> None:
    ask(client, {"kind": "drop"})
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        client.get("/rows")
    assert client.get("/rows").is_success


def test_truncate_is_a_whole_answer_with_half_the_json(client: httpx.Client) -> None:
    whole = client.get("/rows").content
    ask(client, {"kind": "truncate"})
    answer = client.get("/rows")
    assert answer.headers["content-type"] == "application/json"
    assert (answer.status_code, answer.content) == (200, whole[: len(whole) // 2])


def test_html_instead_of_json(client: httpx.Client) -> None:
    ask(client, {"kind": "html"})
    answer = client.get("/rows")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


def test_expire_tokens_lets_the_twin_forget_and_answer(client: httpx.Client, stage: Stage) -> None:
    ask(client, {"kind": "expire_tokens"})
    assert client.get("/rows").is_success
    assert client.get("/rows").is_success
    assert stage.forgotten == 1


def test_revoked_credentials_come_back_with_other_faults(client: httpx.Client, stage: Stage) -> None:
    ask(client, {"kind": "revoke", "path": "/rows", "skip": 1})
    assert [client.get(address).status_code for address in ("/rows", "/token", "/rows", "/token")] == [
        200, 200, 200, 401,
    ]  # fmt: skip
    assert stage.forgotten == 1
    client.delete("/_twin/faults")
    assert client.get("/token").is_success


def test_slow_answers_late(client: httpx.Client) -> None:
    ask(client, {"kind": "slow", "seconds": 0.3})
    begin = time.perf_counter()
    assert client.get("/rows").is_success
    assert time.perf_counter() - begin > 0.3


# --- pages that are not what they should be


SIZE = 10


def people(client: httpx.Client, offset: int = 0) -> list[dict[str, object]]:
    answer = client.get("/people", params={"offset": offset, "limit": SIZE, "sort": "id"})
    assert answer.is_success
    found = answer.json()["people"]
    assert isinstance(found, list)
    return found


def all_pages(client: httpx.Client) -> list[dict[str, object]]:
    return [row for offset in range(0, 60, SIZE) for row in people(client, offset)]


def test_an_empty_page_keeps_its_envelope_and_may_change_the_total(client: httpx.Client) -> None:
    ask(client, {"kind": "empty"}, {"kind": "empty", "total": 0})
    for total in ("60", "0"):
        answer = client.get("/people?offset=0&limit=10")
        assert answer.json() == {"people": [], "note": "a page"}
        assert answer.headers["X-Total-Count"] == total


def test_fields_of_another_type(client: httpx.Client) -> None:
    well = people(client)
    ask(client, {"kind": "mistype", "rows": 3, "seed": 5}, {"kind": "mistype", "rows": 3, "seed": 5})
    once, again = people(client), people(client)
    assert once == again, "the same seed does the same"
    changed = [(row[name], now[name]) for row, now in zip(well, once, strict=True) for name in row
               if (type(row[name]), row[name]) != (type(now[name]), now[name])]  # fmt: skip
    assert len(changed) == 3
    assert all(type(before) is not type(after) for before, after in changed)


@pytest.mark.parametrize("shape", ["garbled", "nul", "deep", "huge"])
def test_one_row_is_poisoned_and_no_other(client: httpx.Client, shape: str) -> None:
    well = people(client)
    ask(client, {"kind": "poison", "shape": shape, "seed": 3})
    body = client.get("/people", params={"offset": 0, "limit": SIZE}).text
    unharmed = [row for row in well if f'"id":"{row["id"]}"' in body.replace('": ', '":')]
    assert len(unharmed) >= SIZE - 1
    signs = {"garbled": '"no object"', "nul": "\\u0000", "deep": "[" * DEPTH, "huge": "x" * LENGTH}
    assert signs[shape] in body


def test_a_missing_page_is_another_one(client: httpx.Client) -> None:
    first, second = people(client), people(client, SIZE)
    ask(client, {"kind": "missing", "path": "offset=10"}, {"kind": "missing", "path": "offset=0"})
    assert people(client, SIZE) == first
    assert people(client) == second


def test_a_page_that_comes_twice_takes_nothing_away(client: httpx.Client) -> None:
    well = all_pages(client)
    ask(client, {"kind": "twice", "path": "offset=30"})
    found = all_pages(client)
    assert len(found) == 70
    assert {row["id"] for row in found} == {row["id"] for row in well}


def test_an_unstable_order_drops_rows_while_the_count_is_right(client: httpx.Client) -> None:
    ask(client, {"kind": "unstable", "rows": 4, "path": "offset=20"}, {"kind": "unstable", "rows": 3, "path": "=50"})
    found = all_pages(client)
    assert len(found) == 60
    assert len({row["id"] for row in found}) == 53


@pytest.mark.parametrize("total", [None, 7])
def test_a_total_that_is_wrong_or_not_there(client: httpx.Client, total: int | None) -> None:
    ask(client, {"kind": "total", "total": total})
    answer = client.get("/people?offset=0&limit=10")
    assert answer.headers.get("X-Total-Count") == (None if total is None else str(total))
    assert len(answer.json()["people"]) == SIZE


def test_a_fault_of_rows_leaves_alone_what_has_none(client: httpx.Client) -> None:
    for kind in ("empty", "mistype", "poison", "missing", "twice", "unstable", "total"):
        ask(client, {"kind": kind})
        assert client.get("/token").json() == {"access_token": "t", "expires_in": 300}


@pytest.mark.parametrize("ahead", [600, -600])
def test_a_clock_that_is_ten_minutes_off(client: httpx.Client, stage: Stage, ahead: int) -> None:
    ask(
        client,
        {"kind": "clock", "ahead": ahead},
        {"kind": "status", "status": 429, "retry_after": 3, "ahead": ahead},
    )
    answer = client.get("/token")
    assert answer.json()["expires_in"] == 300 + ahead
    assert seconds_from_now(answer.headers["Date"]) == pytest.approx(ahead, abs=2)
    assert stage.ahead == ahead
    answer = client.get("/token")
    assert seconds_from_now(answer.headers["Retry-After"]) == pytest.approx(ahead + 3, abs=2)
    assert seconds_from_now(answer.headers["Date"]) == pytest.approx(ahead, abs=2)
    client.delete("/_twin/faults")
    assert stage.ahead == 0


def seconds_from_now(moment: str) -> float:
    return parsedate_to_datetime(moment).timestamp() - time.time()


# --- the queue and the side door


def test_path_skip_and_times(client: httpx.Client) -> None:
    ask(client, {"kind": "status", "path": "/rows?offset=2", "skip": 1, "times": 2})
    wanted = ["/other?offset=2", "/rows?offset=1", *["/rows?offset=2"] * 4]
    assert [client.get(address).status_code for address in wanted] == [200, 200, 200, 503, 503, 200]


def test_faults_come_in_the_order_of_the_queue_and_go_on_request(client: httpx.Client) -> None:
    ask(client, {"kind": "status", "status": 500}, {"kind": "status", "status": 429, "times": 5})
    assert [client.get("/rows").status_code for _ in range(2)] == [500, 429]
    assert client.delete("/_twin/faults").status_code == 204
    assert client.get("/rows").status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        [{"kind": "earthquake"}],
        [{"kind": "status", "status": 418}],
        [{"kind": "poison", "shape": "round"}],
        [{"path": "/rows"}],
        [{"kin": "drop"}],
        3,
    ],
)
def test_an_unknown_fault_is_refused(client: httpx.Client, wrong: object) -> None:
    assert client.put("/_twin/faults", json=wrong).status_code == 400


def test_changes_are_played_and_reset(client: httpx.Client, stage: Stage) -> None:
    def change(**wanted: object) -> int:
        assert client.post("/_twin/change", json=wanted).status_code == 204
        return len(client.get("/rows").json()["rows"])

    assert change(without_students=0.5) == 30
    assert change(with_new_students=5) == 35
    assert change(moved=0.2) == 35
    assert stage.district.enrollments != DISTRICT.enrollments
    assert change(with_twins=2, twins_merged=2) == 33
    assert change(reissued=1, renumbered=1.0, reshuffled=1.0, schools_renumbered=100, without_sections=0.5) == 33
    assert change(reset=True) == 60
    assert stage.district == DISTRICT


def test_a_day_of_the_year_is_played_whatever_was_changed_before(client: httpx.Client, stage: Stage) -> None:
    for wanted in ({"day": "2026-11-02"}, {"without_students": 0.5}, {"day": "2026-10-05"}):
        client.post("/_twin/change", json=wanted)
    assert stage.district == Year(DISTRICT).on(date(2026, 10, 5)) != DISTRICT


def test_another_secret_ends_the_one_before(client: httpx.Client, stage: Stage) -> None:
    assert client.put("/_twin/secret", json={"secret": "second"}).status_code == 204
    assert (stage.secret, stage.forgotten) == ("second", 1)
    assert client.put("/_twin/secret", json={}).status_code == 400


def test_two_equal_changes_are_not_the_same(client: httpx.Client, stage: Stage) -> None:
    client.post("/_twin/change", json={"moved": 0.2})
    once = stage.district
    client.post("/_twin/change", json={"reset": True})
    client.post("/_twin/change", json={"moved": 0.2})
    assert stage.district != once


@pytest.mark.parametrize("wrong", [{"burned_down": True}, {"without_students": 3}, {"moved": "x"}, {"day": "1 May"}])
def test_an_unknown_change_is_refused_and_changes_nothing(client: httpx.Client, stage: Stage, wrong: object) -> None:
    assert client.post("/_twin/change", json=wrong).status_code == 400
    assert stage.district is DISTRICT


def test_log_of_what_was_served(client: httpx.Client) -> None:
    ask(client, {"kind": "status", "path": "/other", "retry_after": 7})
    client.get("/rows?limit=1")
    client.get("/other")
    logged = client.get("/_twin/log").json()
    one, other = [entry.pop("at") for entry in logged]
    assert 0 < other - one < 5
    assert logged == [
        {"method": "GET", "path": "/rows", "query": "limit=1", "status": 200, "fault": None, "retry_after": None},
        {"method": "GET", "path": "/other", "query": "", "status": 503, "fault": "status", "retry_after": 7},
    ]
    client.delete("/_twin/log")
    assert client.get("/_twin/log").json() == []


def test_the_side_door_can_be_shut(stage: Stage) -> None:
    with serve(stage.app(control=False)) as url:
        assert httpx.get(f"{url}/_twin/log").status_code == 404
        assert httpx.put(f"{url}/_twin/faults", json=[{"kind": "html"}]).status_code == 404
        assert httpx.get(f"{url}/rows").json()["rows"]
