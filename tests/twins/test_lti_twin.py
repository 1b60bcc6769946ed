"""The twin of a platform answers what a Moodle 4.5.6 was recorded to answer to the same requests, in the same order."""

import json
import re
from pathlib import Path
from typing import Any

import httpx

from connectors.lti.paging import following
from connectors.lti.twin import Platform, twin
from connectors.lti.twin_courses import AIDE, STUDENT, TEACHER
from gateway.http import Reply
from synthetic import build
from tests.serving import serve

COURSE = "2"


def test_the_services_answer_as_they_were_recorded(contracts: Path) -> None:
    recorded = json.loads((contracts / "lms/moodle-4.5.6-http-captures.json").read_text(encoding="utf-8"))
    exchanges = [one for one in recorded if one["name"].startswith(("nrps.", "ags."))]
    assert len(exchanges) == 23
    made = twin(build(schools=1, students=8, seed=1), list)
    platform: Platform = made.state.platform
    course = platform.courses.courses[COURSE]
    course.members = {"3": AIDE, "5": STUDENT, "6": STUDENT, "4": TEACHER, "7": STUDENT}
    for label in ("gone", "Success plan"):  # the recorded course began with column 2
        coupled = {"label": label, "scoreMaximum": 100, "resourceLinkId": "1"}
        column = platform.courses.add_column(course, coupled, by_tool=True)
    del course.columns[column.id - 1]
    platform.door._tokens["good"] = frozenset(platform.door.scopes), float("inf")
    with serve(made) as url, httpx.Client(base_url=url, verify=False) as client:
        for one in exchanges:
            asked, wanted = one["request"], one["response"]
            answer = client.request(
                asked["method"], _here(asked["url"]), content=asked["body"], headers=_headers(asked["headers"])
            )
            assert answer.status_code == wanted["status"], (one["name"], answer.text)
            assert _type(answer.headers) == _type(wanted["headers"]), one["name"]
            assert ("link" in answer.headers) == ("Link" in wanted["headers"]), one["name"]
            if "link" in answer.headers:
                assert all(_leads(where) for where in (answer.headers["link"], wanted["headers"]["Link"])), one["name"]
            if answer.status_code in (200, 201) and "json" in _type(answer.headers) and wanted["body"]:
                told, recorded_as = _rows(answer.json()), _rows(json.loads(wanted["body"]))
                assert len(told) == len(recorded_as), one["name"]
                assert all(row.keys() <= like.keys() for row, like in zip(told, recorded_as, strict=True)), one["name"]


def _here(url: str) -> str:
    """The same place at the twin."""
    path = url.partition("/mod/lti/services.php/")[2]
    path = re.sub(rf"^CourseSection/{COURSE}/bindings/1/", f"{COURSE}/", path)
    return f"/courses/{path}"


def _headers(recorded: dict[str, str]) -> dict[str, str]:
    return {
        name: "Bearer good" if name == "Authorization" else value
        for name, value in recorded.items()
        if name in ("Accept", "Content-Type", "Authorization")
    }


def _type(headers: Any) -> str:
    said = {name.lower(): value for name, value in headers.items()}.get("content-type", "")
    return str(said.partition(";")[0])


def _leads(link: str) -> bool:
    """Whether our reading of it finds a next page, of the host that the link itself names."""
    origin = re.match(r"<(http://[^/]+)", link)
    assert origin is not None
    return following(Reply(200, {"link": link}, b"", f"{origin[1]}/x")) is not None


def _rows(body: Any) -> list[dict[str, Any]]:
    rows = body.get("members", [body]) if isinstance(body, dict) else body
    return list(rows)
