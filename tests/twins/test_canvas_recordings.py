"""Canvas' twin answers in the shapes that were recorded at a real one, and in those that a client library tests by."""

import asyncio
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.canvas.twin import twin
from gateway.http import Http, MemoryTokens, StaticBearer
from tests.connectors.canvas import School, assignment, cell, column, school, talking
from tests.serving import serve

RECORDED = "lms/edulinq-canvas-httpex/testdata/http/api/v1"


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """What the twin answers to each kind of request that we make, asked once."""
    found: dict[str, Any] = {}
    town = school()

    async def ask() -> None:
        with serve(twin(holds=town.world)) as base:
            async with talking(base) as sink:
                for document in (assignment(), column(), cell()):
                    assert (await sink.push(document)).delivered
            async with Http(StaticBearer("demo-token"), tokens=MemoryTokens(), allow_private=True) as http:
                for name, path in _paths(town).items():
                    reply = await http.get(f"{base}/api/v1/{path}")
                    assert reply.status == 200 and 'rel="first"' in reply.headers.get("link", 'rel="first"')
                    found[name] = reply.json()
                gone = await http.send(
                    "DELETE", f"{base}/api/v1/{_paths(town)['assignment']}", json=None, repeatable=True
                )
                found["deleted"] = gone.json()

    asyncio.run(ask())
    return found


def _paths(town: School) -> dict[str, str]:
    course, [task] = f"courses/{town.homeroom.id}", town.world.assignments
    [columns] = town.world.columns
    return {
        "course": course,
        "user": f"users/{town.child.id}",
        "enrollments": f"{course}/enrollments",
        "observers": f"users/{town.child.id}/observers",
        "assignments": f"{course}/assignments",
        "assignment": f"{course}/assignments/{task}",
        "overrides": f"{course}/assignments/{task}/overrides",
        "columns": f"{course}/custom_gradebook_columns",
        "cells": f"{course}/custom_gradebook_columns/{columns}/data",
    }


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of an answer that was recorded for this request."""
    recorded = json.loads((folder / name).read_text(encoding="utf-8"))
    assert recorded["response_code"] == 200
    body = json.loads(recorded["response_body"])
    return body if isinstance(body, list) else [body]


@pytest.fixture
def recorded(contracts: Path) -> Iterator[Path]:
    yield contracts / RECORDED


KINDS = {int: (int, float), float: (int, float)}
OURS = {
    "description": (str, type(None)), "due_at": (str, type(None)), "lock_at": (str, type(None)),
    "integration_id": (str, type(None)), "sis_course_id": (str, type(None)), "license": (str, type(None)),
    "sis_user_id": (str, type(None)), "associated_user_id": (int, type(None)), "grading_standard_id": (int, type(None)),
}  # fmt: skip
"""What is null in some records and a text or an id in others."""


def compare(answer: dict[str, Any], real: dict[str, Any], left_out: Collection[str] = ()) -> None:
    """All that was recorded is there, of the same type."""
    assert set(real) - set(answer) - set(left_out) == set()
    for name, value in real.items():
        if name not in left_out:
            assert isinstance(answer[name], OURS.get(name) or KINDS.get(type(value)) or type(value)), name


def test_assignments_are_as_recorded(answers: dict[str, Any], recorded: Path) -> None:
    real = [
        *rows(recorded, "courses/120000000/assignments%3Fper_page=95_GET.httpex.json"),
        *rows(recorded, "courses/130000000/assignments%3Fper_page=95_GET.httpex.json"),
    ]
    for one in real:
        for answer in (*answers["assignments"], answers["assignment"], answers["deleted"]):
            compare(answer, one)


def test_courses_are_as_recorded(answers: dict[str, Any], recorded: Path) -> None:
    [real] = rows(recorded, "courses/110000000%3Finclude=syllabus_body_GET.httpex.json")
    compare(answers["course"], real, {"syllabus_body"})  # that was asked for


def test_people_and_enrollments_are_as_recorded(answers: dict[str, Any], recorded: Path) -> None:
    """Recorded beside each user; asked for by itself an enrollment has its user in it. Names of people and their mail
    depend on what the account may see."""
    for course in (110000000, 120000000, 130000000):
        name = f"courses/{course}/users%3Finclude%5B%5D=enrollments&per_page=95_GET.httpex.json"
        for real in rows(recorded, name):
            seen = {"email", "enrollments", "has_non_collaborative_groups", "integration_id"}
            compare(answers["user"], real, seen)
            for one in real["enrollments"]:
                for answer in answers["enrollments"]:
                    compare(answer, one, {"grades"})
                    compare(answer["user"], real, seen)


@pytest.mark.parametrize(
    ("file", "name", "answer"),
    [
        ("course", "get_by_id", "course"),
        ("course", "get_by_sis_id", "course"),
        ("course", "list_enrollments", "enrollments"),
        ("user", "get_by_id", "user"),
        ("user", "get_by_id_type", "user"),
        ("user", "list_observers", "observers"),
        ("course", "get_all_assignments", "assignments"),
        ("course", "get_assignment_by_id", "assignment"),
        ("assignment", "delete_assignment", "deleted"),
        ("assignment", "list_assignment_overrides", "overrides"),
        ("course", "get_custom_columns", "columns"),
        ("custom_gradebook_columns", "get_column_entries", "cells"),
    ],
)
def test_the_rest_is_as_a_client_library_expects_it(
    answers: dict[str, Any], contracts: Path, file: str, name: str, answer: str
) -> None:
    """Written by hand, by the authors of canvasapi: fewer fields, and two ways to say whom an override is for."""
    real = json.loads((contracts / f"lms/canvasapi-fixtures/{file}.json").read_text(encoding="utf-8"))[name]["data"]
    theirs, ours = (one if isinstance(one, list) else [one] for one in (real, answers[answer]))
    assert theirs and ours
    for one in theirs:
        compare(ours[0], one, {"group_id", "course_section_id"} if answer == "overrides" else set())


def test_what_it_has_no_answer_for_is_like_what_was_recorded(contracts: Path) -> None:
    """A page too far: the recordings are without headers, so paging is as canvasapi's tests have it."""
    pages = json.loads((contracts / "lms/canvasapi-fixtures/course.json").read_text(encoding="utf-8"))
    theirs = pages["list_enrollments"]["headers"]["Link"]

    async def ask() -> str:
        with serve(twin(holds=school().world, page_cap=2)) as base:
            async with Http(StaticBearer("demo-token"), tokens=MemoryTokens(), allow_private=True) as http:
                reply = await http.get(
                    f"{base}/api/v1/courses/hex:sis_course_id:{'HR/5A é'.encode().hex()}/enrollments"
                )
                return reply.headers["link"]

    ours = asyncio.run(ask())
    assert theirs.startswith("<https://") and theirs.endswith('; rel="next"')
    assert any(part.startswith("<http://") and part.endswith('; rel="next"') for part in ours.split(","))
