"""Canvas over real sockets: one object for one student, found again, taken back; who sees it; how it lets us in."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.canvas import CONNECTOR
from connectors.canvas.server import by_sis, rest
from connectors.canvas.settings import grant
from connectors.canvas.sink import CanvasSink
from connectors.canvas.twin import twin
from connectors.canvas.twin_world import Assignment
from gateway.connector import Checking, Guarding, Judging, Retracting, Showing, Viewer
from gateway.errors import AuthError, ConfigError, Unavailable
from gateway.http import Http, MemoryTokens, StaticBearer, redeemed
from tests.connectors.canvas import (
    MARKER,
    WORDS,
    School,
    assignment,
    cell,
    column,
    configured,
    opened,
    school,
    taken,
    talking,
)
from tests.serving import serve

KEY: dict[str, Any] = {"client_id": "10000000000001", "client_secret": "demo-secret"}


@pytest.fixture
def town() -> School:
    return school()


@pytest.fixture
def tasks(town: School) -> Iterator[list[Assignment]]:
    """Those that are there when it is asked."""

    class There(list[Assignment]):
        def __iter__(self) -> Iterator[Assignment]:
            return (one for one in town.world.assignments.values() if not one.deleted)

        def __len__(self) -> int:
            return sum(1 for _ in self)

    yield There()


def only(tasks: list[Assignment]) -> Assignment:
    [found] = list(tasks)
    return found


async def test_it_is_for_one_student_alone_and_counts_for_nothing(town: School, tasks: list[Assignment]) -> None:
    graded = Assignment(7, town.homeroom.id, "Essay", points=100.0, published=True, scores={town.child.id: 90.0})
    town.world.assignments[7] = graded
    before = town.world.total(town.child.id, town.homeroom.id)
    async with opened(twin(holds=town.world)) as sink:
        assert isinstance(sink, Checking) and isinstance(sink, Guarding) and isinstance(sink, Judging)
        assert isinstance(sink, Retracting) and isinstance(sink, Showing)
        for document in (assignment(), column(), cell()):
            assert (await sink.push(document)).delivered
    assert town.world.total(town.child.id, town.homeroom.id) == before == (90.0, 90.0)
    found = {
        name: any(WORDS in text for text in town.world.visible_to(getattr(town, name).id))
        for name in ("child", "parent", "teacher", "aide", "classmate", "other_parent", "stranger")
    }
    assert found == {
        **dict.fromkeys(("child", "parent", "teacher", "aide"), True),
        **dict.fromkeys(("classmate", "other_parent", "stranger"), False),
    }
    flagged = [
        name
        for name in ("child", "parent", "teacher", "aide", "classmate", "other_parent")
        if any("Success plan: planted" in text for text in town.world.visible_to(getattr(town, name).id))
    ]
    assert flagged == ["teacher", "aide"]


async def test_pushed_twice_is_one_object_and_an_edit_is_one_update(town: School, tasks: list[Assignment]) -> None:
    async with opened(twin(holds=town.world)) as sink:
        first = await sink.push(assignment())
        assert await sink.edited(assignment(), first.revision) is False
        sink.know(assignment(), first.remote_id)
        second = await sink.push(assignment(words="planted: writes now"))
        assert (second.remote_id, second.adopted) == (first.remote_id, False)
        assert second.revision != first.revision
    assert "writes now" in (only(tasks).description or "")
    assert only(tasks).integration_id == MARKER


@pytest.mark.parametrize("sis", [True, False])
async def test_what_was_made_and_not_written_down_is_adopted(town: School, tasks: list[Assignment], sis: bool) -> None:
    """A crash between the answer and the ledger, and an answer that never came."""
    app = twin(holds=town.world, sis=sis)
    with serve(app) as base:
        async with talking(base) as sink:
            app.state.heard.lose_answers = 1
            with pytest.raises(Unavailable, match="not known"):
                await sink.push(assignment())
        async with talking(base) as sink:
            receipt = await sink.push(assignment(words="planted: later"))
            assert receipt.adopted and receipt.remote_id == f"{town.homeroom.id}/{only(tasks).id}"
    assert "later" in (only(tasks).description or "")
    town.world.copy(only(tasks).id)
    async with opened(app) as sink:
        again = await sink.push(assignment())
        # A copy has no integration id; without that mark nobody can tell which one is ours.
        assert again.delivered if sis else again.status == 409


async def test_a_persons_edit_is_told_and_not_the_spelling_of_canvas(town: School, tasks: list[Assignment]) -> None:
    app = twin(holds=town.world, branded=True)
    said = assignment(words="5 &lt; 6 &amp; “more”&#x27;s &quot;x&quot;", lock_at="2027-07-01T11:59:59Z")
    async with opened(app) as sink:
        receipt = await sink.push(said)
        assert await sink.read_back(said) == said.body
        assert await sink.edited(said, receipt.revision) is False
        app.state.quirks.branded = False
        assert await sink.edited(said, receipt.revision) is False
        only(tasks).description = (only(tasks).description or "").replace("more", "less")
        assert await sink.edited(said, receipt.revision) is True
        back = await sink.read_back(said)
        assert back is not None and "less" in back["description"]
        town.world.assignments.clear()
        assert await sink.edited(said, receipt.revision) is False
        assert await sink.read_back(said) is None
        assert (await sink.push(said)).delivered  # somebody deleted it: it is made anew


async def test_what_somebody_opened_to_the_class_is_closed_by_the_next_push(
    town: School, tasks: list[Assignment]
) -> None:
    async with opened(twin(holds=town.world)) as sink:
        receipt = await sink.push(assignment())
        only(tasks).only_overrides, only(tasks).omitted = False, False
        only(tasks).overrides[0]["student_ids"].append(town.classmate.id)
        assert any(WORDS in text for text in town.world.visible_to(town.classmate.id))
        assert await sink.edited(assignment(), receipt.revision) is False
        assert (await sink.push(assignment())).delivered
    assert not any(WORDS in text for text in town.world.visible_to(town.classmate.id))
    assert only(tasks).omitted


async def test_what_canvas_shows_to_all_is_taken_back_at_once(town: School, tasks: list[Assignment]) -> None:
    async with opened(twin(holds=town.world, shows_all=True)) as sink:
        receipt = await sink.push(assignment())
    assert (receipt.status, "taken back" in receipt.message) == (409, True)
    assert len(tasks) == 0


async def test_taken_back_is_gone_with_every_copy_and_twice_is_no_fault(town: School, tasks: list[Assignment]) -> None:
    async with opened(twin(holds=town.world)) as sink:
        for document in (assignment(), column(), cell()):
            assert (await sink.push(document)).delivered
        town.world.copy(only(tasks).id)
        town.child.sis = "new number"  # what was written down is enough
        for document in (cell(), column(), assignment()):
            assert (await sink.delete(taken(document))).delivered
        assert len(tasks) == 0
        for document in (cell(), column(), assignment()):
            assert (await sink.delete(taken(document))).delivered
    assert [one.cells for one in town.world.columns.values()] == [{}]
    for who in town.world.users:
        assert not any("planted" in text for text in town.world.visible_to(who))


async def test_nothing_known_is_taken_back_by_its_mark(town: School, tasks: list[Assignment]) -> None:
    app = twin(holds=town.world)
    with serve(app) as base:
        async with talking(base) as sink:
            for document in (assignment(), column(), cell()):
                await sink.push(document)
        async with talking(base) as sink:
            for document in (assignment(), cell()):
                assert (await sink.delete(taken(document))).delivered
    assert len(tasks) == 0 and [one.cells for one in town.world.columns.values()] == [{}]


async def test_a_column_is_made_once_and_a_cell_is_one_for_a_student(town: School) -> None:
    app = twin(holds=town.world)
    with serve(app) as base:
        async with talking(base) as sink:
            app.state.heard.lose_answers = 1
            with pytest.raises(Unavailable):
                await sink.push(column())
            assert (await sink.push(column())).unchanged
            first = await sink.push(cell())
            assert await sink.edited(cell(), first.revision) is False
            assert await sink.read_back(cell()) == cell().body
            assert (await sink.push(cell(content="Success plan"))).delivered
            assert await sink.edited(cell(), first.revision) is True
            assert (await sink.push(cell(content="x" * 256))).status == 400
    [only_one] = town.world.columns.values()
    assert (only_one.cells, only_one.read_only) == ({town.child.id: "Success plan"}, True)


async def test_who_sees_it_is_told_by_name(town: School) -> None:
    async with opened(twin(holds=town.world, page_cap=1)) as sink:
        seen = await sink.audience(assignment())
        assert set(seen) == {
            Viewer("student", "00/12 ü", "Ada Planted"),
            Viewer("guardian", "", "Pia Planted"),
            Viewer("teacher", "T1", "Tia Teacher"),
            Viewer("staff", "T2", "Tom Aide"),
        }
        assert len(seen) == 4
        assert {one.name for one in await sink.audience(cell())} == {"Tia Teacher", "Tom Aide"}
        assert await sink.audience(column()) == ()
        assert town.world.assignments == {}
    # Everybody whom Canvas shows it to is among them.
    async with opened(twin(holds=town.world)) as sink:
        await sink.push(assignment())
    told = {one.name for one in seen}
    assert told == {
        one.name for one in town.world.users.values() if any(WORDS in text for text in town.world.visible_to(one.id))
    }


async def test_who_sees_what_a_student_left_behind_is_told(town: School) -> None:
    app = twin(holds=town.world)
    with serve(app) as base:
        async with talking(base) as sink:
            receipt = await sink.push(assignment())
        for one in town.world.enrollments.values():
            if (one.course, one.user) == (town.homeroom.id, town.child.id):
                one.state = "deleted"
        async with talking(base) as sink:
            assert list(await sink.audience(assignment())) == [], "nothing of it is known to stand there"
            sink.know(assignment(), receipt.remote_id)
            told = {one.name for one in await sink.audience(assignment())}
    seeing = [one.name for one in town.world.users.values() if any(WORDS in t for t in town.world.visible_to(one.id))]
    assert told == {"Tia Teacher", "Tom Aide"} <= set(seeing)


async def test_it_goes_where_the_student_is_and_nowhere_else(town: School) -> None:
    town.world.course("Choir", "CHOIR")
    async with opened(twin(holds=town.world)) as sink:
        here, away, closed, lost = (assignment(course) for course in ("HR/5A é", "CHOIR", "HR-6A", "NONE"))
        judged = await sink.judge([here, away, column("CHOIR"), cell("CHOIR")])
        assert (judged.documents, judged.problems) == ([here], [])
        assert [loss.reason for loss in judged.losses] == ["Not in the course CHOIR: the student is not in it."]
        assert "none of the Canvas courses" in (await sink.judge([away])).problems[0]
        assert "is unpublished" in (await sink.judge([here, closed])).problems[0]
        assert "no course NONE" in (await sink.judge([lost])).problems[0]
        assert "as SIS ID" in (await sink.judge([assignment(student="0099")])).problems[0]
        assert (await sink.push(closed)).status == 409 and (await sink.push(away)).status == 404
        assert (await sink.judge([assignment(str(town.homeroom.id))])).problems == []
    assert town.world.assignments == {}


@pytest.mark.parametrize("denies", [401, 403])
async def test_what_the_account_may_not_do_is_said_and_the_connection_goes_on(town: School, denies: int) -> None:
    async with opened(twin(holds=town.world, denied=("/assignments",), denies=denies)) as sink:
        receipt = await sink.push(assignment())
        assert (receipt.status, "may not list assignments" in receipt.message) == (403, True)
    async with opened(twin(holds=town.world, denied=("/observers",), denies=denies)) as sink:
        with pytest.raises(ConfigError, match="may not tell who observes") as refused:
            await sink.audience(assignment())
        assert refused.value.code == "canvas-refused"


@pytest.mark.parametrize("answers", [403, 429])
async def test_it_waits_while_it_is_asked_too_often(town: School, answers: int) -> None:
    """Both answers of a full bucket; in this one 200 units leak from one request to the next."""
    ticks = itertools.count(1)
    app = twin(holds=town.world, answers=answers, level=900.0, leak=200.0, clock=lambda: float(next(ticks)))
    async with opened(app) as sink:
        assert (await sink.push(assignment())).delivered
    assert app.state.bucket.refused == 1
    full = twin(holds=town.world, answers=answers, level=1e9)
    with serve(full) as base:
        async with Http(StaticBearer("demo-token"), tokens=MemoryTokens(), allow_private=True, attempts=1) as http:
            with pytest.raises(Unavailable) as busy:
                await http.get(f"{base}/api/v1/users/self")
    assert (busy.value.code, busy.value.status, busy.value.retry_after) == ("server-busy", 429, 1.0)


def test_it_slows_down_before_the_bucket_is_full() -> None:
    told = ("600.0", "100.0", "90", "0.0", "-50.0", "", "soon")
    assert [rest(one) for one in told] == [0.0, 0.0, 1.0, 10.0, 10.0, 0.0, 0.0]


async def test_a_link_to_a_stranger_is_not_followed(town: School) -> None:
    town.world.assignments |= {n: Assignment(n, town.homeroom.id, f"Essay {n}") for n in range(3)}
    async with opened(twin(holds=town.world, page_cap=2, foreign_links=True)) as sink:
        with pytest.raises(ConfigError, match="leads to") as refused:
            await sink.push(assignment())
    assert refused.value.code == "left-origin"


async def test_a_students_number_stands_in_no_error(town: School) -> None:
    app = twin(holds=town.world, denied=("sis_user_id",))
    with serve(app) as base:
        async with talking(base) as sink:
            with pytest.raises(ConfigError) as refused:
                await sink.audience(assignment(student="0013"))
            assert "sis_user_id:..." in str(refused.value) and "0013" not in str(refused.value)
        async with talking(base) as sink:
            hidden = assignment(student="00/12")
            with pytest.raises(ConfigError) as refused:
                await sink.audience(hidden)
            assert "30302f3132" not in str(refused.value)


def test_sis_ids_are_spelt_so_that_canvas_reads_them() -> None:
    assert by_sis("sis_user_id", "0012") == "sis_user_id:0012"
    assert by_sis("sis_user_id", "ü 1") == "sis_user_id:%C3%BC%201"
    assert by_sis("sis_course_id", "A/1") == "hex:sis_course_id:412f31"


async def test_somebody_agrees_once_and_workers_share_what_follows(town: School) -> None:
    app = twin(holds=town.world)
    tokens = MemoryTokens()
    with serve(app) as base:
        asked = grant(configured(base, **KEY))
        async with Http(None, tokens=tokens, allow_private=True) as http:
            with pytest.raises(ConfigError, match="another question"):
                await redeemed(http, asked, "https://x.example/auth?code=a&state=theirs", "ours")
            for pasted in ("https://[::1?code=a", "https://x.example/auth?state=ours"):
                with pytest.raises(ConfigError) as caught:
                    await redeemed(http, asked, pasted, "ours")
                assert caught.value.code == "grant-state" and caught.value.__context__ is None
            with pytest.raises(AuthError, match="not agreed"):
                await redeemed(http, asked, "https://x.example/auth?error=access_denied&state=ours", "ours")
            with pytest.raises(AuthError) as refused:
                await redeemed(http, asked, "no such code")
            assert refused.value.code == "grant-refused" and "no such code" not in str(refused.value)
            code = app.state.door.code()
            given = await redeemed(http, asked, f"{base}/login/oauth2/auth?code={code}&state=ours", "ours")
            with pytest.raises(AuthError):
                await redeemed(http, asked, code)
        agreed = KEY | {"refresh_token": given.refresh_token}
        app.state.door.granted = 0
        for _ in range(2):
            async with talking(base, tokens, **agreed) as sink:
                assert [one.ok for one in await sink.check()] == [True]
        assert app.state.door.granted == 1
        app.state.door.forget()  # expired: one is asked for anew
        async with talking(base, tokens, **agreed) as sink:
            assert (await sink.push(assignment())).delivered
        app.state.door.revoked = True
        async with talking(base, **agreed) as sink:
            with pytest.raises(AuthError) as ended:
                await sink.push(assignment())
        assert ended.value.code == "grant-ended" and "connections authorize" in ended.value.fix
        assert given.refresh_token not in repr(given) + repr(CONNECTOR.auth(configured(base, **agreed)))


async def test_until_somebody_agrees_nothing_is_asked(town: School) -> None:
    app = twin(holds=town.world)
    async with opened(app, **KEY) as sink:
        assert [one.ok for one in await sink.check()] == [False]
        with pytest.raises(AuthError) as missing:
            await sink.push(assignment())
    assert missing.value.code == "grant-missing" and app.state.heard.requests == []
    with pytest.raises(ValidationError, match="developer key"):
        configured("https://canvas.example.org", client_id="1")


async def test_no_request_holds_more_than_the_document(town: School) -> None:
    """Neither in its address nor in its body: of the student only the number and Canvas' own."""
    app = twin(holds=town.world)
    async with opened(app) as sink:
        assert isinstance(sink, CanvasSink)
        await sink.push(replace(assignment(), body=assignment().body | {"due_at": "2027-01-15T11:59:59Z"}))
    for _, address, body in app.state.heard.requests:
        assert "planted" not in address and "Ada" not in address + body
        if body and (sent := json.loads(body)["assignment"]) != {"published": True}:
            assert sent["assignment_overrides"] == [
                {"student_ids": [town.child.id], "due_at": "2027-01-15T11:59:59Z", "lock_at": None}
            ]
            assert sent["description"] == assignment().body["description"]
