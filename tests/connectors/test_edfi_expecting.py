"""What stands at the places of many documents is looked at in pages, and counts as if each had been asked for."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connectors.edfi import sink as sinks
from connectors.edfi.sink import WRITTEN
from gateway.connector import Document
from tests.connectors.test_edfi import Edge, sink

PROGRAM = {"educationOrganizationId": 990100, "programName": "Plans", "programTypeDescriptor": "uri://x#Other"}


def association(student: int, **more: Any) -> dict[str, Any]:
    return {
        "beginDate": "2026-08-17",
        "educationOrganizationReference": {"educationOrganizationId": 990100},
        "programReference": PROGRAM,
        "studentReference": {"studentUniqueId": str(student)},
        **more,
    }


def document(student: int) -> Document:
    body = association(student)
    key = {"beginDate": body["beginDate"], "studentUniqueId": str(student)}
    return Document("studentProgramAssociations", key, body)


class There(Edge):
    """A server with these rows. `total`: what it says of their number. It is asked by page, or by the key."""

    def __init__(self, rows: Sequence[dict[str, Any]], total: int | None = -1) -> None:
        super().__init__(self.told)
        self.rows = rows
        self.total = len(rows) if total == -1 else total

    def told(self, request: Request) -> Response:
        query = request.query_params
        if "studentUniqueId" in query:
            who = query["studentUniqueId"]
            return JSONResponse([row for row in self.rows if row["studentReference"]["studentUniqueId"] == who])
        first, limit = int(query["offset"]), int(query["limit"])
        headers = {} if self.total is None else {"Total-Count": str(self.total)}
        return JSONResponse(list(self.rows[first : first + limit]), headers=headers)


async def answers(there: There, students: int = 30) -> dict[int, int]:
    """Student -> the status of the refusal, 0 where the place is free or holds the very same."""
    documents = [document(student) for student in range(students)]
    async with sink(there) as opened:
        await opened.expect(documents)
        found = [await opened.foreign(one) for one in documents]
    return {student: answer.status if answer else 0 for student, answer in enumerate(found)}


async def test_many_places_are_looked_at_in_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    there = There([association(3, servedOutsideOfRegularSession=True), association(4), association(77)])
    assert await answers(there) == {student: 409 if student == 3 else 0 for student in range(30)}
    [asked] = there.queries
    common = {**PROGRAM, "programEducationOrganizationId": 990100, "beginDate": "2026-08-17"}
    assert asked == {name: str(value) for name, value in common.items()} | {
        "offset": "0", "limit": "500", "totalCount": "true",
    }  # fmt: skip
    assert set(common) | {"studentUniqueId"} == set(WRITTEN["studentProgramAssociations"])


async def test_all_pages_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_PAGE", 2)
    there = There([association(student, servedOutsideOfRegularSession=True) for student in (9, 8, 7, 6, 5)])
    assert sorted(s for s, status in (await answers(there)).items() if status) == [5, 6, 7, 8, 9]
    assert len(there.queries) == 3


@pytest.mark.parametrize("total", [None, 4, 2], ids=["no total", "more", "fewer"])
async def test_pages_that_cannot_be_trusted_are_not(total: int | None) -> None:
    there = There([association(student, reasonExitedDescriptor="x") for student in (1, 2, 3)], total)
    assert sorted(s for s, status in (await answers(there)).items() if status) == [1, 2, 3]
    assert sum("studentUniqueId" in query for query in there.queries) == 30  # one by one, as ever


async def test_a_row_without_its_key_makes_the_look_worthless() -> None:
    there = There(
        [association(2, reasonExitedDescriptor="x"), json.loads('{"studentReference": {"studentUniqueId": "x"}}')]
    )
    assert [s for s, status in (await answers(there)).items() if status] == [2]
    assert sum("studentUniqueId" in query for query in there.queries) == 30


async def test_a_few_are_asked_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    there = There([association(3, reasonExitedDescriptor="x")])
    assert (await answers(there, students=19))[3] == 409
    assert len(there.queries) == 19


async def test_a_look_that_is_old_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_LOOK_LASTS", 0.0)
    there = There([association(3, reasonExitedDescriptor="x")])
    assert (await answers(there))[3] == 409
    assert len(there.queries) == 31
