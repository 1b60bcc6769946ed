"""The manual as it is served: plain pages that load nothing, whose links lead somewhere."""

import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import httpx

from gateway.api.documents import PAGES, markup, rendered
from gateway.store.clients import SCOPES

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """What of a page matters to those who cannot see it, and to those who must not be followed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.ids += [said["id"]] if "id" in said else []
        self.links += [said["href"]] if tag == "a" and "href" in said else []
        self.loads += [name for name in ("src", "srcset", "style", "onclick") if name in said]
        if tag == "pre":
            assert said["tabindex"] == "0"
        if tag == "th":
            assert said["scope"] == "col"


async def test_every_page_is_served_and_its_links_lead_somewhere(http: httpx.AsyncClient) -> None:
    first = await http.get("/docs", follow_redirects=True)
    assert first.url.path == "/docs/quick-start"
    pages = {name: Page((await http.get(f"/docs/{name}")).raise_for_status().text) for name in PAGES}
    for name, page in pages.items():
        assert not {"script", "link", "img", "iframe", "object"} & set(page.tags), name
        assert page.loads == [], name
        assert page.tags.count("h1") == page.tags.count("main") == page.tags.count("nav") == 1
        assert len(page.ids) == len(set(page.ids)), name
        for link in page.links:
            target, _, heading = link.partition("#")
            if not target.startswith(("http", "mailto:")) and link != "../openapi.json":
                assert not heading or heading in pages[target or name].ids, f"{name}: {link}"
                assert target in (*PAGES, ""), f"{name}: {link}"
    policy = first.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "script" not in policy
    assert (await http.get("/docs/operations")).status_code == 404


def test_the_scopes_are_those_of_the_table() -> None:
    assert re.findall(r"<td><code>(.+?)</code></td>", rendered("scopes").html) == list(SCOPES)


def test_what_looks_like_html_is_shown_and_not_carried_out() -> None:
    for text in ("<script>1</script>", "a <b onclick='x'>c</b>", "`<i>`", "    <script>", "```\n<script>\n```"):
        assert not re.search(r"<(script|b|i)\b", markup(text)), text
    assert "href" not in markup("[x](javascript:alert(1)) [y](decisions/0001.md) [z](//elsewhere.example.org)")


def test_a_wheel_has_every_page() -> None:
    included = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    included = included["targets"]["wheel"]["force-include"]
    assert included == {path: f"gateway/documents/{Path(path).name}" for path in PAGES.values() if path}
