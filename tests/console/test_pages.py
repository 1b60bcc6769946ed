"""What every page of the console is: nothing inline, nothing foreign, in both languages, and no student in it."""

import re
import tomllib
from html.parser import HTMLParser
from typing import Any

import pytest

from gateway.console import pictures
from gateway.console.pages import FOLDER, HEADERS
from gateway.console.standing import TONES
from tests.console.conftest import NAMES, Office


def paths(office: Office) -> list[str]:
    runs = [f"/console/runs/{run}{more}" for run in (office.first, office.held) for more in ("", "/undo")]
    connection = f"/console/connections/{office.school.connection}"
    forms = [f"/console/connect{more}" for more in ("", "/oneroster", "/edfi", "/document_drop")]
    return ["/console/", "/console/runs", *runs, connection, *forms, "/console/runs/999999", "/console/nothing"]


@pytest.mark.parametrize("language", ["en", "es"])
async def test_every_page_is_whole_and_tells_of_no_student(office: Office, language: str) -> None:
    it = await office.person("it", language)
    for path in paths(office):
        told = await it.get(path)
        assert told.headers.items() >= {name.lower(): value for name, value in HEADERS.items()}.items(), path
        assert told.headers["cache-control"] == "no-store"
        assert "unsafe" not in told.headers["content-security-policy"]
        page = Page(told.text)
        assert page.wrong == [], path
        assert f'<html lang="{language}">' in told.text or told.status_code == 404, path
        assert [name for name in NAMES if name in told.text] == [], path


class Page(HTMLParser):
    """What is wrong with a page: script or style in it, something from elsewhere, a field without a label, an id that
    stands twice, headings that leave a step out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.labelled: set[str] = set()
        self.fields: list[str] = []
        self.ids: list[str] = []
        self.described: set[str] = set()
        self.heading = 0
        self.feed(text)
        self.wrong += [f"field {name} has no label" for name in self.fields if name not in self.labelled]
        self.wrong += [f"id {name} stands twice" for name in {one for one in self.ids if self.ids.count(one) > 1}]
        self.wrong += [f"{name} describes and is not there" for name in self.described - set(self.ids)]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        has: dict[str, Any] = dict(attributes)
        if tag == "style" or "style" in has or any(name.startswith("on") for name in has):
            self.wrong.append(f"inline in {tag}")
        if tag == "script" and not has.get("src"):
            self.wrong.append("inline script")
        for name in ("src", "href", "action", "hx-get"):
            if has.get(name, "/").startswith(("http", "//", "javascript")):
                self.wrong.append(f"{tag} leads to {has[name]}")
        if "id" in has:
            self.ids.append(has["id"])
        if tag == "label" and "for" in has:
            self.labelled.add(has["for"])
        if tag in ("select", "textarea") or (tag == "input" and has.get("type") not in ("hidden", "checkbox")):
            self.fields.append(has.get("id", "?"))
        for name in ("aria-describedby", "aria-labelledby"):
            self.described |= set(has.get(name, "").split())
        if re.fullmatch("h[1-6]", tag):
            if int(tag[1]) > self.heading + 1:
                self.wrong.append(f"{tag} after h{self.heading}")
            self.heading = int(tag[1])
        if tag == "form" and has.get("method") not in ("post",):
            self.wrong.append("a form that does not post")


def test_a_page_that_is_wrong_is_found() -> None:
    """The test above would see it."""
    assert (
        len(Page('<h1>a</h1><h3 style="x">b</h3><script>1</script><input id="i"><a href="//x" id="i">c</a>').wrong) == 6
    )


def test_both_languages_have_every_sentence_with_the_same_gaps() -> None:
    english, spanish = (
        _flat(tomllib.loads((FOLDER / "languages" / f"{name}.toml").read_text(encoding="utf-8")))
        for name in ("en", "es")
    )
    assert english.keys() == spanish.keys()
    for name, sentence in english.items():
        gaps = [sorted(re.findall(r"\{(\w+)\}", one)) for one in (sentence, spanish[name])]
        assert gaps[0] == gaps[1], name
        assert spanish[name].strip(), name
    assert {f"{part}.{said}" for said in TONES for part in ("standing", "next")} <= english.keys()


def test_every_sentence_is_used_and_every_use_has_one() -> None:
    english = _flat(tomllib.loads((FOLDER / "languages" / "en.toml").read_text(encoding="utf-8")))
    used = {
        name
        for template in (FOLDER / "templates").glob("*.html")
        for name in re.findall(r"words\.(\w+(?:\.\w+)?)", template.read_text(encoding="utf-8"))
    }
    chosen = {name for name in used if "." not in name and name not in english}  # words.state[...]: any of them
    assert {name for name in used - chosen if name not in english} == set()
    assert {name for name in english if name not in used and name.split(".")[0] not in chosen | {"units"}} == set()


def _flat(words: dict[str, Any], before: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in words.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return found


def test_pictures_say_what_they_show_and_escape_it() -> None:
    drawn = pictures.line([0, 5, 10], "A & B", "from 0 to 10") + pictures.bars([("<b>", 3, "good")], "Bars", "one bar")
    assert "<title" in drawn and "A &amp; B" in drawn and "&lt;b&gt;" in drawn and "<b>" not in drawn
    assert "236.0,4.0" in drawn, "the largest stands at the top, the newest at the right"
    assert pictures.line([], "Nothing", "none") and pictures.line([0], "Nought", "none")


def test_what_is_vendored_is_what_npm_has() -> None:
    import hashlib

    table = (FOLDER / "vendored" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) \| (\S+ \S+) \| \S+ \| \[\S+\]\((\S+)\) \| `([0-9a-f]{64})` \|$", table, re.MULTILINE)
    assert {name for name, *_ in rows} == {"pico.css", "htmx.js"}
    for name, _, licence, sha256 in rows:
        assert hashlib.sha256((FOLDER / "vendored" / name).read_bytes()).hexdigest() == sha256
        assert (FOLDER / "vendored" / licence).stat().st_size > 300
