"""What we ask of a platform's services, and what becomes of its answers: tokens, people, columns, comments, totals."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from connectors.lti.paging import following
from connectors.lti.services import under
from connectors.lti.settings import LtiSettings
from connectors.lti.sink import NEUTRAL, CommentSink, open_sink
from connectors.lti.twin_courses import PARENT, STUDENT, TEACHER, Entry
from connectors.lti.twin_tokens import AGS
from gateway import clock
from gateway.connector import Allocating, Announcing, Guarding, Judging, Retracting, Showing, validated
from gateway.errors import AuthError, ConfigError, Unavailable
from gateway.http import MemoryTokens, Reply
from tests.connectors.lti import KEY, There, a_platform, settings, way

PLANTED = "quartzowl"


@pytest.fixture(params=["moodle", "canvas"])
async def there(request: pytest.FixtureRequest) -> AsyncIterator[There]:
    async with a_platform(kind=request.param, page_size=3) as place:
        yield place


def entry(there: There, number: str = "") -> Entry:
    """What our column has for somebody."""
    (column,) = (one for one in there.course.columns.values() if one.by_tool)
    return column.entries[there.platform.courses.person(number or there.student).id]


async def test_a_comment_stands_without_a_score_and_moves_no_total(there: There) -> None:
    courses = there.platform.courses
    courses.graded(there.course, "Quiz", 100, {there.student: 90})
    receipt = await there.sink.push(there.document(PLANTED))
    assert (receipt.status, receipt.adopted, bool(receipt.revision)) == (200, False, True)
    assert entry(there).comments == [PLANTED]
    assert courses.total(there.course, there.student) == 90
    (body,) = (json.loads(body) for _, path, body in there.platform.received if "/scores" in path)
    assert "scoreGiven" not in body
    assert (body["gradingProgress"], body["activityProgress"]) == ("NotReady", "InProgress")
    told = {number: PLANTED in courses.visible_to(number) for number in (*there.of(STUDENT), *there.of(TEACHER))}
    assert [number for number, seen in told.items() if seen] == [there.student, *there.of(TEACHER)]
    assert "Success plan" in courses.visible_to(there.of(STUDENT)[1])  # the name of the column, and no more


async def test_the_same_comment_is_never_sent_twice(there: There) -> None:
    """Neither column nor comment, although nobody remembers the first time: as after a crash."""
    await there.sink.push(there.document())
    again = await there.sink.push(there.document())
    assert (again.status, again.adopted, again.unchanged) == (200, True, True)
    assert len(there.course.columns) == 1
    assert entry(there).comments == ["There is a plan."]
    assert len([path for path in there.sent("POST") if "/scores" in path]) == 1


@pytest.mark.parametrize("acted", ["lineitems", "scores"])
async def test_what_was_done_and_never_answered_is_not_done_again(there: There, acted: str) -> None:
    if acted == "scores":
        await there.sink.push(there.document(number=there.of(STUDENT)[1]))
    there.platform.lose_answers = 1
    with pytest.raises(Unavailable) as lost:
        await there.sink.push(there.document())
    assert lost.value.code == "outcome-unknown"
    receipt = await there.sink.push(there.document())
    assert receipt.delivered
    assert len(there.course.columns) == 1
    assert entry(there).comments == ["There is a plan."]


async def test_a_change_is_one_update_and_later_than_what_it_replaces(there: There) -> None:
    first = there.document()
    receipt = await there.sink.push(first)
    there.sink.know(first, receipt.remote_id)
    assert not await there.sink.edited(first, receipt.revision)
    assert (await there.sink.push(there.document("It was revised."))).delivered
    assert entry(there).comments[-1] == "It was revised."
    assert await there.sink.read_back(there.document("It was revised.")) == there.document("It was revised.").body
    stamps = [json.loads(body)["timestamp"] for _, path, body in there.platform.received if "/scores" in path]
    assert stamps == sorted(set(stamps))
    assert all(stamp.endswith("Z") and len(stamp) == len("2026-11-28T10:00:00.123Z") for stamp in stamps)


@pytest.mark.parametrize("by", ["comment", "score"])
async def test_an_edit_by_a_person_is_seen(there: There, by: str) -> None:
    document = there.document()
    receipt = await there.sink.push(document)
    there.sink.know(document, receipt.remote_id)
    if by == "comment":
        entry(there).comments = ["See me, please."]
    else:
        entry(there).score = 1.0
    assert await there.sink.edited(document, receipt.revision)


async def test_what_is_taken_back_leaves_nothing_and_keeps_what_is_others(there: There) -> None:
    mine, other = there.document(), there.document("Of another.", there.of(STUDENT)[1])
    for document in (mine, other):
        there.sink.know(document, (await there.sink.push(document)).remote_id)
    assert (await there.sink.delete(mine)).delivered
    assert entry(there).comments[-1] == NEUTRAL
    assert await there.sink.read_back(mine) is None
    assert entry(there, there.of(STUDENT)[1]).comments == ["Of another."]
    assert (await there.sink.delete(mine)).delivered
    assert (await there.sink.delete(other)).delivered
    assert there.course.columns == {}
    assert (await there.sink.delete(other)).delivered  # what is gone counts as taken back
    assert (await there.sink.push(there.document())).delivered  # and it can be told again


async def test_a_column_with_a_persons_score_stays(there: There) -> None:
    document = there.document()
    there.sink.know(document, (await there.sink.push(document)).remote_id)
    entry(there).score = 1.0
    assert (await there.sink.delete(document)).delivered
    assert (entry(there).score, entry(there).comments[-1]) == (1.0, NEUTRAL)


async def test_only_the_courses_that_the_student_is_in_are_written_to(there: There) -> None:
    inside, outside = there.document(), there.document(number="00000")
    judged = await there.sink.judge([outside, inside])
    assert (list(judged.documents), list(judged.problems)) == ([inside], [])
    assert "not in this course" in judged.losses[0].reason
    there.platform.courses.add_person(there.student, "Somebody Else")
    there.course.members[list(there.platform.courses.people)[-1]] = STUDENT
    async with way(there.url) as http:
        judged = await CommentSink(http, settings(there.url)).judge([inside])
    assert list(judged.documents) == []
    assert "Two people" in judged.problems[0]


async def test_people_are_known_by_the_districts_number_and_nothing_else(there: There) -> None:
    for one in there.platform.courses.people.values():
        one.number = ""
    receipt = await there.sink.push(there.document(number="12345"))
    assert receipt.status == 422
    assert "lis_person_sourcedid" in receipt.message


async def test_it_is_told_who_will_see_it(there: There) -> None:
    parent = there.platform.courses.add_person("P-1", "Parvati Observer")
    there.course.members[parent.id] = PARENT
    found = [(one.relation, one.key) for one in await there.sink.audience(there.document())]
    assert found[0] == ("student", there.student)
    assert ("teacher", there.teacher) in found
    assert ("guardian", "P-1") in found
    assert ("guardian", "") in found  # those whom the platform does not name
    assert len(found) == 3 + len(there.of(TEACHER))
    assert not there.sent("POST")


async def test_columns_with_our_mark_that_are_several_are_reported(there: There) -> None:
    await there.sink.push(there.document())
    (column,) = there.course.columns.values()
    there.platform.courses.add_column(there.course, dict(column.item), by_tool=True)
    async with way(there.url) as http:
        receipt = await CommentSink(http, settings(there.url)).push(there.document("Again."))
    assert receipt.status == 409
    assert "more than one column" in receipt.message


async def test_a_newer_score_there_is_read_before_it_is_called_a_failure(there: There) -> None:
    await there.sink.push(there.document())
    entry(there).timestamp = "2999-01-01T00:00:00.000Z"
    refused = await there.sink.push(there.document("Later."))
    assert refused.status == (409 if there.platform.kind == "moodle" else 400)
    assert refused.message
    assert (await there.sink.push(there.document())).delivered


async def test_refusals_say_what_to_do_and_repeat_nothing(there: There) -> None:
    number = there.student
    there.course.published = False
    there.course.members[there.platform.courses.person(number).id] = TEACHER
    receipt = await there.sink.push(there.document(PLANTED, number))
    assert receipt.status in (400, 422)
    assert "no student of the course" in receipt.message
    assert PLANTED not in receipt.message
    told: list[str] = []

    async def announce(document: Any, remote_id: str) -> None:
        told.append(remote_id)

    there.sink.announcing(announce)
    await there.sink.push(there.document(PLANTED, number))
    assert told[0] and told[-1] == ""  # what never arrived is not looked for


async def test_ten_plans_of_a_course_at_once_share_one_column_and_one_look_at_its_members() -> None:
    """One sink carries many plans side by side: each looks the column up before it makes one."""
    async with a_platform(kind="moodle", page_size=50) as there:
        numbers = there.of(STUDENT)[:10]
        receipts = await asyncio.gather(*(there.sink.push(there.document(number=number)) for number in numbers))
        assert {one.status for one in receipts} <= {200, 201, 204}, receipts
        assert len([one for one in there.course.columns.values() if one.by_tool]) == 1
        assert len([path for path in there.sent("POST") if path.partition("?")[0].endswith("/lineitems")]) == 1
        assert len([path for path in there.sent("GET") if "/memberships" in path]) == 1


async def test_a_column_that_a_teacher_deleted_meanwhile_is_made_again(there: There) -> None:
    """One sink lives for thousands of plans: what it remembers of a course grows old."""
    await there.sink.push(there.document())
    there.course.columns.clear()
    other = there.of(STUDENT)[1]
    receipt = await there.sink.push(there.document(number=other))
    assert receipt.delivered, receipt
    assert entry(there, other).comments == ["There is a plan."]
    assert len(there.course.columns) == 1


async def test_who_joins_or_leaves_a_course_is_seen_while_plans_go_there(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    await there.sink.push(there.document())
    late = there.of(STUDENT)[1]
    id = there.platform.courses.person(late).id
    del there.course.members[id]
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(minutes=2))
    refused = await there.sink.push(there.document(number=late))
    assert not refused.delivered and "not in this course" in refused.message


async def test_a_token_that_is_over_in_the_middle_is_asked_for_again(there: There) -> None:
    await there.sink.push(there.document())
    there.platform.door.forget()
    receipt = await there.sink.push(there.document(number=there.of(STUDENT)[1]))
    assert receipt.delivered


async def test_one_platform_that_is_busy_is_asked_again(there: There) -> None:
    there.platform.busy = 2
    assert (await there.sink.push(there.document())).delivered


async def test_texts_of_every_sort_come_back_as_they_were_sent(there: There) -> None:
    texts = ["x" * 101, "A & B <b>", "🦉 quartz", "مرحبا بالعالم", "quotes \" and ' and \\"]
    for text in texts:
        assert (await there.sink.push(there.document(text))).delivered
        assert entry(there).comments[-1] == text


def test_the_sink_is_what_delivery_asks_for() -> None:
    for protocol in (Allocating, Announcing, Guarding, Judging, Retracting, Showing):
        assert issubclass(CommentSink, protocol), protocol


# Tokens


async def test_one_token_serves_all_who_share_a_store() -> None:
    tokens = MemoryTokens()
    async with a_platform(tokens) as there:
        await there.sink.push(there.document())
        async with way(there.url, tokens) as http:
            await CommentSink(http, settings(there.url)).push(there.document("Again."))
        assert (there.platform.door.asked, there.platform.door.refusals) == (1, [])
        there.platform.door.forget()
        assert (await there.sink.push(there.document("And again."))).delivered
        assert there.platform.door.asked == 2


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "https://elsewhere.example.org/token"}, "aud"),
        ({"iss": "somebody"}, "iss, sub"),
        ({"sub": "somebody"}, "iss, sub"),
        ({"iat": lambda now: now - 301}, "iat"),
        ({"iat": lambda now: str(now)}, "iat"),
        ({"exp": lambda now: now - 1}, "exp"),
        ({"jti": ""}, "jti"),
        ({"jti": "used"}, "jti"),
        ({}, ""),
    ],
)
async def test_the_platform_is_strict_about_what_we_sign(claims: dict[str, Any], why: str) -> None:
    """So that our own assertions are proven right by it: one wrong claim, and there is no token."""
    import httpx

    async with a_platform() as there:
        now = int(time.time())
        whole: dict[str, Any] = {"iss": "planbridge-tool", "sub": "planbridge-tool", "aud": f"{there.url}/token"}
        whole |= {"iat": now, "exp": now + 60, "jti": "fresh"}
        whole |= {name: value(now) if callable(value) else value for name, value in claims.items()}
        there.platform.door._seen.add("used")
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode({"alg": "RS256", "kid": KEY.kid}, whole, KEY),
            "scope": f"{AGS}/score",
        }
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{there.url}/token", data=form)
        assert (answer.status_code, there.platform.door.refusals) == ((400, [why]) if why else (200, []))


async def test_a_key_that_the_platform_does_not_know_is_an_error_that_says_so() -> None:
    other = RSAKey.generate_key(2048, auto_kid=True)
    async with a_platform() as there:
        key = msgspec.json.encode(other.as_dict(private=True)).decode()
        async with way(there.url, tool_key=key) as http:
            with pytest.raises(AuthError) as refused:
                await http.get(f"{there.url}/courses/2/memberships")
        assert (refused.value.code, there.platform.door.refusals) == ("token-refused", ["signature"])
        assert "/lti/jwks" in refused.value.fix
        async with way(there.url, tool_key="") as http:
            with pytest.raises(ConfigError) as missing:
                await http.get(f"{there.url}/courses/2/memberships")
        assert missing.value.code == "signing-key-unusable"
        async with way(there.url, token_audience=f"{there.url}/another") as http:
            with pytest.raises(AuthError):
                await http.get(f"{there.url}/courses/2/memberships")
        assert there.platform.door.refusals == ["signature", "aud"]


def test_an_assertion_for_one_server_goes_to_no_other() -> None:
    given = dict.fromkeys(("issuer", "authorization_url", "token_url", "jwks_url"), "https://lms.example.org/a")
    brightspace = {"token_url": "https://auth.brightspace.com/core/connect/token"}
    for more, fits in (
        ({"token_audience": "https://lms.example.org/b"}, True),
        ({"token_audience": "https://other.example.org/a"}, False),
        (brightspace | {"token_audience": "https://api.brightspace.com/auth/token"}, True),
        (brightspace | {"token_audience": "https://lms.example.org/a"}, False),
    ):
        settings = {**given, "client_id": "tool", **more}
        if fits:
            assert validated(LtiSettings, settings).audience == more["token_audience"]
        else:
            with pytest.raises(ConfigError, match="another server"):
                validated(LtiSettings, settings)


async def test_scopes_that_are_not_granted_are_named_as_the_cause() -> None:
    async with a_platform(scopes=[f"{AGS}/lineitem", f"{AGS}/score"]) as there:
        receipt = await there.sink.push(there.document())
        assert receipt.status == 403
        assert "with all scopes" in receipt.message
        (found,) = await there.sink.check()
        assert not found.ok
        assert "list who is in a course" in found.text and "make a column" not in found.text
    async with a_platform() as there:
        assert [one.ok for one in await there.sink.check()] == [True]


# Pages and addresses

BASE = "https://lms.example.org/courses/2/lineitems?type_id=1"


def page(link: str) -> Reply:
    return Reply(200, {"link": link}, b"[]", BASE)


@pytest.mark.parametrize(
    "link",
    [
        '<https://lms.example.org/x?type_id=1&from=2>; rel="next"',
        "<https://lms.example.org/x?type_id=1&from=2>; rel=next",
        "<https://lms.example.org/x?type_id=1&amp;from=0>; rel=“first”, "
        "<https://lms.example.org/x?type_id=1&amp;from=2>; rel=“next”, <https://lms.example.org/y>; rel=“last”",
        "<https://lms.example.org/x?type_id=1&amp;from=2>; rel=“next”".encode().decode("latin-1"),
        '</x?type_id=1&from=2>; title="a"; REL="prev next"',
    ],
)
def test_the_next_page_is_found_however_it_is_written(link: str) -> None:
    assert following(page(link)) == "https://lms.example.org/x?type_id=1&from=2"


def test_the_last_page_and_a_page_elsewhere() -> None:
    assert following(page("")) is None
    assert following(page('<https://lms.example.org/x>; rel="differences"')) is None
    assert following(page('<https://lms.example.org/next>; rel="prev"')) is None
    assert following(page("<" * 60_000)) is None, "nor does whoever writes headers hold a worker up for minutes"
    with pytest.raises(ConfigError) as left:
        following(page('<https://evil.example.org/x>; rel="next"'))
    assert left.value.code == "left-origin"


async def test_pages_that_lead_back_end_with_an_error() -> None:
    async with a_platform(page_size=2) as there:
        there.platform.courses.courses[there.course.id].members = dict(list(there.course.members.items())[:4])
        seen: list[str] = []
        original = there.sink._services.http.get

        async def back(url: str, *args: Any, **named: Any) -> Reply:
            seen.append(url)
            return await original(seen[0], *args, **named)

        there.sink._services.http.get = back  # type: ignore[method-assign]
        with pytest.raises(ConfigError) as endless:
            await there.sink.push(there.document())
    assert endless.value.code == "pages-without-end"


def test_scores_and_results_stand_in_the_path() -> None:
    assert under("https://lms.example.org/a/lineitem?type_id=1", "scores") == (
        "https://lms.example.org/a/lineitem/scores?type_id=1"
    )
    assert under("https://lms.example.org/a/", "results") == "https://lms.example.org/a/results"


async def test_nothing_is_written_until_it_is_said_which_number_tells_people_apart(there: There) -> None:
    async with way(there.url) as http:
        sink = await open_sink(settings(there.url, trusted_number="none"), http)
        receipt = await sink.push(there.document())
        [finding] = await sink.check()
        assert receipt.status == 422 and not finding.ok
        assert "trusted_number" in receipt.message
        assert there.sent("POST") == []
        # of the two, only the one that is trusted is looked at
        sink = await open_sink(settings(there.url, trusted_number="parameter"), http)
        assert (await sink.push(there.document())).status == 422
