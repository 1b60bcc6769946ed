"""Every fault is seen by a client at the other end of a socket, as often as it was asked for and no oftener."""

import time
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from synthetic import District, build
from synthetic.faults import Faults
from tests.serving import serve

DISTRICT = build(students=60)


class Stage:
    """What a twin does on its side of the middleware."""

    def __init__(self) -> None:
        self.forgotten = 0
        self.district = DISTRICT

    def play(self, district: District) -> None:
        self.district = district

    def forget(self) -> None:
        self.forgotten += 1

    def app(self, *, control: bool = True) -> Starlette:
        async def rows(request: Request) -> JSONResponse:
            return JSONResponse({"rows": [student.number for student in self.district.students]})

        faults = Middleware(
            Faults,
            district=DISTRICT,
            play=self.play,
            error=lambda status: {"our": status},
            forget=self.forget,
            control=control,
        )
        return Starlette(routes=[Route("/rows", rows), Route("/other", rows)], middleware=[faults])


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


def test_slow_answers_late(client: httpx.Client) -> None:
    ask(client, {"kind": "slow", "seconds": 0.3})
    begin = time.perf_counter()
    assert client.get("/rows").is_success
    assert time.perf_counter() - begin > 0.3


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
    [[{"kind": "earthquake"}], [{"kind": "status", "status": 418}], [{"path": "/rows"}], [{"kin": "drop"}], 3],
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
    assert change(reset=True) == 60
    assert stage.district == DISTRICT


def test_two_equal_changes_are_not_the_same(client: httpx.Client, stage: Stage) -> None:
    client.post("/_twin/change", json={"moved": 0.2})
    once = stage.district
    client.post("/_twin/change", json={"reset": True})
    client.post("/_twin/change", json={"moved": 0.2})
    assert stage.district != once


@pytest.mark.parametrize("wrong", [{"burned_down": True}, {"without_students": 3}, {"moved": "x"}])
def test_an_unknown_change_is_refused_and_changes_nothing(client: httpx.Client, stage: Stage, wrong: object) -> None:
    assert client.post("/_twin/change", json=wrong).status_code == 400
    assert stage.district is DISTRICT


def test_log_of_what_was_served(client: httpx.Client) -> None:
    ask(client, {"kind": "status", "path": "/other"})
    client.get("/rows?limit=1")
    client.get("/other")
    assert client.get("/_twin/log").json() == [
        {"method": "GET", "path": "/rows", "query": "limit=1", "status": 200, "fault": None},
        {"method": "GET", "path": "/other", "query": "", "status": 503, "fault": "status"},
    ]
    client.delete("/_twin/log")
    assert client.get("/_twin/log").json() == []


def test_the_side_door_can_be_shut(stage: Stage) -> None:
    with serve(stage.app(control=False)) as url:
        assert httpx.get(f"{url}/_twin/log").status_code == 404
        assert httpx.put(f"{url}/_twin/faults", json=[{"kind": "html"}]).status_code == 404
        assert httpx.get(f"{url}/rows").json()["rows"]
