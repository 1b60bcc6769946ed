"""Every exchange that was recorded against a real Moodle, asked of the twin again: the same kind of answer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.moodle.twin import PARENT, TEAM, served
from connectors.moodle.twin_cleaner import cleaned
from connectors.moodle.twin_signatures import SIGNATURES
from connectors.moodle.twin_site import MANAGER, Course, Role, Site, Token, User
from tests.serving import serve

RECORDED_AT = 1795476473
OF_LTI = ("lti.", "nrps.", "ags.")
"""Exchanges with Moodle as an LTI platform: the twin of connectors/lti answers for them, not this one."""


@pytest.fixture(scope="module")
def recordings(contracts: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((contracts / "lms/moodle-4.5.6-http-captures.json").read_text())
    return found


def test_every_recorded_exchange_is_played_again_in_its_order(recordings: list[dict[str, Any]]) -> None:
    ours = [one for one in recordings if not one["name"].startswith(OF_LTI)]
    assert (len(recordings), len(ours)) == (67, 38)
    with serve(served(_as_it_was())) as url, httpx.Client(base_url=url) as client:
        for one in ours:
            asked = one["request"]
            answer = client.request(
                asked["method"],
                asked["url"].removeprefix("http://127.0.0.1:8571"),
                headers={"content-type": asked["headers"]["Content-Type"]},
                content=asked["body"],
            )
            wanted = json.loads(one["response"]["body"])
            assert answer.status_code == one["response"]["status"], one["name"]
            assert answer.headers["content-type"] == one["response"]["headers"]["Content-Type"], one["name"]
            assert list(_differences(one["name"], answer.json(), wanted)) == []


def _differences(where: str, ours: Any, theirs: Any) -> Iterator[str]:
    """Where an answer is of another kind. Of a list the first item tells what its items are."""
    if type(ours) is not type(theirs):
        yield f"{where}: {type(ours).__name__}, not {type(theirs).__name__}"
    elif isinstance(theirs, dict):
        if ours.keys() != theirs.keys():
            yield f"{where}: {sorted(ours.keys() ^ theirs.keys())}"
        for name in ours.keys() & theirs.keys():
            yield from _differences(f"{where}.{name}", ours[name], theirs[name])
        yield from (f"{where}.{n}" for n in ("exception", "errorcode") if ours.get(n) != theirs.get(n))
    elif isinstance(theirs, list):
        if bool(ours) != bool(theirs):
            yield f"{where}: {len(ours)} of {len(theirs)}"
        elif theirs:
            yield from _differences(f"{where}[0]", ours[0], theirs[0])


def _as_it_was() -> Site:
    """The site when it was recorded: its accounts, its course, its tokens."""
    site = Site(now=lambda: RECORDED_AT)
    names = ("counselor", "teacher", "student1", "student2", "student3", "parent", "gateway")
    numbers = ("T-1001", "T-1002", "S-2001", "S-2002", "S-2003", "", "SVC-1")
    for id, (name, number) in enumerate(zip(names, numbers, strict=True), start=3):
        site.add(User(id, name, name.title(), "Person", number))
    site.users[9].capabilities = MANAGER
    site.tokens = {"a1" * 16: Token(9), "b2" * 16: Token(4)}
    site.roles = {one: Role(one, str(one), frozenset({"planview"})) for one in (TEAM, PARENT)}
    roles = [(3, 4, "teacher"), (4, 3, "editingteacher"), (5, 5, "student"), (6, 5, "student"), (7, 5, "student")]
    site.courses = {2: Course(2, "Homeroom 7A", "HR-7A", "CLASS-7A", roles)}
    return site


def test_the_twins_functions_take_what_moodles_take(contracts: Path) -> None:
    published = json.loads((contracts / "lms/moodle-4.5.6-webservice-functions.json").read_text())

    def compact(one: dict[str, Any]) -> Any:
        if one["type"] == "array":
            return [compact(one["items"])]
        if one["type"] == "object":
            return {name: compact(part) for name, part in one["keys"].items()}
        return one["type"] + ("!" if one["required"] else "")

    for name in SIGNATURES:
        theirs = {part: compact(one) for part, one in published[name]["parameters"].items()}
        assert SIGNATURES[name] == theirs, name


@pytest.mark.parametrize(
    "taken",
    [
        '<h3>Goals</h3><table class="t"><thead><tr><th scope="col">Goal</th></tr></thead><tbody><tr><td>1</td></tr>'
        "</tbody></table>",
        "<ul><li><strong>a</strong> <em>b</em><br />c \"d\" 'e' &amp; &lt; &gt; \u00a0\U0001f389</li></ul>",
        '<p title="urn:uuid:1" dir="rtl"><a href="https://a.example/?b=1&amp;c=2" title="urn:uuid:2">x</a>\ny</p>',
        "<dl><dt>a</dt><dd>b</dd></dl>",
        "<ol><li>a</li></ol>",
    ],
)
def test_what_the_cleaner_leaves_as_it_is(taken: str) -> None:
    assert cleaned(taken) == taken


@pytest.mark.parametrize(
    "refused",
    [
        "<p>a&nbsp;b</p>",
        "<p>&quot;a&quot;</p>",
        "<p>it&#39;s</p>",
        "<p>a & b</p>",
        "<p>1 < 2</p>",
        "<p>2 > 1</p>",
        "<p>a<br>b</p>",
        '<p id="a">a</p>',
        '<p data-a="a">a</p>',
        '<p style="color:red">a</p>',
        '<p lang="es">a</p>',
        '<a href="https://a.example" target="_blank">a</a>',
        '<a href="https://a.example" rel="next">a</a>',
        '<a href="javascript:a()">a</a>',
        "<section>a</section>",
        "<details>a</details>",
        "<!-- a -->",
        " <p>a</p>",
        "<p>a</p>\n",
        "<p>a",
        "<script>a</script>",
        "<p>a\x07</p>",
        "<ul></ul>",
    ],
)
def test_what_the_cleaner_changes(refused: str) -> None:
    assert cleaned(refused) != refused
