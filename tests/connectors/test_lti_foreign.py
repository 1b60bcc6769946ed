"""Our way to a platform's services against one that was not written here."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.lti import CONNECTOR
from connectors.lti.services import MEMBERS
from connectors.lti.sink import NEUTRAL, CommentSink
from gateway.connector import Document
from gateway.errors import AuthError
from gateway.http import Http, MemoryTokens
from tests.connectors.lti import KEY, settings
from tests.lti_platform import CLIENT, COURSE, INSTRUCTOR, LEARNER, Foreign, foreign
from tests.serving import serve


async def _keys(request: Request) -> Response:
    return JSONResponse({"keys": [{**KEY.as_dict(private=False), "alg": "RS256", "use": "sig"}]})


@pytest.fixture(scope="module")
def platform() -> Iterator[Foreign]:
    """It reads our keys where we publish them, over a socket of its own."""
    with serve(Starlette(routes=[Route("/lti/jwks", _keys)])) as tool, foreign(f"{tool}/lti/jwks") as there:
        there.add_member("u-1", "T-1", INSTRUCTOR, "Tove Teacher")
        for n in range(1, 5):
            there.add_member(f"s-{n}", f"S-{n}", LEARNER, f"Pupil {n}")
        yield there


def way(platform: Foreign, **more: Any) -> Http:
    given = settings(platform.url, client_id=CLIENT, **more)
    return Http(CONNECTOR.auth(given), tokens=MemoryTokens(), allow_private=True)


@pytest.fixture
async def sink(platform: Foreign) -> AsyncIterator[CommentSink]:
    async with way(platform) as http:
        yield CommentSink(http, settings(platform.url, client_id=CLIENT))


def document(platform: Foreign, number: str, comment: str) -> Document:
    body = {
        "course": {"lineItems": platform.columns_url(), "memberships": f"{platform.url}/{COURSE}/members"},
        "person": number,
        "lineItem": {"label": "Success plan", "scoreMaximum": 1, "resourceId": "planbridge-1", "tag": "planbridge"},
        "score": {"activityProgress": "InProgress", "gradingProgress": "NotReady", "comment": comment},
    }
    return Document("scores", {"plan": number, "context": COURSE}, body, after=())


async def test_a_comment_is_made_changed_read_back_and_taken_back(platform: Foreign, sink: CommentSink) -> None:
    first, other = document(platform, "S-4", "There is a plan."), document(platform, "S-2", "Of another.")
    receipt = await sink.push(first)
    assert (receipt.status, receipt.remote_id.split()[1]) == (201, "s-4")
    sink.know(first, receipt.remote_id)
    sink.know(other, (await sink.push(other)).remote_id)
    assert (await sink.push(first)).unchanged
    assert [one["label"] for one in platform.columns.values()] == ["Success plan"]
    changed = document(platform, "S-4", "It was revised.")
    assert (await sink.push(changed)).status == 200
    assert await sink.read_back(changed) == changed.body
    assert await sink.edited(changed, receipt.revision)  # what stands there is not what we wrote first
    assert all("scoreGiven" not in score for score in platform.results.values())
    assert (await sink.delete(changed)).delivered
    assert {who: score["comment"] for (_, who), score in platform.results.items()} == {
        "s-4": NEUTRAL,
        "s-2": "Of another.",
    }
    assert (await sink.delete(other)).delivered
    assert platform.columns == {}


async def test_our_column_is_found_on_a_later_page(platform: Foreign, sink: CommentSink) -> None:
    platform.filters = False
    for n in range(3):
        platform.columns[f"x-{n}"] = {"id": f"{platform.columns_url()}/x-{n}", "label": "Quiz", "scoreMaximum": 10}
    for n, comment in enumerate(("There is a plan.", "It was revised.")):
        assert (await sink.push(document(platform, "S-1", comment))).delivered, n
        sink._columns.clear()
    assert [one["label"] for one in platform.columns.values()].count("Success plan") == 1


async def test_who_sees_it_is_told_from_all_pages(platform: Foreign, sink: CommentSink) -> None:
    found = await sink.audience(document(platform, "S-4", ""))
    assert [(one.relation, one.key, one.name) for one in found] == [
        ("student", "S-4", "Pupil 4"),
        ("teacher", "T-1", "Tove Teacher"),
        ("guardian", "", ""),
    ]


async def test_what_another_key_signs_opens_nothing(platform: Foreign) -> None:
    other = RSAKey.generate_key(2048, {"kid": KEY.kid})
    async with way(platform, tool_key=msgspec.json.encode(other.as_dict(private=True)).decode()) as http:
        with pytest.raises(AuthError) as refused:
            await http.get(f"{platform.url}/{COURSE}/members", None, {"accept": MEMBERS})
    assert refused.value.code == "token-refused"
