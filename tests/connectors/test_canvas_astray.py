"""A Canvas in which a plan ends where it must not be: ids that move, people who open it, courses of five hundred."""

import asyncio
import random
from datetime import date
from typing import Any

import pytest

from connectors.canvas.sink import CanvasSink
from connectors.canvas.twin import twin
from connectors.canvas.twin_world import Assignment
from gateway.connector import Announcing, Document, Ending
from gateway.errors import Unavailable
from gateway.sameness import holds
from tests.connectors.canvas import MARKER, WORDS, assignment, cell, column, opened, school, taken, talking
from tests.serving import serve

ANOTHER = "00000000-0000-4000-8000-000000000088"


def standing(town: Any) -> list[Assignment]:
    return [one for one in town.world.assignments.values() if not one.deleted]


async def test_a_course_that_got_another_sis_id_keeps_nothing_that_is_taken_back() -> None:
    """Its old id leads nowhere, or to another course: where the plan stands was written down."""
    town = school()
    with serve(twin(holds=town.world)) as base:
        async with talking(base) as sink:
            receipt = await sink.push(assignment())
        town.homeroom.sis = "moved"
        async with talking(base) as sink:
            sink.know(taken(assignment()), receipt.remote_id)
            assert (await sink.delete(taken(assignment()))).delivered
    assert standing(town) == []


async def test_a_sis_id_that_leads_to_another_course_leaves_nothing_in_the_first() -> None:
    town = school()
    with serve(twin(holds=town.world)) as base:
        async with talking(base) as sink:
            receipt = await sink.push(assignment())
        other = town.world.course("Homeroom of the next year", "HR/5A é")
        town.homeroom.sis = "last year"
        town.world.enroll(other, town.child, "StudentEnrollment")
        async with talking(base) as sink:
            sink.know(assignment(), receipt.remote_id)
            assert (await sink.push(assignment(words="planted: new"))).delivered
    assert [one.course for one in standing(town)] == [other.id]


async def test_what_was_never_answered_is_taken_back_though_the_course_is_named_anew() -> None:
    town = school()
    app = twin(holds=town.world)
    told: dict[str, str] = {}

    async def announce(document: Document, remote_id: str) -> None:
        told[document.name] = remote_id

    with serve(app) as base:
        async with talking(base) as sink:
            assert isinstance(sink, Announcing)
            sink.announcing(announce)
            app.state.heard.lose_answers = 1
            with pytest.raises(Unavailable):
                await sink.push(assignment())
        town.homeroom.sis = "moved"
        async with talking(base) as sink:
            sink.know(taken(assignment()), told[assignment().name])
            assert (await sink.delete(taken(assignment()))).delivered
    assert standing(town) == []


async def test_what_the_plan_has_no_more_goes() -> None:
    """A course that was switched off, a column that nobody wants any more."""
    town = school()
    async with opened(twin(holds=town.world)) as sink:
        assert isinstance(sink, Ending)
        for document in (assignment(), column(), cell()):
            sink.know(document, (await sink.push(document)).remote_id)
        for document in (assignment(), cell()):
            assert (await sink.end(taken(document), date.today())).delivered
    assert standing(town) == [] and [one.cells for one in town.world.columns.values()] == [{}]


@pytest.mark.parametrize("opened_to", ["class", "classmate", "grade", "nobody"])
async def test_what_somebody_opened_there_is_told(opened_to: str) -> None:
    """The next version closes it, and until there is one a reconciliation has to say so."""
    town = school()
    async with opened(twin(holds=town.world)) as sink:
        sink.know(assignment(), (await sink.push(assignment())).remote_id)
        assert await sink.read_back(assignment()) == assignment().body
        [task] = standing(town)
        match opened_to:
            case "class":
                task.only_overrides = False
            case "classmate":
                task.overrides[0]["student_ids"].append(town.classmate.id)
            case "grade":
                task.omitted = False
            case _:
                task.published = False
        read = await sink.read_back(assignment())
    assert read is not None and not holds(read, assignment().body)


async def test_nobody_is_shown_it_before_it_is_seen_to_be_for_one_alone() -> None:
    """A published assignment is mailed to the class at once: taken back a moment later is too late."""
    town = school()
    for shows_all in (True, False):
        app = twin(holds=town.world, shows_all=shows_all)
        async with opened(app) as sink:
            assert (await sink.push(assignment())).delivered == (not shows_all)
        writes = [body for verb, _, body in app.state.heard.requests if verb in ("POST", "PUT")]
        assert ['"published":true' in one.replace(" ", "") for one in writes] == [False] + [True] * (not shows_all)
    assert [one.published for one in standing(town)] == [True]
    assert any(WORDS in text for text in town.world.visible_to(town.child.id))


async def test_a_cell_that_is_another_plans_by_now_is_left() -> None:
    """One student has one cell: last year's plan is taken back, and this year's stands there."""
    town = school()
    async with opened(twin(holds=town.world)) as sink:
        await sink.push(column())
        old = await sink.push(cell())
        newer = Document(
            cell().resource, {**cell().key, "plan": ANOTHER}, {**cell().body, "content": f"Plan: {ANOTHER}"}
        )
        await sink.push(newer)
        sink.know(taken(cell()), old.remote_id)
        assert (await sink.delete(taken(cell()))).delivered
        [cells] = [one.cells for one in town.world.columns.values()]
        assert cells == {town.child.id: f"Plan: {ANOTHER}"}
        sink.know(taken(newer), old.remote_id)
        assert (await sink.delete(taken(newer))).delivered
    assert [one.cells for one in town.world.columns.values()] == [{}]


async def test_a_known_one_goes_though_the_course_cannot_be_looked_through() -> None:
    town = school()
    with serve(twin(holds=town.world)) as base:
        async with talking(base) as sink:
            receipt = await sink.push(assignment())
    with serve(twin(holds=town.world, denied=("/assignments",))) as base:
        async with talking(base) as sink:
            sink.know(taken(assignment()), receipt.remote_id)
            assert (await sink.delete(taken(assignment()))).status == 403
    app = twin(holds=town.world)
    with serve(app) as base:
        async with talking(base) as sink:
            sink.know(taken(assignment()), receipt.remote_id)
            assert (await sink.delete(taken(assignment()))).delivered
    assert next(verb for verb, path, _ in app.state.heard.requests if "/assignments" in path) == "DELETE"


async def test_many_plans_side_by_side_stay_apart_and_a_course_is_looked_through_once() -> None:
    town = school()
    app = twin(holds=town.world, level=0.0, answers=0)
    numbers = [f"side-{n}" for n in range(10)]
    people = {number: town.world.person(f"Side {number}", number) for number in numbers}
    for one in people.values():
        town.world.enroll(town.homeroom, one, "StudentEnrollment")
    for n in range(250):
        town.world.assignments[n] = Assignment(n, town.homeroom.id, f"Essay {n}")
    random.seed(8)
    ids: dict[str, str] = {}

    def mine(number: str, word: str) -> Document:
        made = assignment(student=number, words=f"{word} of {number}")
        body = {**made.body, "description": made.body["description"].replace(MARKER, f"urn:uuid:{number}")}
        return Document(made.resource, {**made.key, "plan": number}, body, after=())

    with serve(app) as base:
        async with talking(base, access_token="demo-token", in_flight=8) as sink:
            _jumbled(sink)

            async def one(number: str, word: str) -> None:
                document = mine(number, word)
                sink.know(document, ids.get(document.name, ""))
                assert (await sink.audience(document))[0].key == number
                assert (await sink.judge([document])).documents == [document]
                receipt = await sink.push(document)
                assert receipt.delivered, receipt
                ids[document.name] = receipt.remote_id

            for word in ("first", "then"):
                await asyncio.gather(*(one(number, word) for number in numbers))
                if word == "first":
                    first = [f"{verb} {path.split('?')[0]}" for verb, path, _ in app.state.heard.requests]
    tasks = [one for one in standing(town) if one.id >= 1000]
    assert len(tasks) == 10
    for task in tasks:
        [override] = task.overrides
        number = next(number for number, one in people.items() if [one.id] == override["student_ids"])
        assert f"then of {number}<" in (task.description or "") and task.integration_id == f"urn:uuid:{number}"
        assert ids[mine(number, "").name].endswith(f"/{task.id}")
    course = f"/api/v1/courses/{town.homeroom.id}"
    assert first.count(f"GET {course}/assignments") == 3, "250 on three pages, once for all"
    assert first.count(f"GET {course}/enrollments") == 1 and len(first) == 7 * 10 + 5


async def test_what_is_remembered_of_a_course_is_asked_again_after_a_while() -> None:
    """One sink may be at work for hours, and a teacher joins meanwhile."""
    town = school()
    now = [1.0]
    async with opened(twin(holds=town.world)) as sink:
        sink._recall.clock = lambda: now[0]
        before = {one.name for one in await sink.audience(assignment())}
        town.world.enroll(town.homeroom, town.stranger, "TeacherEnrollment")
        assert {one.name for one in await sink.audience(assignment())} == before
        now[0] += 3600.0
        assert {one.name for one in await sink.audience(assignment())} - before == {"Sam Stranger"}


def _jumbled(sink: CanvasSink) -> None:
    """Answers come in another order than they were asked for."""
    http = sink._server._http
    get, send = http.get, http.send

    def late(call: Any) -> Any:
        async def later(*args: Any, **more: Any) -> Any:
            reply = await call(*args, **more)
            for _ in range(random.randrange(30)):
                await asyncio.sleep(0)
            return reply

        return later

    http.get, http.send = late(get), late(send)  # type: ignore[method-assign]


async def test_whose_time_in_the_course_is_over_still_looks_into_it() -> None:
    """Canvas lets teachers whose enrollment has concluded go on reading."""
    town = school()
    for one in town.world.enrollments.values():
        if one.user == town.teacher.id:
            one.state = "completed"
    async with opened(twin(holds=town.world)) as sink:
        assert (await sink.push(assignment())).delivered
        assert any(WORDS in text for text in town.world.visible_to(town.teacher.id))
        assert "Tia Teacher" in {one.name for one in await sink.audience(assignment())}
